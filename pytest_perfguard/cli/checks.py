"""Single facts about a machine and what they mean for measurements: each check gets what was read, and reads nothing.

A check returns a `Finding`. None or an empty text stands for what this system does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_perfguard.quantity import Unit, render
from pytest_perfguard.report.digest import plural

_MIB = 1024 * 1024


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"
    """Measurements are noisier than they need to be, or some cannot be made."""
    BAD = "bad"
    """Measurements are wrong or impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor: how bad, what was found, and what to do about it."""

    level: Level
    what: str
    remedy: str = ""


def _ok(what: str) -> Finding:
    return Finding(level=Level.OK, what=what)


def _warn(what: str, remedy: str) -> Finding:
    return Finding(level=Level.WARN, what=what, remedy=remedy)


def _bad(what: str, remedy: str) -> Finding:
    return Finding(level=Level.BAD, what=what, remedy=remedy)


def processors(present: int, allowed: int) -> Finding:
    """Judge how many processors there are and how many this process may use."""
    what = f"{present} processors" if allowed == present else f"{allowed} of {present} processors may be used"
    if allowed == 1:
        return _warn(
            "1 processor: everything else that runs interrupts what is measured",
            "use a machine with 2 or more, or stop other work while measuring",
        )
    return _ok(what)


def load(averages: Sequence[float], allowed: int) -> Finding:
    """Judge the load averages of 1, 5 and 15 minutes against the number of processors."""
    what = f"load average {averages[0]:.2f} on {allowed} processors"
    if averages[0] >= allowed:
        return _bad(f"{what}: processes wait for a processor", "wait until the machine is idle, or stop other work")
    if averages[0] > allowed / 2:
        return _warn(f"{what}: other work is running", "wait until the machine is idle, or stop other work")
    return _ok(what)


def governor(governors: Collection[str]) -> Finding:
    """Judge the frequency governors in use; none where the system does not show them, as in virtual machines."""
    if not governors:
        return _ok("processor frequency is not controlled from here (virtual machine, or not Linux)")
    named = ", ".join(sorted(set(governors)))
    if set(governors) == {"performance"}:
        return _ok("processor frequency governor: performance")
    return _warn(
        f"processor frequency governor: {named}: the clock rate follows the load",
        "sudo cpupower frequency-set --governor performance",
    )


def boost(no_turbo: str, boosted: str) -> Finding:
    """Judge the texts of intel_pstate/no_turbo and cpufreq/boost."""
    if no_turbo.strip() == "0":
        return _warn(
            "turbo is on: the clock rate depends on heat and on the other cores",
            "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo",
        )
    if boosted.strip() == "1":
        return _warn(
            "boost is on: the clock rate depends on heat and on the other cores",
            "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
        )
    known = no_turbo.strip() or boosted.strip()
    return _ok("turbo is off" if known else "turbo cannot be seen from here")


def steal(before: str, after: str) -> Finding | None:
    """Judge two texts of /proc/stat, some time apart: the share of processor time that the hypervisor gave others."""
    first, second = _processor_times(before), _processor_times(after)
    if first is None or second is None:
        return None
    spent = sum(second[:8]) - sum(first[:8])
    share = (second[7] - first[7]) / spent if spent > 0 else 0.0
    what = f"{render(share, Unit.RATIO)} of processor time stolen by other virtual machines"
    remedy = "save several runs of a commit, so that this noise is known, or use another machine"
    if share >= 0.05:
        return _bad(what, remedy)
    return _warn(what, remedy) if share >= 0.01 else _ok(what)


def _processor_times(text: str) -> list[int] | None:
    """Return the times of the line "cpu" in ticks: user, nice, system, idle, iowait, irq, softirq, steal, …"""
    fields = text.partition("\n")[0].split()
    return [int(field) for field in fields[1:]] if len(fields) >= 9 and fields[0] == "cpu" else None


def spread(durations: Sequence[float]) -> Finding:
    """Judge how long the same piece of work took, again and again: the noise as a test would meet it."""
    ordered = sorted(durations)
    tenth = len(ordered) // 10
    low, middle, high = ordered[tenth], ordered[len(ordered) // 2], ordered[-1 - tenth]
    width = (high - low) / middle
    shown = f"{render(low, Unit.SECONDS)} to {render(high, Unit.SECONDS)}"
    what = f"the same work took {shown} ({len(ordered)} times, without the outer tenths: {render(width, Unit.RATIO)})"
    remedy = "save several runs of a commit with --perfguard-save, so that verdicts are not inconclusive"
    if width > 0.2:
        return _bad(what, remedy)
    return _warn(what, remedy) if width > 0.05 else _ok(what)


def waiting_time(schedstat: str | None, *, linux: bool) -> Finding:
    """Judge the text of a thread's schedstat file: time on a processor, time waiting for one, number of turns."""
    remedy = "on a busy machine read the metric cpu beside time"
    if not linux:
        return _warn("time spent waiting for a processor is told by Linux only: time is wall time here", remedy)
    fields = (schedstat or "").split()
    if len(fields) == 3 and fields != ["0", "0", "0"]:
        return _ok("time spent waiting for a processor is known and taken off (schedstat)")
    return _warn(
        "the kernel does not tell the time spent waiting for a processor (schedstat): time is wall time here",
        f"boot with the kernel parameter delayacct, or {remedy}",
    )


def resident_peak(status: str, *, resettable: bool, linux: bool) -> Finding:
    """Judge the text of /proc/self/status and whether /proc/self/clear_refs can be written to."""
    remedy = "expect memory to be sampled, which may miss short peaks"
    if not linux:
        return _warn("the peak of resident memory can be reset on Linux only", remedy)
    if not re.search(r"^VmHWM:\s+\d+ kB$", status, re.MULTILINE):
        return _warn("the kernel does not tell the peak of resident memory (VmHWM)", remedy)
    if not resettable:
        return _warn("the peak of resident memory cannot be reset (/proc/self/clear_refs)", remedy)
    return _ok("the peak of resident memory can be read and reset (VmHWM, clear_refs)")


def clock(step: float, source: str) -> Finding:
    """Judge the smallest step between two readings of the clock, in seconds, and Linux's name for its source."""
    named = f" ({source.strip()})" if source.strip() else ""
    what = f"clock resolution {render(step, Unit.SECONDS)}{named}"
    if step > 1e-5:
        return _warn(what, "expect short tests to be repeated more often in a round")
    if source.strip() in {"hpet", "acpi_pm", "jiffies"}:
        return _warn(f"{what}: slow to read", "boot with a faster clock source such as tsc, where the machine has one")
    return _ok(what)


def hash_seed(value: str | None) -> Finding:
    """Judge the environment variable PYTHONHASHSEED."""
    if value in (None, "", "random"):
        return _ok("hash seed: another one in each process, so several runs average over it")
    return _ok(f"hash seed: fixed at {value}; times of sets and dicts of str are those of this seed")


def address_randomisation(text: str) -> Finding | None:
    """Judge the text of /proc/sys/kernel/randomize_va_space."""
    value = text.strip()
    if not value:
        return None
    if value == "0":
        return _ok("address randomisation: off")
    return _ok("address randomisation: on, so several runs average over memory layouts")


def quota(limit: tuple[int, int] | None, throttled: int, allowed: int) -> Finding:
    """Judge a container's limit, (microseconds of processor time, in a period of so many), and how often it struck."""
    if limit is None:
        return _ok("no limit on processor time (cgroup)")
    share = limit[0] / limit[1]
    what = (
        f"processor time is limited to {share:.3g} of {allowed} processors (cgroup), throttled {throttled} times so far"
    )
    if share < 1:
        return _bad(f"{what}: a busy process is stopped in each period", "give the container at least 1 processor")
    if share < allowed:
        return _warn(what, "lift the limit (docker: --cpuset-cpus rather than --cpus; Kubernetes: static CPU manager)")
    return _ok(what)


def read_quota(cpu_max: str, quota_v1: str, period_v1: str) -> tuple[int, int] | None:
    """Return the limit in the texts of cpu.max (cgroup 2) or cpu.cfs_quota_us and cpu.cfs_period_us (cgroup 1)."""
    fields = cpu_max.split() or [quota_v1.strip(), period_v1.strip()]
    if len(fields) != 2 or not all(field.isdecimal() for field in fields):
        return None  # "max" and -1 stand for no limit
    return (int(fields[0]), int(fields[1])) if int(fields[1]) else None


def read_throttled(cpu_stat: str) -> int:
    """Return how often the limit struck, from the text of cpu.stat."""
    found = re.search(r"^nr_throttled (\d+)$", cpu_stat, re.MULTILINE)
    return int(found[1]) if found else 0


def repository(answer: tuple[int, str, str] | None) -> Finding:
    """Judge exit code, output and errors of `git rev-parse --is-shallow-repository`; None where there is no git."""
    if answer is None:
        return _warn(
            "git was not found: runs are stored without a commit", "install git, and put it on the PATH of the tests"
        )
    code, output, errors = answer
    if code and "dubious ownership" in errors:
        return _warn(
            "git refuses this repository, which belongs to another user",
            "git config --global --add safe.directory PATH, with the path of the repository",
        )
    if code:
        return _warn(
            "no git repository here: runs are stored without a commit", "run in the project's folder, or git init"
        )
    if output.strip() == "true":
        return _warn(
            "the repository is a shallow clone: the merge base and older baselines may not be found",
            "git fetch --unshallow, or in GitHub Actions actions/checkout with fetch-depth: 0",
        )
    return _ok("git repository with its history")


def store(path: str, *, exists: bool, readable: bool, writable: bool, runs: int | None, error: str = "") -> Finding:
    """Judge the folder of stored runs: `runs` is how many it has, `error` why they could not be listed."""
    if error:
        return _bad(f"the store {path} cannot be read: {error}", "repair it, or name another one with --store")
    if exists and not readable:
        return _bad(f"the store {path} cannot be read", "change its permissions, or name another one with --store")
    if not writable:
        return _bad(f"the store {path} cannot be written to", "change its permissions, or set PERFGUARD_STORE")
    if not exists or not runs:
        return _ok(f"no run is stored in {path} yet; pytest --perfguard-save stores one")
    return _ok(f"{plural(runs, 'stored run')} in {path}")


def disk(path: str, free: int) -> Finding:
    """Judge the free bytes of the disk that holds `path`."""
    what = f"{render(free, Unit.BYTES)} free for {path}"
    remedy = "free some space; perfguard prune removes old runs"
    if free < 20 * _MIB:
        return _bad(what, remedy)
    return _warn(what, remedy) if free < 500 * _MIB else _ok(what)


def options(addopts: str, *, xdist: bool) -> Finding:
    """Judge the options that pytest always gets, from its configuration and PYTEST_ADDOPTS."""
    if re.search(r"(?<!\S)--cov(?=[=\s]|$)", addopts):
        return _warn(
            "pytest always measures coverage here (--cov), which slows Python code down", "add --no-cov to perf runs"
        )
    workers = re.search(r"(?<!\S)(?:-n\s*|--numprocesses[=\s])(?!0(?:\s|$))(\S+)", addopts)
    if workers and xdist:
        return _warn(
            f"pytest always runs {workers[0]} (pytest-xdist): tests compete for the machine and times do not gate",
            "add -n 0 to perf runs",
        )
    if xdist:
        return _ok("pytest-xdist is installed; without -n it does not disturb")
    return _ok("pytest's options do not disturb")


def tracing(tracers: Sequence[str]) -> Finding:
    """Judge the names of what watches every call or line in this or in each started process."""
    if not tracers:
        return _ok("no tracer, profiler or coverage is active")
    return _bad(
        f"active in Python processes started here: {', '.join(tracers)}: Python code runs several times slower",
        "measure without them",
    )


def interpreter(version: str, *, debug: bool, development: Mapping[str, bool]) -> Finding:
    """Judge whether Python is a debug build, and which of its development aids are on."""
    if debug:
        return _bad(f"Python {version} is a debug build: its times mean nothing", "use a release build")
    active = [name for name, on in development.items() if on]
    if active:
        return _bad(f"Python {version} runs with {', '.join(active)}", f"unset {' and '.join(active)}")
    return _ok(f"Python {version}, a release build")
