"""`perfguard doctor`: what on this machine makes measurements noisy or impossible, and what to do about it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from pytest_perfguard.cli import checks
from pytest_perfguard.cli.checks import Finding, Level
from pytest_perfguard.cli.inifile import ini_value
from pytest_perfguard.cli.output import print_lines, width
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.report.terminal import Line

_SAMPLED = 0.3
"""Seconds over which stolen time and the spread of equal work are observed."""
_STYLES = {Level.OK: "", Level.WARN: "yellow", Level.BAD: "red"}
_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print a line for each finding, and return 1 where one of them is bad."""
    findings = list(examine(place))
    print_lines(lines(findings, width()))
    return 1 if any(finding.level is Level.BAD for finding in findings) else 0


def lines(findings: Iterable[Finding], columns: int) -> Iterator[Line]:
    """Return the findings as text with their remedies."""
    for finding in findings:
        style = _STYLES[finding.level]
        text = textwrap.wrap(finding.what, max(columns - 6, 34), break_long_words=False, break_on_hyphens=False)
        for index, part in enumerate(text):
            yield Line(f"{finding.level if not index else '':<5} {part}", style)
        if finding.remedy:
            yield Line(f"      → {finding.remedy}", style)


def examine(place: Workplace) -> Iterator[Finding]:
    """Return all findings about this machine and `place`."""
    found = (*_machine(), *_noise(), *_instruments(), *_python(place.root), *_project(place))
    return (finding for finding in found if finding is not None)


def _machine() -> Iterator[Finding | None]:
    allowed = _allowed_processors()
    yield checks.processors(os.cpu_count() or 1, allowed)
    if hasattr(os, "getloadavg"):
        yield checks.load(os.getloadavg(), allowed)
    governors = [_text(path) for path in _CPU.glob("cpu[0-9]*/cpufreq/scaling_governor")]
    yield checks.governor([name.strip() for name in governors if name.strip()])
    yield checks.boost(_text(_CPU / "intel_pstate/no_turbo"), _text(_CPU / "cpufreq/boost"))
    v1, v2 = _CGROUP / "cpu", _cgroup(_text(Path("/proc/self/cgroup")))
    limit = checks.read_quota(_text(v2 / "cpu.max"), _text(v1 / "cpu.cfs_quota_us"), _text(v1 / "cpu.cfs_period_us"))
    yield checks.quota(limit, checks.read_throttled(_text(v2 / "cpu.stat") or _text(v1 / "cpu.stat")), allowed)


def _noise() -> Iterator[Finding | None]:
    stat = Path("/proc/stat")
    before = _text(stat)
    durations = _same_work(_SAMPLED)
    yield checks.steal(before, _text(stat))
    yield checks.spread(durations)


def _instruments() -> Iterator[Finding | None]:
    linux = sys.platform.startswith("linux")
    yield checks.waiting_time(_text(Path("/proc/thread-self/schedstat")), linux=linux)
    yield checks.resident_peak(
        _text(Path("/proc/self/status")), resettable=os.access("/proc/self/clear_refs", os.W_OK), linux=linux
    )
    source = _text(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource"))
    yield checks.clock(_clock_step(), source)


def _python(root: Path) -> Iterator[Finding | None]:
    environment = os.environ
    version = ".".join(str(part) for part in sys.version_info[:3])
    aids = {
        "PYTHONDEVMODE": sys.flags.dev_mode,
        "PYTHONMALLOC": "debug" in environment.get("PYTHONMALLOC", ""),
        "PYTHONTRACEMALLOC": environment.get("PYTHONTRACEMALLOC", "0") not in ("", "0"),
        "PYTHONASYNCIODEBUG": bool(environment.get("PYTHONASYNCIODEBUG")),
    }
    yield checks.interpreter(version, debug=hasattr(sys, "gettotalrefcount"), development=aids)
    yield checks.tracing(_tracers())
    yield checks.options(_addopts(root), xdist=find_spec("xdist") is not None)
    yield checks.hash_seed(environment.get("PYTHONHASHSEED"))
    yield checks.address_randomisation(_text(Path("/proc/sys/kernel/randomize_va_space")))


def _project(place: Workplace) -> Iterator[Finding | None]:
    yield checks.repository(_ask_git(place.root))
    if "://" in place.store_path:
        return
    folder = Path(place.store_path)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    runs, error = None, ""
    if folder.exists():
        try:
            runs = len(place.store.headers())
        except PerfguardError as problem:
            error = str(problem)
    yield checks.store(
        place.store_path,
        exists=folder.exists(),
        readable=os.access(existing, os.R_OK),
        writable=os.access(existing, os.W_OK),
        runs=runs,
        error=error,
    )
    yield checks.disk(place.store_path, shutil.disk_usage(existing).free)


def _text(path: Path) -> str:
    """Return a file's text, empty where there is none to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _allowed_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup(membership: str) -> Path:
    """Return the folder of this process's group (cgroup 2), from the text of /proc/self/cgroup."""
    for line in membership.splitlines():
        if line.startswith("0::"):
            own = _CGROUP / line[3:].lstrip("/")
            return own if (own / "cpu.max").exists() else _CGROUP
    return _CGROUP


def _same_work(duration: float) -> list[float]:
    """Return how long equal pieces of work of some milliseconds took, one after the other for `duration` seconds."""
    found: list[float] = []
    now = time.perf_counter()
    end = now + duration
    while now < end:
        sum(number * number for number in range(20_000))
        before, now = now, time.perf_counter()
        found.append(now - before)
    return found


def _clock_step() -> float:
    """Return the smallest difference that two readings of the clock show, in seconds."""
    readings = [time.perf_counter_ns() for _ in range(2000)]
    steps = [later - earlier for earlier, later in pairwise(readings) if later > earlier]
    return min(steps) * 1e-9 if steps else time.get_clock_info("perf_counter").resolution


def _tracers() -> Sequence[str]:
    found = []
    if sys.gettrace() is not None:
        found.append("a trace function")
    if sys.getprofile() is not None:
        found.append("a profile function")
    if sys.version_info >= (3, 12):
        names = (sys.monitoring.get_tool(number) for number in range(6))
        found += [f"sys.monitoring tool {name}" for name in names if name]
    return found + [name for name in ("COVERAGE_PROCESS_START", "COV_CORE_SOURCE") if os.environ.get(name)]


def _addopts(root: Path) -> str:
    """Return the options that pytest always gets in this project; what cannot be read counts as none."""
    return " ".join((os.environ.get("PYTEST_ADDOPTS", ""), ini_value(root, "addopts")))


def _ask_git(root: Path) -> tuple[int, str, str] | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(  # noqa: S603 - a fixed command
        [git, "rev-parse", "--is-shallow-repository"], cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr
