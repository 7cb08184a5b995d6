"""Writing files so that a reader sees the old content or the new, and never half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path

from pytest_perfguard.errors import StoreError

TEMPORARY = ".tmp"
STALE_AFTER = 3600.0
"""Seconds after which a temporary file cannot belong to a living writer any more."""


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, also when this process is killed meanwhile.

    The folders above it are made. Raises `StoreError` where the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(write_trouble(path, error)) from error


def write_trouble(path: Path, error: OSError) -> str:
    """Return in words why `path` could not be written, and what to do."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            why, remedy = "the disk is full", "free space there, or prune old runs with `perfguard prune`"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            why, remedy = "the folder is read-only", "make it writable, or choose another folder for baselines"
        case errno.ENOTDIR | errno.EEXIST:
            why, remedy = "a file stands where a folder is needed", "choose another folder for baselines"
        case _:
            why, remedy = error.strerror or str(error), "choose another folder for baselines"
    return f"cannot write {path}: {why}; nothing of this run was stored there; {remedy}"


def is_stale(path: Path, now: float | None = None) -> bool:
    """Return whether `path` was last written longer ago than any writer takes."""
    try:
        return (time.time() if now is None else now) - path.stat().st_mtime > STALE_AFTER
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    # Without it a power cut may lose the new name; systems that cannot sync a folder do not need it for correctness.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def listed(folder: str) -> list[str]:
    """Return the names in `folder`, none where there is no such folder; raises `StoreError`."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - a thousand paths as objects would take longer than to read them
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(read_trouble(Path(folder), error)) from error


def remove(path: Path) -> int:
    """Remove a file, if it is there, and return the bytes freed; raises `StoreError`."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError(write_trouble(path, error).replace("cannot write", "cannot remove", 1)) from error
    return size


def read_trouble(path: Path, error: OSError) -> str:
    """Return what to say of a file that cannot be read."""
    return f"cannot read {path}: {error.strerror or error}; make it readable, or choose another folder for baselines"
