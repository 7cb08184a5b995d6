from __future__ import annotations

import pytest

from pytest_perfguard.cli import checks
from pytest_perfguard.cli.checks import Level

STAT = "cpu  100 0 100 800 0 0 0 {steal} 0 0\ncpu0 1 2 3\n"
LATER = "cpu  150 0 150 {idle} 0 0 0 {steal} 50 0\ncpu0 1 2 3\n"
STATUS = "Name:\tpython\nVmHWM:\t    2176 kB\nVmRSS:\t 2000 kB\n"


def steal(ticks):
    return checks.steal(STAT.format(steal=7), LATER.format(steal=7 + ticks, idle=1700 - ticks))


def memory(status, **more):
    return checks.resident_peak(status, **{"resettable": True, "linux": True, **more})


def kept(**more):
    return checks.store("b", **{"exists": True, "readable": True, "writable": True, "runs": 3, **more})


def python(**more):
    return checks.interpreter("3.12.1", **{"debug": False, "development": {"PYTHONDEVMODE": False}, **more})


@pytest.mark.parametrize(
    ("finding", "level", "said"),
    [
        (checks.processors(8, 8), "ok", "8 processors"),
        (checks.processors(8, 4), "ok", "4 of 8 processors may be used"),
        (checks.processors(8, 1), "warn", "interrupts what is measured"),
        (checks.load((0.2, 0, 0), 2), "ok", "0.20 on 2"),
        (checks.load((1.2, 0, 0), 2), "warn", "1.20 on 2"),
        (checks.load((2.0, 0, 0), 2), "bad", "wait for a processor"),
        (checks.governor([]), "ok", "not controlled from here"),
        (checks.governor(["performance"] * 4), "ok", "performance"),
        (checks.governor(["powersave", "performance"]), "warn", "performance, powersave"),
        (checks.boost("", ""), "ok", "cannot be seen"),
        (checks.boost("1\n", ""), "ok", "turbo is off"),
        (checks.boost("0\n", ""), "warn", "turbo is on"),
        (checks.boost("", "1\n"), "warn", "boost is on"),
        (checks.boost("", "0\n"), "ok", "turbo is off"),
        (steal(0), "ok", "0 %"),
        (steal(20), "warn", "2 %"),
        (steal(60), "bad", "6 %"),
        (checks.spread([1e-3] * 99 + [9e-3]), "ok", "1 ms to 1 ms"),
        (checks.spread([1e-3] * 80 + [1.1e-3] * 20), "warn", "10 %"),
        (checks.spread([1e-3] * 80 + [2e-3] * 20), "bad", "100 %"),
        (checks.waiting_time("123 45 6\n", linux=True), "ok", "taken off"),
        (checks.waiting_time("0 0 0\n", linux=True), "warn", "does not tell"),
        (checks.waiting_time("", linux=True), "warn", "does not tell"),
        (checks.waiting_time("", linux=False), "warn", "Linux only"),
        (memory(STATUS), "ok", "read and reset"),
        (memory(STATUS, resettable=False), "warn", "clear_refs"),
        (memory("Name:\tpython\n"), "warn", "VmHWM"),
        (memory("", linux=False), "warn", "Linux only"),
        (checks.clock(40e-9, "tsc\n"), "ok", "40 ns (tsc)"),
        (checks.clock(15.6e-3, ""), "warn", "15.6 ms"),
        (checks.clock(1e-6, "hpet\n"), "warn", "slow to read"),
        (checks.hash_seed(None), "ok", "another one"),
        (checks.hash_seed("0"), "ok", "fixed at 0"),
        (checks.address_randomisation("2\n"), "ok", "on"),
        (checks.address_randomisation("0\n"), "ok", "off"),
        (checks.quota(None, 0, 4), "ok", "no limit"),
        (checks.quota((400_000, 100_000), 0, 4), "ok", "4 of 4"),
        (checks.quota((150_000, 100_000), 7, 4), "warn", "1.5 of 4 processors (cgroup), throttled 7 times"),
        (checks.quota((50_000, 100_000), 7, 4), "bad", "0.5 of 4"),
        (checks.repository(None), "warn", "git was not found"),
        (checks.repository((0, "false\n", "")), "ok", "history"),
        (checks.repository((0, "true\n", "")), "warn", "shallow"),
        (checks.repository((128, "", "fatal: not a git repository")), "warn", "no git repository"),
        (checks.repository((128, "", "fatal: detected dubious ownership in")), "warn", "another user"),
        (kept(), "ok", "3 stored runs in b"),
        (kept(runs=0), "ok", "no run is stored in b yet"),
        (kept(exists=False, runs=None), "ok", "yet"),
        (kept(writable=False), "bad", "cannot be written"),
        (kept(readable=False), "bad", "cannot be read"),
        (kept(error="store.json is damaged", runs=None), "bad", "store.json is damaged"),
        (checks.disk("b", 2**31), "ok", "2 GiB"),
        (checks.disk("b", 100 * 2**20), "warn", "100 MiB"),
        (checks.disk("b", 2**20), "bad", "1 MiB"),
        (checks.options("-ra", xdist=False), "ok", "do not disturb"),
        (checks.options("-ra -n 0", xdist=True), "ok", "installed"),
        (checks.options("-ra -n auto", xdist=True), "warn", "-n auto"),
        (checks.options("-n4", xdist=True), "warn", "-n4"),
        (checks.options("--numprocesses=2", xdist=True), "warn", "--numprocesses=2"),
        (checks.options("-n auto", xdist=False), "ok", "do not disturb"),
        (checks.options("-q --cov=src", xdist=True), "warn", "--cov"),
        (checks.options("--cov", xdist=True), "warn", "--cov"),
        (checks.options("--covey -new", xdist=False), "ok", "do not disturb"),
        (checks.tracing([]), "ok", "no tracer"),
        (checks.tracing(["sys.monitoring tool coverage"]), "bad", "coverage"),
        (python(), "ok", "3.12.1"),
        (python(debug=True), "bad", "debug build"),
        (python(development={"PYTHONMALLOC": True, "PYTHONDEVMODE": False}), "bad", "PYTHONMALLOC"),
    ],
)
def test_finding(finding, level, said):
    assert (finding.level, said in finding.what) == (Level(level), True), finding
    assert bool(finding.remedy) == (level != "ok")


def test_what_the_system_does_not_tell_gives_no_finding():
    assert checks.steal("", "") is None
    assert checks.steal("cpu 1 2 3\n", "cpu 1 2 3\n") is None
    assert checks.address_randomisation("") is None


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("max 100000\n", "", ""), None),
        (("150000 100000\n", "", ""), (150_000, 100_000)),
        (("", "-1\n", "100000\n"), None),
        (("", "50000\n", "100000\n"), (50_000, 100_000)),
        (("", "", ""), None),
        (("0 0\n", "", ""), None),
    ],
)
def test_container_limit_is_read_from_both_generations(texts, expected):
    assert checks.read_quota(*texts) == expected


def test_throttling_is_read():
    assert checks.read_throttled("nr_periods 10\nnr_throttled 3\nthrottled_usec 9\n") == 3
    assert checks.read_throttled("") == 0
