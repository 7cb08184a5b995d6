"""memray in this process: begun, ended, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import gc
import io
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.note import Note
from pytest_perfguard.probes.memory.heap.capture import Capture

_CRASHES_ON_312 = (1, 20, 0)
"""The last version of memray that may end the process with a segmentation fault on Python 3.12.

It sets the profile function of all threads by a loop of its own there, and races with threads that end
(bloomberg/memray#999, mended by #1000 after that version).
"""

_PYTHON = sys.version_info[:2]

_BUDGETS = "the budgets 'heap', 'allocations' and 'allocated'"

_T = TypeVar("_T")


class Tracing:
    """A tracker at work, from its making until `end`, and then its file, until it is `read`."""

    __slots__ = ("_before", "_folder", "_greenlet", "_memray", "_name_setter", "_tracker", "greenlets")

    def __init__(self, *, paths: bool = False) -> None:
        """Begin; with `paths`, memray follows the calls. Raises `ProbeError` where it cannot begin."""
        memray = self._memray = load_memray()
        _check_profilers()
        self.greenlets = has_greenlets()
        """Whether they are traced: memray then allocates a little more itself."""
        self._folder = Path(tempfile.mkdtemp(prefix="perfguard-heap-"))
        self._before = 0
        self._tracker: Any = None
        try:
            destination = memray.FileDestination(self._folder / "capture", compress_on_exit=False)
            tracker = memray.Tracker(
                destination=destination,
                trace_python_allocators=True,
                native_traces=False,
                follow_fork=False,
                memory_interval_ms=3_600_000,
            )
            self._greenlet = _Greenlets()
            self._name_setter = vars(threading.Thread).get("_set_os_name")
            self._before = _faults_of_children()
            gc.collect()
            self._greenlet.enter(tracker)
            self._tracker = tracker
            self._greenlet.follow(paths=paths)
            if not paths:
                _unhook()
        except RuntimeError as error:
            self._abandon()
            raise ProbeError(
                "heap cannot be measured: memray traces this process already (pytest --memray, memray run, or a "
                f"measurement around this one), and a process has one tracker ({error}); "
                f"run this test without it, or leave out {_BUDGETS}"
            ) from error
        except BaseException:
            self._abandon()
            raise

    def end(self) -> None:
        """Trace no more, and take out of the process what memray put there."""
        # First of all, as everything else here would be traced.
        self._tracker.__exit__(None, None, None)
        self._tracker = None
        self._greenlet.restore()
        if self._name_setter is not None:
            threading.Thread._set_os_name = self._name_setter  # type: ignore[attr-defined]

    def notes(self) -> tuple[Note, ...]:
        """Return a remark where a child process ended meanwhile."""
        if _faults_of_children() == self._before:
            return ()
        return (
            Note(
                code="children",
                message="a child process ended during the call, and what it allocated is not counted",
                remedy="measure what runs in it in a test of its own",
            ),
        )

    def read(self, how: Callable[[Capture], _T]) -> _T:
        """Return what `how` makes of the file, which is then removed; raises `ProbeError` where that fails."""
        path = self._folder / "capture"
        try:
            # Where the file could not grow, memray says so on stderr, and goes on without it.
            if shutil.disk_usage(self._folder).free < 1024 * 1024:
                raise OSError(f"there is no space left in {self._folder.parent}")
            with self._memray.FileReader(path) as reader:
                return how(Capture(reader, self._memray.AllocatorType))
        except OSError as error:
            raise ProbeError(
                f"heap cannot be measured: what memray wrote cannot be read ({error}); make room in "
                f"{self._folder.parent}, or set TMPDIR to a folder with more (a few bytes for each allocation)"
            ) from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _abandon(self) -> None:
        if self._tracker is not None:
            self.end()
        shutil.rmtree(self._folder, ignore_errors=True)


def has_greenlets() -> bool:
    """Return whether anything here imported greenlet."""
    return "greenlet" in sys.modules


class _Greenlets:
    """memray's trace function for greenlets, which it installs once, never takes away, and warns of on stderr.

    It is there for the call paths: without it frames of the wrong greenlet would be taken for the current ones. Where
    no paths are kept it must not be, as it begins to keep some at each switch.
    """

    __slots__ = ("_before", "_module")

    def __init__(self) -> None:
        self._module: Any = sys.modules.get("greenlet")
        self._before = self._module.gettrace() if self._module else None

    def enter(self, tracker: Any) -> None:
        if self._module is None:
            tracker.__enter__()  # not in the other block, whose own allocations would be seen
            return
        with contextlib.redirect_stderr(io.StringIO()):
            tracker.__enter__()

    def follow(self, *, paths: bool) -> None:
        if self._module is None:
            return
        current = self._module.gettrace()
        if current is not self._before:
            _memrays.append(current)
        self._module.settrace(_memrays[-1] if paths and _memrays else self._before)

    def restore(self) -> None:
        if self._module is not None:
            self._module.settrace(self._before)


_memrays: list[Any] = []
"""The trace function, once it was seen."""


def _unhook() -> None:
    """Take memray's profile function away, which it is prepared for."""
    sys.setprofile(None)
    if sys.version_info >= (3, 12):
        threading.setprofile_all_threads(None)
    else:
        threading.setprofile(None)


def _check_profilers() -> None:
    found: object = sys.getprofile() or threading.getprofile()
    if found is not None:
        kind = found if hasattr(found, "__qualname__") else type(found)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name.startswith("memray."):
            return  # a tracker, which says so itself
        raise ProbeError(
            f"heap cannot be measured: the profiler {name} is active, and memray takes its place; run this test "
            f"without it, or leave out {_BUDGETS}"
        )


def _faults_of_children() -> int:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_minflt + usage.ru_majflt


def load_memray() -> Any:
    """Return memray; raises `ProbeError` where it is missing, or where its use might end the process."""
    if sys.platform == "win32":
        raise ProbeError(
            "heap cannot be measured on Windows: memray does not exist there; "
            f"leave out {_BUDGETS} on it, or put one on 'memory'"
        )
    try:
        memray = import_module("memray")
    except ImportError as error:
        raise ProbeError(
            f"heap cannot be measured: memray cannot be imported ({error}); pip install 'pytest-perfguard[memray]'"
        ) from error
    version = tuple(int(number) for number in re.findall(r"\d+", memray.__version__)[:3])
    if _PYTHON == (3, 12) and version <= _CRASHES_ON_312:
        raise ProbeError(
            f"heap cannot be measured: memray {memray.__version__} may end this process with a segmentation fault on "
            "Python 3.12 (bloomberg/memray#999); install a memray newer than "
            f"{'.'.join(map(str, _CRASHES_ON_312))}, or run this test on another version of Python"
        )
    return memray
