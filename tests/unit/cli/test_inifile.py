import pytest

from pytest_perfguard.cli.inifile import ini_value
from pytest_perfguard.cli.workplace import Workplace


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nperfguard_store = perf/stored\n"),
        ("tox.ini", "[pytest]\nperfguard_store = perf/stored\n"),
        ("setup.cfg", "[tool:pytest]\nperfguard_store = perf/stored\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nperfguard_store = "perf/stored"\n'),
        ("pyproject.toml", '[tool.pytest]\nperfguard_store = "perf/stored"\n'),
        ("pytest.toml", '[pytest]\nperfguard_store = "perf/stored"\n'),
    ],
)
def test_the_store_is_where_pytest_would_look_for_it(tmp_path, monkeypatch, name, text):
    monkeypatch.delenv("PERFGUARD_STORE", raising=False)
    (tmp_path / name).write_text(text)
    (tmp_path / ".git").mkdir()
    (tmp_path / "deeper").mkdir()
    assert Workplace.find(start=tmp_path / "deeper").store_path == str(tmp_path / "perf/stored")


def test_words_become_one_line(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = ["-n", "4", "-k", "a b"]\n')
    assert ini_value(tmp_path, "addopts") == "-n 4 -k 'a b'"


@pytest.mark.parametrize("text", ["[broken", "", "\0", "[pytest]\n"])
def test_what_cannot_be_read_is_not_set(tmp_path, text):
    for name in ("pytest.ini", "pyproject.toml", "setup.cfg"):
        (tmp_path / name).write_text(text)
    assert ini_value(tmp_path, "addopts") == ""
