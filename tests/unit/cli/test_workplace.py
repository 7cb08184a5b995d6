from __future__ import annotations

import pytest

from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import ConfigError, StoreError

from .fakes import LAPTOP, SERVER, stored, workplace

PLACE = workplace(
    stored("run-0001", "a", 1),
    stored("run-0002", "b", 2),
    stored("run-0003", "b", 3, machine=SERVER),
    stored("run-0004", "b", 4, dirty=True),
    stored("odd-0005", "c", 5, dirty=True),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, ["odd-0005"]),
        ("run-0002", ["run-0002"]),
        ("odd-", ["odd-0005"]),
        ("a" * 40, ["run-0001"]),
        ("bbbb", ["run-0003", "run-0002"]),
        ("main", ["run-0003", "run-0002"]),
        ("run-0004", ["run-0004"]),
    ],
)
def test_a_run_is_found_by_id_commit_or_revision(name, expected):
    assert [header.run_id for header in PLACE.runs(name)] == expected


def test_machine_narrows_what_is_found():
    assert [header.run_id for header in PLACE.runs("main", SERVER.key)] == ["run-0003"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run-", "beginning of more than one: run-0001, run-0002"),
        ("HEAD", "of 'HEAD' only runs with uncommitted changes are stored: odd-0005"),
        ("nowhere", "neither a stored run in baselines nor a revision: no revision 'nowhere'"),
    ],
)
def test_what_is_not_found_is_said_with_what_there_is(name, message):
    with pytest.raises(StoreError, match=message):
        PLACE.runs(name)


def test_empty_store_says_how_to_fill_it():
    with pytest.raises(StoreError, match="no run is stored in baselines; pytest --perfguard-save"):
        workplace().runs(None)


def test_machine_class_is_found_by_a_part_of_its_name():
    assert PLACE.machine("lap") == LAPTOP.key
    assert PLACE.machine(SERVER.key) == SERVER.key
    assert PLACE.machine(None) is None
    with pytest.raises(ConfigError, match=r"no run is stored of machine class 'phone'.*known: laptop"):
        PLACE.machine("phone")
    with pytest.raises(ConfigError, match="more than one machine class"):
        PLACE.machine("cpython")


def test_store_is_beside_the_project_file_unless_named(tmp_path, monkeypatch):
    monkeypatch.delenv("PERFGUARD_STORE", raising=False)
    inner = tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert Workplace.find(start=inner).store_path == str(tmp_path / "baselines")
    assert Workplace.find(start=inner).root == tmp_path
    (inner / "baselines").mkdir()
    assert Workplace.find(start=inner).store_path == str(inner / "baselines")
    monkeypatch.setenv("PERFGUARD_STORE", "elsewhere")
    assert Workplace.find(start=inner).store_path == "elsewhere"
    assert Workplace.find("named", start=inner).store_path == "named"
