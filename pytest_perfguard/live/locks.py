"""Locks between processes that end with whoever holds them: many may share one, or one have it alone."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path


class Lock:
    """The lock of one environment: shared by those who use it, exclusive for who builds or removes it.

    It is the system's, so it ends with the process that holds it, in whatever way that ends.
    """

    __slots__ = ("_handle", "path")

    def __init__(self, folder: Path) -> None:
        self.path = folder.with_name(f"{folder.name}.lock")
        self._handle: int | None = None

    def acquire(self, *, exclusive: bool, wait: bool = True) -> bool:
        """Hold it in this way from now on, instead of any other; return whether it could be had."""
        while True:
            if self._handle is None:
                self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            if not _lock(self._handle, exclusive=exclusive, wait=wait):
                return False
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._handle), self.path.stat()):
                    return True
            self.release()  # somebody removed the file while we waited: lock the new one

    def release(self) -> None:
        """Give it up; nothing happens where it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        """Remove the file of a lock that is held exclusively."""
        with contextlib.suppress(PermissionError):  # Windows keeps open files
            self.path.unlink(missing_ok=True)

    def shared_with_children(self) -> tuple[int, ...]:
        """Return what a child process inherits, so that one that outlives this process goes on holding the lock."""
        return (self._handle,) if self._handle is not None and sys.platform != "win32" else ()


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, *, exclusive: bool, wait: bool) -> bool:
        everything = 2**30  # bytes: who shares locks one of its own, who has it alone locks all
        os.lseek(handle, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, everything)
        while True:
            os.lseek(handle, 0 if exclusive else os.getpid() % everything, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, everything if exclusive else 1)
            except OSError:
                if not wait:
                    return False
                time.sleep(0.2)
            else:
                return True

else:
    import fcntl

    def _lock(handle: int, *, exclusive: bool, wait: bool) -> bool:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
