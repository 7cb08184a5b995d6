from __future__ import annotations

import json
from pathlib import Path

from pytest_perfguard.baseline.folder import FolderStore
from pytest_perfguard.baseline.machine import current_machine
from pytest_perfguard.cli import main

from ..report.builders import COMMIT, HEAD, header, measured


def test_commands_work_on_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store = FolderStore(tmp_path / "kept")
    machine = current_machine()
    old = header("old0001", commit=COMMIT, machine=machine, created="2026-01-01T12:00:00Z")
    new = header("new0001", commit=HEAD, machine=machine, created="2026-01-02T12:00:00Z")
    store.save(old, [measured("t.py::a", queries=3)])
    new_file = store.save(new, [measured("t.py::a", queries=8)])
    kept = ["--store", "kept"]

    assert main(["list", "--json", "--machine", "this", *kept]) == 0
    assert [each["run"] for each in json.loads(capsys.readouterr().out)] == ["new0001", "old0001"]
    assert main(["show", "1a2b3c4d", *kept]) == 0
    assert "run old0001" in capsys.readouterr().out
    assert main(["history", "t.py", "--metric", "queries", *kept]) == 0
    assert "×2.7" in capsys.readouterr().out
    for head in ("new0001", new_file):
        assert main(["compare", head, "old0001", *kept]) == 1
        assert "queries" in capsys.readouterr().out
    assert main(["compare", "old0001", "new0001", *kept]) == 0
    assert "improved" in capsys.readouterr().out
    prune = ["prune", "--samples-keep", "0", "--summaries-keep", "1", *kept]
    assert main([*prune, "--dry-run"]) == 0
    assert "nothing removed" in capsys.readouterr().out
    assert store.samples(new)
    assert main(prune) == 0
    capsys.readouterr()
    assert not FolderStore(tmp_path / "kept").samples(new)


def test_a_damaged_run_is_left_out_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store = FolderStore(tmp_path / "kept")
    store.save(header("good"), [measured("t.py::a")])
    (next((tmp_path / "kept" / "runs").rglob("*good*")).with_name("bad.jsonl.gz")).write_bytes(b"damage")
    assert main(["list", "--store", "kept"]) == 0
    out, err = capsys.readouterr()
    assert "good" in out
    assert err.startswith("perfguard: note: ")
    assert "bad.jsonl.gz" in err


def test_why_nothing_is_stored_is_told_with_the_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = Path(FolderStore(tmp_path / "kept").save(header("good"), [measured("t.py::a")]))
    path.write_bytes(path.read_bytes()[:50])
    assert main(["show", "--store", "kept"]) == 2
    note, error = capsys.readouterr().err.splitlines()
    assert "is damaged or cut short" in note
    assert error.startswith("perfguard: error: no run is stored")


def test_a_file_in_place_of_the_store_is_bad_everywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("")
    assert main(["list", "--store", "kept"]) == 2
    assert "kept is a file where the folder" in capsys.readouterr().err
    assert main(["doctor", "--store", "kept"]) == 1
    assert "bad   the store kept cannot be read" in capsys.readouterr().out
