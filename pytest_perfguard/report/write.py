"""The one place that writes reports to disk: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from pytest_perfguard.errors import StoreError


def write_report(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` to `path` as UTF-8, whole or not at all, and return where it went.

    Missing folders are made. A link is followed; a pipe or device is written to as it is. Raises `StoreError` where
    that is not possible.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_text(text, encoding="utf-8", newline="\n")
        else:
            _replace(target, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"cannot write the report to {os.fspath(path)}: {reason}; name a file in a folder that can be written to"
        ) from error
    return target


def _replace(target: Path, text: str) -> None:
    # The temporary file is in the same folder, since only within one file system a rename is atomic.
    temporary = target.with_name(f".{target.name[:200]}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
