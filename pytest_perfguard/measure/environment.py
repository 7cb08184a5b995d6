"""What is going on in this process that makes its times unlike those of a plain run."""

from __future__ import annotations

import sys

from pytest_perfguard.model.note import Note


def disturbances() -> tuple[Note, ...]:
    """Return what undermines the times of this process at this moment: tracers and profilers, with their remedy."""
    names = []
    if sys.gettrace() is not None:
        names.append("a trace function (coverage or a debugger)")
    if sys.getprofile() is not None:
        names.append("a profile function")
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        names.extend(f"the monitoring tool {tool}" for number in range(6) if (tool := monitoring.get_tool(number)))
    if not names:
        return ()
    return (
        Note(
            code="traced",
            message=f"{' and '.join(names)} was active, which slows Python code many times over",
            remedy="measure without it, for example with --no-cov",
            undermines=("time", "wall", "cpu"),
        ),
    )
