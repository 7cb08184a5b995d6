"""Machine instructions as valgrind simulates them, C code included: the test is run once more, under callgrind."""

from __future__ import annotations

import ctypes
import gc
import itertools
import mmap
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import CALLGRIND, Metric
from pytest_perfguard.model.protocols import Reading

_FOLDER = "PERFGUARD_CALLGRIND"
"""The variable that tells a process that it runs under callgrind, and where it is to put what it counts."""

_SECONDS = 1800
"""When a run under callgrind is given up."""

_KEPT = ("PERFGUARD_SIDE", "PERFGUARD_PIN")
"""Variables that choose the code which is measured, and so hold for that run as well."""

_QUIET = ("addopts=", "perfguard_save=false", "perfguard_compare=", "perfguard_against=", "perfguard_report=")
"""Ini values of that run: it measures one test, and neither compares nor stores."""

# The machine code of "ask valgrind": rdi is the address of the request's words, rsi what to answer without valgrind.
# Four rotations by 128 bits in all and an exchange of a register with itself do nothing on a real processor
# (valgrind.h, __SPECIAL_INSTRUCTION_PREAMBLE for amd64).
_STUB = bytes.fromhex("4889f8 4889f2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_RUNNING_ON_VALGRIND = 0x1001
_DUMP_STATS, _START_INSTRUMENTATION, _STOP_INSTRUMENTATION = (0x43540000 + number for number in (0, 4, 5))


@final
class CallgrindProbe:
    """Counts the instructions of a call with valgrind's callgrind: exact to some tenths of a per cent, and slow.

    In an ordinary process `start` runs the present test once more, by itself, under valgrind, and gives what was
    counted there. In that process the same probe switches the counting on and off, for 2 calls that warm up and 3 that
    count, of which the least is the value; the processes that a call starts are not in it, all its threads are. Some
    thousand instructions of perfguard's own are.

    It is found out from the environment which test is running (pytest's PYTEST_CURRENT_TEST). `root` is the folder to
    run it in. Objects come from the system's allocator there, unless PYTHONMALLOC says otherwise. `start` raises
    `ProbeError` on other systems than Linux on x86-64, without valgrind, and where that run counts nothing.
    """

    metrics: tuple[Metric, ...] = (CALLGRIND,)
    intrusive: bool = True
    wants_result: bool = False

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or Path.cwd()
        self._folder = os.environ.get(_FOLDER)
        self.warmup, self.rounds = (2, 3) if self._folder else (0, 1)
        self._number = next(_numbers)

    def start(self) -> Any:
        """Switch the counting on; outside of valgrind: run the test there, if that was not done yet."""
        if self._folder:
            return _Counter(self._number, Path(self._folder))
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        if not test:
            raise ProbeError("callgrind counts a whole test of pytest, and none is running; leave out 'callgrind'")
        if not _results.get(test):
            _results.clear()
            _results[test] = deque(_run_under_callgrind(test, self._root))
        return _results[test].popleft()

    def stop(self, token: Any, result: object = None) -> Reading:
        """Switch the counting off; `result` is not looked at."""
        del result
        return Reading(values={CALLGRIND.name: token if isinstance(token, int) else token.finish()})


# Of each instrument of this process a number, in the order of making: a test's measurements are told apart by it.
_numbers = itertools.count()

# What the last test that was run under callgrind counted, in the order of its measurements.
_results: dict[str, deque[int]] = {}


# --- the process that starts valgrind --------------------------------------------------------------------------------


def _run_under_callgrind(test: str, root: Path) -> list[int]:
    """Return what was counted in each measurement of `test`, never nothing."""
    valgrind = shutil.which("valgrind")
    if sys.platform != "linux" or platform.machine().lower() != "x86_64":
        raise ProbeError(
            f"callgrind is not used on {sys.platform} with {platform.machine()}, only on Linux with x86-64; "
            "leave out the budget 'callgrind' here"
        )
    if valgrind is None:
        raise ProbeError("callgrind needs valgrind, which is not on PATH; install it, or leave out 'callgrind'")
    with tempfile.TemporaryDirectory(prefix="perfguard-callgrind-") as name:
        folder = Path(name)
        options = [part for value in _QUIET for part in ("-o", value)]
        command = [
            valgrind, "--quiet", "--tool=callgrind", "--instr-atstart=no",
            f"--callgrind-out-file={folder / 'counts.%p'}", f"--log-file={folder / 'log.%p'}",
            sys.executable, *([] if {"", str(root), str(Path.cwd())} & set(sys.path) else ["-P"]), "-m", "pytest",
            test, "--rootdir", str(root), "-p", "perfguard", "-p", "no:cacheprovider", *options,
        ]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 - the test is one of the user's own
                command, cwd=root, env=_environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ProbeError(
                f"callgrind was given up: {test} took longer than {_SECONDS} s under valgrind, where code is about "
                "50 times slower; measure less, or leave out the budget 'callgrind'"
            ) from None
        counts = _values(folder)
    if not counts:
        last = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise ProbeError(
            f"callgrind counted nothing of {test}: run by itself under valgrind, it did not come to a measurement "
            f"(exit code {done.returncode}); find out why, or leave out the budget 'callgrind'. That run said:\n{last}"
        )
    return counts


def _environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(("PERFGUARD_", "PYTEST_XDIST", "PYTEST_CURRENT", "PYTEST_ADDOPTS"))
    }
    # Without a fixed seed, code over dicts and sets of str differs by up to 1 % from process to process. With Python's
    # own allocator, a loop whose objects come to lie on the edge of a pool takes up to 4 % more, by chance.
    return {"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc", **kept, _FOLDER: str(folder)}


def _values(folder: Path) -> list[int]:
    """Return the least count of the last three of each instrument, in the order in which they first counted."""
    found: dict[str, list[int]] = {}
    path = folder / "values"
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        number, _, value = line.partition(" ")
        found.setdefault(number, []).append(int(value))
    return [min(values[-3:]) for values in found.values()]


# --- the process under valgrind --------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Counter:
    """Counts from its making until `finish`; what is within another one's time counts for both."""

    number: int
    folder: Path
    total: int = 0
    collecting: bool = False

    def __post_init__(self) -> None:
        if not _request(_RUNNING_ON_VALGRIND):
            raise ProbeError(f"callgrind does not run this process, but {_FOLDER} is set; unset it")
        if _counters:
            _count_on(self.folder)
        _counters.append(self)
        self.collecting = gc.isenabled()
        gc.disable()
        _request(_START_INSTRUMENTATION)

    def finish(self) -> int:
        _request(_STOP_INSTRUMENTATION)
        _count_on(self.folder)
        _counters.remove(self)
        if self.collecting:
            gc.enable()
        with (self.folder / "values").open("a", encoding="ascii") as file:
            file.write(f"{self.number} {self.total}\n")
        if _counters:
            _request(_START_INSTRUMENTATION)
        return self.total


_counters: list[_Counter] = []


def _count_on(folder: Path) -> None:
    """Let valgrind write what it counted since the last time, and add it to all open counters."""
    _request(_STOP_INSTRUMENTATION)
    _request(_DUMP_STATS)
    for path in folder.glob(f"counts.{os.getpid()}.*"):
        count = _total(path.read_text(encoding="utf-8", errors="replace").splitlines())
        path.unlink()
        for counter in _counters:
            counter.total += count


def _total(lines: Iterable[str]) -> int:
    """Return the total of the instructions in a file of callgrind's."""
    return sum(int(line.partition(":")[2].split()[0]) for line in lines if line.startswith("totals:"))


def _request(request: int) -> int:
    """Ask valgrind for something and return its answer, 0 where this process is not run by it."""
    if not _stub:
        _stub.append(_make_stub())
    words = _Words(request)
    return _stub[0][0](ctypes.addressof(words), 0)


# Written down once: made anew for each request, the type would now and then be made while instructions are counted.
_Words = ctypes.c_uint64 * 6

# The function, and the memory that its code is in, which must live as long.
_stub: list[tuple[Callable[[int, int], int], mmap.mmap]] = []


def _make_stub() -> tuple[Callable[[int, int], int], mmap.mmap]:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError as error:
        raise ProbeError(
            f"callgrind cannot be asked to count: memory may not be executable here ({error.strerror}); "
            "leave out the budget 'callgrind'"
        ) from error
    page.write(_STUB)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)(address), page
