"""Work counted exactly: function calls, and steps of the interpreter; on every machine the same, and blind inside C."""

from __future__ import annotations

import gc
import inspect
import sys
import threading
from _lsprof import Profiler
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import CALLS, WORK, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.model.sample import Series

# From 3.12 on a profiler sees all threads of the process, before only the one that switched it on.
_SEES_THREADS = sys.version_info >= (3, 12)

_monitoring: Any = getattr(sys, "monitoring", None)

# Numbers of tools that sys.monitoring does not set aside for debuggers, coverage and profilers.
_TOOLS = (4, 3, 5)

_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_ENTERING = frozenset({"__enter__", "__aenter__", "enter_context", "enter_async_context"})


def note_unsteady(series: Iterable[Series]) -> tuple[Note, ...]:
    """Return a remark on each count of work that was not the same in every round."""
    return tuple(
        Note(
            code="unsteady-work",
            message=f"{each.metric.name} differed from round to round, from {min(each.values)} to {max(each.values)}: "
            "something in it depends on time, on chance, or on the order of threads",
            remedy="take that out of what is measured, or allow for it in the budget",
        )
        for each in series
        if each.metric.name in (CALLS.name, WORK.name) and len(set(each.values)) > 1
    )


class _Threads:
    """Counts the calls of threads that start while it is open; a thread that goes on sees the end at its next call."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._open = True

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if not self._open:
            sys.setprofile(None)
        elif event in ("call", "c_call"):
            thread = threading.get_ident()
            self._counts[thread] = self._counts.get(thread, 0) + 1

    def close(self) -> int:
        """Count no more and return the number of calls."""
        self._open = False
        return sum(list(self._counts.values()))


@dataclass(slots=True, kw_only=True, eq=False)
class _Calls:
    profiler: Profiler = field(default_factory=Profiler)
    threads: _Threads = field(default_factory=_Threads)
    inner: int = 0
    """Calls that tokens within this one counted, while its own profiler was off."""
    collecting: bool = False


# The tokens of calls that are being counted, the innermost last: an interpreter runs one profiler at a time.
_open: list[_Calls] = []


@final
class CallProbe:
    """Counts the calls of Python functions and of built-in ones during a call, as the standard library's cProfile does.

    Each resumption of a generator or coroutine is a call as well; making an object of a class counts by the functions
    that it runs. The interpreter's own profiler counts. It does so when a call returns, and is read before it is
    switched off: the frames between the measured call and `stop` are not in the value. All threads of the process
    are; on 3.11 the calling one and those that start during the call.

    The garbage collector is off meanwhile, or finalizers would run at another place each time. `start` raises
    `ProbeError` where a profiler is active already, and on other implementations than CPython; `stop` where the
    measured code put a profiler in place of this one.
    """

    metrics: tuple[Metric, ...] = (CALLS,)
    intrusive: bool = True
    wants_result: bool = False
    # First calls fill caches, such as that of compiled regular expressions; some need two.
    warmup: int = 2
    rounds: int = 3

    def start(self) -> _Calls:
        """Switch a profiler on; raises `ProbeError` where there is one already."""
        _check_implementation(CALLS)
        outer = _open[-1] if _open else None
        _check_unprofiled(outer)
        if outer is not None:
            outer.profiler.disable()
        token = _Calls(collecting=gc.isenabled())
        _open.append(token)
        gc.disable()
        if not _SEES_THREADS:
            threading.setprofile(token.threads)
        try:
            token.profiler.enable()
        except ValueError as error:
            _close(token, 0)
            raise _profiled("another tool") from error
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Read the profiler and switch it off; `result` is not looked at."""
        calls = sum(entry.callcount for entry in token.profiler.getstats()) + token.inner
        del result
        found = token.profiler if _SEES_THREADS or _open[-1] is not token else sys.getprofile()
        calls += token.threads.close()
        _close(token, calls)
        if found is not token.profiler:
            raise ProbeError(
                "calls cannot be counted: the measured code put a profiler in place of perfguard's; "
                "take that out of what is measured, or leave out the budget 'calls'"
            )
        return _reading(CALLS, calls)


def _close(token: _Calls, calls: int) -> None:
    """Undo what `start` did, and let the token around this one count on."""
    innermost = _open[-1] is token
    _open.remove(token)
    if innermost:
        token.profiler.disable()
    if isinstance(threading.getprofile(), _Threads):
        threading.setprofile(_open[-1].threads if _open else None)
    if token.collecting:
        gc.enable()
    if innermost and _open:
        _open[-1].inner += calls
        _open[-1].profiler.enable()


def _check_unprofiled(outer: _Calls | None) -> None:
    found: object = sys.getprofile()
    if found is None and not _SEES_THREADS:
        found = threading.getprofile()
    if found is not None and (outer is None or found not in (outer.profiler, outer.threads)):
        kind = found if inspect.isroutine(found) else type(found)
        raise _profiled(f"the profiler {kind.__module__}.{kind.__qualname__}")


def _profiled(name: str) -> ProbeError:
    return ProbeError(
        f"calls cannot be counted: {name} is profiling this process, and Python runs one profiler at a time; "
        "run this test without it, or leave out the budget 'calls'"
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Work:
    tool: int
    counted: Callable[[], int]
    collecting: bool


@final
class WorkProbe:
    """Counts steps of the interpreter during a call: Python functions entered, calls made, branches and jumps taken.

    These are the events PY_START, CALL, BRANCH and JUMP of `sys.monitoring` (PEP 669; from 3.14 BRANCH_LEFT and
    BRANCH_RIGHT), of all threads of the process. Unlike calls they show loops that call nothing. What counts is what
    happens until the last call before `stop` that one function makes: the nearest caller of `start` which is no context
    manager. It makes the measured call, and its own steps, and those of leaving a context manager, are left out.

    The garbage collector is off meanwhile. `start` raises `ProbeError` on 3.11, on other implementations than CPython,
    and where all numbers for monitoring tools are taken.
    """

    metrics: tuple[Metric, ...] = (WORK,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 2
    rounds: int = 3

    def start(self) -> _Work:
        """Watch the interpreter's events; raises `ProbeError` where they cannot be watched."""
        _check_implementation(WORK)
        if _monitoring is None:
            raise ProbeError(
                f"work cannot be counted on Python {sys.version_info.major}.{sys.version_info.minor}: it takes "
                "sys.monitoring, which came with 3.12; put a budget on 'calls' in its place, or use a newer Python"
            )
        tool = _take_tool()
        callbacks, counted = _counters(_maker(sys._getframe(1)))
        token = _Work(tool=tool, counted=counted, collecting=gc.isenabled())
        gc.disable()
        for event, callback in callbacks.items():
            _monitoring.register_callback(tool, event, callback)
        _monitoring.set_events(tool, sum(callbacks))
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Watch no more; `result` is not looked at."""
        _monitoring.set_events(token.tool, 0)
        del result
        for event in _events():
            _monitoring.register_callback(token.tool, event, None)
        _monitoring.free_tool_id(token.tool)
        if token.collecting:
            gc.enable()
        return _reading(WORK, token.counted())


def _take_tool() -> int:
    for number in _TOOLS:
        if _monitoring.get_tool(number) is None:
            _monitoring.use_tool_id(number, "perfguard")
            return number
    names = ", ".join(str(_monitoring.get_tool(number)) for number in _TOOLS)
    raise ProbeError(
        f"work cannot be counted: the numbers for monitoring tools are taken by {names}; run this test without "
        "one of them, or leave out the budget 'work'"
    )


def _maker(frame: FrameType) -> CodeType:
    """Return the code that makes the measured call: of `frame`, or of whose with-statement brought it here."""
    while frame.f_back is not None and (frame.f_code.co_flags & _GENERATORS or frame.f_code.co_name in _ENTERING):
        frame = frame.f_back
    return frame.f_code


def _counters(maker: CodeType) -> tuple[dict[int, Callable[..., None]], Callable[[], int]]:
    """Return callbacks by event, and what gives the count of the events before the last call that `maker` made."""
    count = 0
    last = -1

    def enter(code: CodeType, offset: int) -> None:
        nonlocal count
        count += 1

    def call(code: CodeType, offset: int, function: object, argument: object) -> None:
        nonlocal count, last
        if code is not maker:
            count += 1
        else:
            last = count

    def step(code: CodeType, offset: int, target: int) -> None:
        nonlocal count
        if code is not maker:
            count += 1

    return dict(zip(_events(), (enter, call, step, step, step), strict=False)), lambda: last if last >= 0 else count


def _events() -> tuple[int, ...]:
    events = _monitoring.events
    branches = ("BRANCH",) if sys.version_info < (3, 14) else ("BRANCH_LEFT", "BRANCH_RIGHT")
    return tuple(getattr(events, name) for name in ("PY_START", "CALL", "JUMP", *branches))


def _check_implementation(metric: Metric) -> None:
    if sys.implementation.name != "cpython":
        raise ProbeError(
            f"{metric.name} cannot be counted on {sys.implementation.name}: its events are not those of CPython; "
            f"leave out the budget {metric.name!r} there, or run on CPython"
        )


def _reading(metric: Metric, value: int) -> Reading:
    if value:
        return Reading(values={metric.name: value})
    note = Note(
        code="unseen-work",
        message=f"{metric.name} is 0: no Python code ran, and what C code does is not counted",
        remedy="measure a piece of work that is written in Python, or put a budget on time",
    )
    return Reading(values={metric.name: 0}, notes=(note,))
