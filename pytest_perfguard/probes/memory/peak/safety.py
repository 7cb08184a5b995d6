"""Whether a call may be made in a forked copy of this process: what a copy would share with it, or lack."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pytest_perfguard.probes.memory.libc import Span, settle_threads
from pytest_perfguard.probes.memory.peak.descriptors import Descriptors, Unsafe, survey

_OPENMP = re.compile(r"lib(?:g|i|)omp\d*[-.\w]*\.so")
_OPENBLAS = re.compile(r"openblas[-.\w]*\.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a copy of this process has to know of it."""

    descriptors: Descriptors
    files: tuple[Span, ...]
    """Readable mappings of files: code and constants of libraries."""
    single: bool
    """Whether there are no threads of C libraries, which would come back in a copy."""


def examine() -> Survey:
    """Return what a copy of this process has to know; raises `Unsafe` where a call must not be made in a copy.

    Refused are other threads of Python, unless they wait for xdist's controller or for a timer, and threads of C
    libraries other than OpenBLAS, which ends its own around a fork; event loops, running or with their sockets open;
    child processes; handlers of SIGCHLD; memory shared with others; and what `descriptors.survey` refuses.
    """
    if not hasattr(os, "fork") or not sys.platform.startswith("linux"):
        raise Unsafe("this system has no fork, or no peak that can be reset")
    if _loop_runs():
        raise Unsafe("an event loop runs")
    if signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        raise Unsafe("the end of child processes is handled (SIGCHLD)")
    if _has_children():
        raise Unsafe("this process has child processes")
    ours = _wait_on_pipes()
    files, libraries = _mappings()
    return Survey(descriptors=survey(ours), files=files, single=not _has_native_threads(libraries))


def _loop_runs() -> bool:
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _wait_on_pipes() -> frozenset[int]:
    """Return the descriptors on which xdist's workers hear from the controller; raises `Unsafe` for other threads."""
    own = threading.get_ident()
    known = {thread.ident: thread for thread in threading.enumerate()}
    pipes: set[int] = set()
    for number, frame in sys._current_frames().items():
        if number == own:
            continue
        channel = _channel(frame)
        thread = known.get(number)
        waits = isinstance(thread, threading.Timer) and frame.f_code.co_filename == threading.__file__
        if channel is None and not waits:
            raise Unsafe(f"the thread {thread.name} runs" if thread else "another thread runs")
        pipes.update(channel or ())
    return frozenset(pipes)


def _channel(frame: FrameType) -> tuple[int, ...] | None:
    """Return the descriptors of the channel that execnet's receiving thread waits on, None for other threads."""
    waiting: FrameType | None = frame
    while waiting is not None:
        if waiting.f_globals.get("__name__") != "execnet.gateway_base":
            return None
        if waiting.f_code.co_name == "read":
            channel = waiting.f_locals.get("self")
            files = (getattr(channel, "infile", None), getattr(channel, "outfile", None))
            return tuple(file.fileno() for file in files if file is not None)
        waiting = waiting.f_back
    return None


def _mappings() -> tuple[tuple[Span, ...], str]:
    """Return the readable mappings of files, and the names of all; raises `Unsafe` for memory that others see."""
    try:
        text = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise Unsafe("the system does not tell what is mapped") from error
    files: list[Span] = []
    for line in text.splitlines():
        span, rights, _, _, _, *name = line.split(None, 5)
        if rights[1] == "w" and rights[3] == "s":
            raise Unsafe("memory is shared with other processes")
        if name and name[0].startswith("/") and rights[0] == "r":
            start, end = (int(address, 16) for address in span.split("-"))
            files.append((start, end - start))
    return tuple(files), text


def _has_native_threads(libraries: str) -> bool:
    """Return whether OpenBLAS has threads; raises `Unsafe` for those of other libraries."""
    native = settle_threads() - len(sys._current_frames())
    if native <= 0:
        return False
    if _OPENMP.search(libraries):
        raise Unsafe("threads of OpenMP run")
    copies = len(set(_OPENBLAS.findall(libraries)))
    if native > copies * ((os.cpu_count() or 1) - 1):
        raise Unsafe("threads of a C library run")
    return True
