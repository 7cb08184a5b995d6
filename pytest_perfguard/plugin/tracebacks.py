"""Tracebacks of errors in measured code, without the frames of perfguard that lie between."""

from __future__ import annotations

from types import TracebackType

import pytest

_BESIDE = (
    "pytest_perfguard.measure.",
    "pytest_perfguard.probes.",
    *(
        f"pytest_perfguard.plugin.{name}"
        for name in ("body", "fixture", "memory", "queries", "query_record", "recording")
    ),
)
"""Modules whose functions call what is measured, or are called by it; not where perfguard fails a test itself."""


def hide_own_frames(excinfo: pytest.ExceptionInfo[BaseException] | None) -> None:
    """Let pytest leave out frames of this package, in the exception and in what led to it; `--full-trace` shows them.

    They are no part of what went wrong, and hold what is measured, parameters of statements among it.
    """
    error = None if excinfo is None else excinfo.value
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        _hide(error.__traceback__)
        error = error.__cause__ or error.__context__


def _hide(trace: TracebackType | None) -> None:
    while trace is not None:
        names = trace.tb_frame.f_globals
        if str(names.get("__name__", "")).startswith(_BESIDE):
            names["__tracebackhide__"] = True  # pytest asks a frame's globals as well as its locals
        trace = trace.tb_next
