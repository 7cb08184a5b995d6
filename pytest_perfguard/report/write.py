"""The one place that writes reports to disk: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from pytest_perfguard.errors import StoreError


def write_report(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` to `path` as UTF-8, whole or not at all, and return where it went.

    What UTF-8 has no place for, such as half of a surrogate pair in a file's name, is written as its escape. Missing
    folders are made. A link is followed; a pipe or device is written to as it is. Raises `StoreError` where that is not
    possible.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
        else:
            _replace(target, data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"cannot write the report to {os.fspath(path)}: {reason}; name a file in a folder that can be written to"
        ) from error
    return target


def _replace(target: Path, data: bytes) -> None:
    # The temporary file is in the same folder, since only within one file system a rename is atomic.
    temporary = target.with_name(f".{target.name[:200]}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
