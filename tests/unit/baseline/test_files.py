from __future__ import annotations

import errno
import os

import pytest

from pytest_perfguard.baseline import files
from pytest_perfguard.errors import StoreError


def test_the_new_content_replaces_the_old_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a" / "b"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full.*prune"),
        (errno.EROFS, "read-only.*make it writable"),
        (errno.EACCES, "read-only.*make it writable"),
        (errno.EIO, "choose another folder"),
    ],
)
def test_a_failed_write_keeps_the_old_content_and_says_what_to_do(tmp_path, monkeypatch, number, words):
    path = tmp_path / "kept"
    files.write_atomically(path, b"old")

    def fail(_descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(StoreError, match=f"kept.*{words}"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        files.write_atomically(tmp_path / "store" / "runs" / "x", b"")
