"""Memory in inner sessions: a copy of the process is asked, with and without workers, and the suite notices nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a copy")

MIB = 1024 * 1024
TESTS = """
import os, pytest
from pytest_perfguard.probes.memory.peak import probe as peak

TAKEN = peak._ask

def ask():
    token = TAKEN()
    if token.link is None:
        print("ANSWER", token.answer, token.reason)
    return token

peak._ask = ask
calls = []

@pytest.fixture(scope="module", autouse=True)
def calls_are_of_this_process():
    yield
    assert set(calls) == {os.getpid()}

def work():
    calls.append(os.getpid())
    print("hello")
    return len(b"x" * (48 * 2**20))
"""
BODIES = {
    "fixture": """
    @pytest.mark.perf_budget(memory="4 MB")
    def test_it(perf):
        perf(work)
    """,
    "marker": """
    @pytest.mark.perf_budget(memory="4 MB")
    def test_it():
        work()
    """,
}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_copy_of_the_process_answers(tmp_path, body, workers):
    done = _run(tmp_path, body, "-n", workers)
    answers = [line.split() for line in done.splitlines() if line.startswith("ANSWER")]
    assert answers, done
    assert all(int(answer[1]) == pytest.approx(48 * MIB, rel=0.02) for answer in answers), answers
    assert "over its budget: 48" in done
    assert "ERROR" not in done


def test_the_body_of_a_test_changes_the_world_once_a_run(tmp_path):
    body = """
    @pytest.mark.perf_budget(memory="100 MB")
    def test_it(tmp_path):
        (tmp_path / "folder").mkdir()
        work()
    """
    assert "1 passed" in _run(tmp_path, body, "-n", "0")


def _run(folder, body, *arguments):
    """Return the output of a session in a process of its own, without the plugin whose thread and socket are open."""
    (folder / "test_it.py").write_text(TESTS + textwrap.dedent(body))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-p", "no:rerunfailures", "-p", "no:asyncio", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *options, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100).stdout
