from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes import callgrind
from pytest_perfguard.probes.callgrind import CallgrindProbe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="callgrind is used on Linux only")

VALGRIND = """\
#!/bin/sh
echo "$@" > "{told}"
env > "{told}.env"
echo "run" >> "{told}.runs"
{script}
"""


@pytest.fixture
def valgrind(tmp_path, monkeypatch):
    """Put a program in valgrind's place that runs a line of shell, and return what it was told."""
    monkeypatch.setattr(callgrind.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PERFGUARD_SAVE", "1")
    monkeypatch.setenv("PERFGUARD_SIDE", "base")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 2")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.delenv("PYTHONMALLOC", raising=False)
    told = tmp_path / "told"

    def make(script):
        monkeypatch.setenv("PYTEST_CURRENT_TEST", f"tests/test_it.py::test_{tmp_path.name} (call)")
        program = tmp_path / "bin" / "valgrind"
        program.parent.mkdir(exist_ok=True)
        program.write_text(VALGRIND.format(told=told, script=script), encoding="ascii")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return told

    return make


def values(*rows):
    return "\n".join(f'echo "{number} {value}" >> "$PERFGUARD_CALLGRIND/values"' for number, value in rows)


def read(probe):
    token = probe.start()
    return probe.stop(token).values["callgrind"]


def test_each_measurement_of_a_test_gets_its_own_count_from_one_run(valgrind, tmp_path):
    told = valgrind(values(*((4, n) for n in (900, 120, 103, 101, 102)), *((7, n) for n in (50, 40, 30, 20, 25))))
    first, second = CallgrindProbe(tmp_path), CallgrindProbe(tmp_path)
    assert (first.warmup, first.rounds) == (0, 1)
    assert [read(first), read(second)] == [101, 20]
    assert Path(f"{told}.runs").read_text().split() == ["run"]
    assert read(CallgrindProbe(tmp_path)) == 101  # another attempt of the test runs it again
    assert Path(f"{told}.runs").read_text().split() == ["run"] * 2


def test_the_run_measures_one_test_and_nothing_else(valgrind, tmp_path):
    told = valgrind(values((1, 5)))
    assert read(CallgrindProbe(tmp_path)) == 5
    words = told.read_text().split()
    assert "--instr-atstart=no" in words
    assert words[words.index("pytest") + 1].startswith("tests/test_it.py::test_")
    assert words[words.index("--rootdir") + 1] == str(tmp_path)
    assert {"addopts=", "perfguard_save=false", "perfguard_against="} <= set(words)
    environment = dict(line.partition("=")[::2] for line in Path(f"{told}.env").read_text().splitlines() if "=" in line)
    assert environment["PYTHONHASHSEED"] == "0"
    assert environment["PYTHONMALLOC"] == "malloc"
    assert environment["PERFGUARD_SIDE"] == "base"
    assert not {"PERFGUARD_SAVE", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"} & environment.keys()
    assert not Path(environment["PERFGUARD_CALLGRIND"]).exists()


def test_a_hash_seed_of_the_user_is_kept(valgrind, tmp_path, monkeypatch):
    told = valgrind(values((1, 5)))
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    read(CallgrindProbe(tmp_path))
    assert "PYTHONHASHSEED=77" in Path(f"{told}.env").read_text()


def test_a_run_that_counts_nothing_says_what_it_said(valgrind, tmp_path):
    valgrind("echo a sad story; exit 4")
    with pytest.raises(ProbeError, match=r"counted nothing of tests/test_it.*\(exit code 4\)[\s\S]*a sad story"):
        read(CallgrindProbe(tmp_path))


def test_a_run_that_takes_too_long_is_given_up(valgrind, tmp_path, monkeypatch):
    valgrind("exec sleep 60")
    monkeypatch.setattr(callgrind, "_SECONDS", 0.05)
    with pytest.raises(ProbeError, match=r"given up: tests/test_it\.py::test_.* took longer than 0\.05 s"):
        read(CallgrindProbe(tmp_path))


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "test_it.py::test_missing (call)")
    monkeypatch.setattr(callgrind.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(callgrind.shutil, "which", lambda _: None)
    with pytest.raises(ProbeError, match="needs valgrind, which is not on PATH; install it, or leave out"):
        CallgrindProbe(tmp_path).start()
    monkeypatch.setattr(callgrind.platform, "machine", lambda: "aarch64")
    with pytest.raises(ProbeError, match="not used on linux with aarch64"):
        CallgrindProbe(tmp_path).start()
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with pytest.raises(ProbeError, match="a whole test of pytest, and none is running"):
        CallgrindProbe(tmp_path).start()


@pytest.mark.skipif(callgrind.platform.machine() != "x86_64", reason="the request to valgrind is code for x86-64")
def test_outside_of_valgrind_its_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PERFGUARD_CALLGRIND", str(tmp_path))
    probe = CallgrindProbe(tmp_path)
    assert (probe.warmup, probe.rounds) == (2, 3)
    with pytest.raises(ProbeError, match="callgrind does not run this process, but PERFGUARD_CALLGRIND is set"):
        probe.start()


def test_the_total_of_a_file_is_read():
    lines = ["version: 1", "events: Ir", "fn=(1)", "12 7", "summary: 0", "totals: 598914"]
    assert callgrind._total(lines) == 598914
    assert callgrind._total(["totals: 20 3 4"]) == 20
