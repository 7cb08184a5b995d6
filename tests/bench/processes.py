"""Processes to measure in: runs of pytest with the plugins that are named, a background load, a pinned core."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PLUGINS = {"perfguard": "pytest_perfguard.plugin", "pytest-benchmark": "pytest_benchmark.plugin"}
"""The plugins by the name they have in tables; pytest loads no other, whatever is installed."""

_FOREIGN = ("PERFGUARD_", "PYTEST_", "GITHUB_", "CI_", "COV_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that came to its end: what it printed, and what it and its children used, in seconds."""

    code: int
    output: str
    cpu: float
    wall: float


def run_pytest(
    folder: Path,
    *arguments: str,
    plugins: Collection[str],
    environment: Mapping[str, str] | None = None,
    accept: Collection[int] | None = (0,),
    profile: Path | None = None,
    timeout: float | None = None,
) -> Finished:
    """Run pytest in `folder` with `plugins` alone and return what came of it; cpu is user and system time.

    With `profile`, cProfile counts its calls and writes to that file.

    Raises `RuntimeError` with the end of its output where its exit code is not one to `accept`; None accepts all.
    """
    clean = clean_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(environment or {})}
    profiler = [] if profile is None else ["-m", "cProfile", "-o", str(profile)]
    command = [sys.executable, *profiler, "-m", "pytest", "-p", "no:cacheprovider"]
    for plugin in plugins:
        command += ["-p", plugin]
    done = run_command([*command, *arguments], folder, environment=clean, timeout=timeout)
    if accept is not None and done.code not in accept:
        raise RuntimeError(f"{' '.join(command)} in {folder} ended with {done.code}:\n{done.output[-4000:]}")
    return done


def run_command(
    command: Sequence[str], folder: Path, *, environment: Mapping[str, str], timeout: float | None = None
) -> Finished:
    """Run a command in `folder`; after `timeout` seconds it is killed, and its code is -9."""
    before, started = _used(), time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output = f"{process.communicate()[0]}\nkilled after {timeout:.0f} s"
        except BaseException:
            process.kill()
            raise
    wall, cpu = time.perf_counter() - started, _used() - before
    return Finished(code=process.returncode, output=output, cpu=cpu, wall=wall)


@contextlib.contextmanager
def load(condition: str) -> Iterator[None]:
    """Load the machine in the context: not at all in "quiet", as the name of the condition says in the others.

    "busy" is one process, free to move between the processors; "loaded" is one on each processor, bound to it, in turn
    with arithmetic and allocation.
    """
    places = {"quiet": [], "busy": ["any"], "loaded": [str(core) for core in cores()]}[condition]
    hogs: list[subprocess.Popen[bytes]] = []
    try:
        for number, place in enumerate(places):
            kind = ("arithmetic", "allocation")[number % 2]
            hogs.append(subprocess.Popen([sys.executable, str(HERE / "hog.py"), kind, place, str(os.getpid())]))
        if hogs:
            time.sleep(1.0)  # until all of them are at work
        if any(hog.poll() is not None for hog in hogs):
            raise RuntimeError("a process that should keep a processor busy has ended by itself")
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.wait()


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Keep this process and those it starts on one core: the cores of virtual machines differ in speed, and change."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def clean_environment() -> dict[str, str]:
    """Return the environment without what would steer a plugin, or tell it that this is CI."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def cores() -> list[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that whatever is to be removed is removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
