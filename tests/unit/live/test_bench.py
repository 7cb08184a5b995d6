from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import bench as module
from pytest_perfguard.live.bench import Bench, interpreter_flags
from pytest_perfguard.live.process import WorkerDiedError
from pytest_perfguard.live.sides import Side, Sides
from pytest_perfguard.model import Commit


class Worker:
    """A worker that has collected its tests, and keeps what is said to it."""

    def __init__(self, launch, log, collected):
        self.side, self._launch, self._log, self._collected = launch.side, launch, log, collected
        launch.log.write_text("printed")

    def _note(self, *what):
        self._log.append((self.side.name, *what))

    def send(self, message):
        self._note("send", message)

    def receive(self, timeout):
        self._note("receive", timeout)
        if isinstance(self._collected, Exception):
            raise self._collected
        return self._collected

    def ask(self, message, timeout):
        self._note("ask", message, timeout)
        return {"at": "bound"}

    def dismiss(self):
        self._note("dismiss")

    def finish(self):
        self._note("finish")

    def end(self):
        self._note("end")


@pytest.fixture
def home(tmp_path):
    """The user's own tree."""
    return tmp_path / "app"


@pytest.fixture
def bench(tmp_path, home, monkeypatch, bare_environment):
    """A bench whose base is in a tree of its own, and whose head is the user's."""
    monkeypatch.setenv("SOMETHING", "kept")
    folder = tmp_path / "run"
    folder.mkdir()

    def side(name, tree, **more):
        return Side(name=name, tree=tree, root=tree, cwd=tree / "tests", python=f"python-{name}", **more)

    sides = Sides(
        base=side("base", tmp_path / "base", pins=(("app", "base/src"),)), head=side("head", home),
        commit=Commit(), reason="main", home=home,
    )  # fmt: skip
    return Bench(
        sides=sides, arguments=("-k", "fast", f"{home}/tests", f"--conf={home}/a:{home}/b"),
        files=(home / "tests" / "test_a.py",), folder=folder, groups=None, here=False,
        pin=lambda folder, side: {"PYTHONPATH": str(folder), "PINNED": side.name}, home=home, ini=home / "pytest.ini",
        timeout=9.0,
    )  # fmt: skip


@pytest.fixture
def started(monkeypatch):
    """Everything that is said to the workers of all pairs; `started.launches` are how they would have been started."""

    class Log(list):
        launches = ()
        collected = ({"at": "collected", "pinned": True}, {"at": "collected", "pinned": False})

    log = Log()

    def start(launches, groups, *_):
        log.launches = launches
        return [Worker(launch, log, said) for launch, said in zip(launches, log.collected, strict=True)]

    monkeypatch.setattr(module, "start_pair", start)
    return log


def test_a_pair_is_started_greeted_bound_and_ended(bench, started, home, tmp_path):
    with bench.open_pair(3, 1) as duel:
        assert [worker.side.name for worker in duel._workers] == ["base", "head"]
        assert not any(entry[1] in ("finish", "end") for entry in started)
    asks = [entry[2:] for entry in started if entry[1] == "ask"]
    assert asks == [({"do": "bind", "core": 1}, 9.0)] * 2
    hellos = [message for _, what, *rest in started if what == "send" for message in rest]
    assert [hello["files"] for hello in hellos] == [
        [f"{tmp_path}/base/tests/test_a.py"], [f"{home}/tests/test_a.py"],
    ]  # fmt: skip
    assert [hello["workerinput"]["workerid"] for hello in hellos] == ["gw1", "gw0"]
    assert {hello["workerinput"]["workercount"] for hello in hellos} == {2}
    assert [entry[0] for entry in started if entry[1] == "end"] == ["base", "head"]
    assert started.index(("head", "finish")) < started.index(("base", "end"))
    assert not any(launch.log.exists() for launch in started.launches)


def test_both_are_greeted_before_either_is_waited_for(bench, started):
    with bench.open_pair(1, None):
        pass
    assert [entry[1] for entry in started][:4] == ["send", "send", "receive", "receive"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, WorkerDiedError("base", "it ended")])
def test_both_are_ended_whatever_happens_in_between(bench, started, error):
    with pytest.raises(BaseException) as raised, bench.open_pair(1, 0):
        raise error
    assert raised.type in (KeyboardInterrupt, WorkerDiedError)
    assert [entry[0] for entry in started if entry[1] == "end"] == ["base", "head"]
    assert not any(launch.log.exists() for launch in started.launches)


def test_both_are_ended_where_one_cannot_collect(bench, started):
    started.collected = ({"at": "collected", "pinned": True}, WorkerDiedError("head", "it ended"))
    with pytest.raises(WorkerDiedError), bench.open_pair(1, 0):
        pytest.fail("a pair of which one is dead was opened")
    assert [entry[0] for entry in started if entry[1] == "end"] == ["base", "head"]


def test_a_side_that_is_not_pinned_although_it_must_be_is_an_error(bench, started):
    started.collected = ({"at": "collected", "pinned": False}, {"at": "collected", "pinned": False})
    with pytest.raises(MeasurementError, match="base could not be kept from importing"), bench.open_pair(1, 0):
        pytest.fail("a pair was opened that compares head with itself")
    assert [entry[0] for entry in started if entry[1] == "end"] == ["base", "head"]


def test_what_tests_wrote_to_their_temporary_folders_goes_with_the_pair(bench, started):
    with bench.open_pair(4, 0):
        written = [bench.folder / name / "test_x0" for name in ("base-4", "head-4")]
        for folder in written:
            folder.mkdir(parents=True)
    assert not any(folder.parent.exists() for folder in written)


def environments(bench, started, number=1):
    with bench.open_pair(number, 0):
        return [dict(launch.environment) for launch in started.launches]


def test_sides_share_the_seed_of_hashes_and_pairs_do_not(bench, started):
    seeds = [[each["PYTHONHASHSEED"] for each in environments(bench, started, number)] for number in range(4)]
    assert all(base == head for base, head in seeds)
    assert len({base for base, _ in seeds}) > 1
    assert all(0 < int(base) < 2**32 for base, _ in seeds)


def test_workers_know_their_side_and_have_folders_of_their_own(bench, started):
    base, head = environments(bench, started)
    assert (base["PERFGUARD_SIDE"], head["PERFGUARD_SIDE"]) == ("base", "head")
    assert (base["PINNED"], head["PINNED"]) == ("base", "head")
    assert base["PYTHONPATH"] != head["PYTHONPATH"]
    assert (base["PYTEST_XDIST_WORKER"], head["PYTEST_XDIST_WORKER"]) == ("gw1", "gw0")
    assert base["SOMETHING"] == head["SOMETHING"] == "kept"


@pytest.mark.parametrize(
    "name",
    ["PERFGUARD_AGAINST", "PERFGUARD_AGAINST_TIME", "PERFGUARD_LIVE", "COV_CORE_SOURCE", "COVERAGE_PROCESS_START",
     "PYTEST_XDIST_TESTRUNUID"],
)  # fmt: skip
def test_what_is_the_coordinators_own_is_not_handed_on(bench, started, monkeypatch, name):
    monkeypatch.setenv(name, "secret")
    assert not any(name in each for each in environments(bench, started))
    assert os.environ[name] == "secret"


def test_the_test_that_the_coordinator_runs_is_not_the_workers(bench, started):
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert not any("PYTEST_CURRENT_TEST" in each for each in environments(bench, started))


def commands(bench, started, number=1):
    with bench.open_pair(number, 0):
        return [list(launch.command) for launch in started.launches]


def test_arguments_are_the_users_in_the_tree_of_the_side(bench, started, tmp_path, home):
    base, head = commands(bench, started, 5)
    place = base.index("pytest") + 1
    tree = tmp_path / "base"
    assert base[place : place + 4] == ["-k", "fast", f"{tree}/tests", f"--conf={tree}/a:{tree}/b"]
    assert head[place : place + 4] == list(bench.arguments)
    for side, arguments, root in (("base", base, tree), ("head", head, home)):
        assert f"--rootdir={root}" in arguments
        assert f"--basetemp={bench.folder}/{side}-5" in arguments
        assert f"cache_dir={bench.folder}/{side}-cache" in arguments
        assert arguments[arguments.index("-c") + 1] == f"{root}/pytest.ini"
        assert arguments[arguments.index(module.WORKER) - 1] == "-p"
    [launch, _] = started.launches
    assert (launch.side.python, launch.side.cwd) == ("python-base", tree / "tests")


def test_without_a_file_of_settings_or_a_cache_none_is_named(bench, started):
    for arguments in commands(replace(bench, ini=None, caches=False), started):
        assert "-c" not in arguments
        assert not any("cache_dir" in argument for argument in arguments)


def test_a_neighbour_whose_name_begins_alike_is_not_moved(bench, started, home):
    arguments = (f"{home}2/tests", f"--junitxml={home}-results/x.xml", f"{home}")
    base, _ = commands(replace(bench, arguments=arguments), started)
    place = base.index("pytest") + 1
    assert base[place : place + 3] == [*arguments[:2], str(bench.sides.base.tree)]


def test_a_folder_of_the_same_name_elsewhere_is_not_moved(bench, started):
    home = Path("/app")
    sides = replace(bench.sides, head=replace(bench.sides.head, tree=home))
    base, _ = commands(replace(bench, home=home, sides=sides, arguments=("/data/app/x", "-c=/app/x")), started)
    place = base.index("pytest") + 1
    assert base[place : place + 2] == ["/data/app/x", f"-c={bench.sides.base.tree}/x"]


def test_both_sides_are_moved_where_both_run_the_tests_of_base(bench, started, tmp_path):
    other = tmp_path / "copy"
    sides = replace(bench.sides, head=replace(bench.sides.head, tree=other, root=other, cwd=other))
    with replace(bench, sides=sides).open_pair(1, 0):
        pass
    files = [message["files"] for _, what, *rest in started if what == "send" for message in rest]
    assert files == [[f"{tmp_path}/base/tests/test_a.py"], [f"{other}/tests/test_a.py"]]


def test_the_folder_of_the_start_is_on_the_path_only_where_it_was(bench, started):
    assert all("-P" in command[: command.index("-m")] for command in commands(bench, started))
    here = replace(bench, here=True)
    assert not any("-P" in command[: command.index("-m")] for command in commands(here, started))


def test_flags_of_the_interpreter_are_handed_on_but_those_that_would_hide_the_pin(monkeypatch):
    monkeypatch.setattr("subprocess._args_from_interpreter_flags", lambda: ["-O", "-I", "-E", "-Xdev", "-S", "-s"])
    assert interpreter_flags() == ("-O", "-Xdev")


def test_a_variable_for_paths_of_imports_is_left_to_the_pin(bench, started, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(sys.prefix)))
    base, _ = environments(bench, started)
    assert base["PYTHONPATH"] == str(bench.folder / "base-imports")
