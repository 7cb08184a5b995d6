from __future__ import annotations

import os
import threading

import pytest

from pytest_perfguard.errors import StoreError
from pytest_perfguard.report import write
from pytest_perfguard.report.write import write_report


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_into_folders_that_are_made(tmp_path):
    path = tmp_path / "build" / "perf" / "report.md"
    for text in ("first ·\n", "second\n"):
        assert write_report(path, text) == path
        assert path.read_bytes() == text.encode()
    assert names_in(path.parent) == ["report.md"]


@pytest.mark.parametrize("place", ["file/report.json", "folder"])
def test_path_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=rf"cannot write the report to .*{place}: .+; name a file"):
        write_report(tmp_path / place, "text")
    assert names_in(tmp_path) == ["file", "folder"]


def test_old_report_survives_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write_report(path, "old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", fail)
    with pytest.raises(StoreError, match="No space left on device"):
        write_report(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["report.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_links_and_pipes_stay_what_they_are(tmp_path):
    target, link, pipe = tmp_path / "real.txt", tmp_path / "link.txt", tmp_path / "pipe"
    link.symlink_to(target)
    write_report(link, "linked")
    assert link.is_symlink()
    assert target.read_text() == "linked"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_report(pipe, "piped")
    reader.join(timeout=5)
    assert received == ["piped"]
    assert pipe.is_fifo()
