"""What exists of a process beside its memory: threads, asyncio tasks, file descriptors and sockets, child processes.

Each `look_…` returns what there is under keys that stay the same while it lives, and raises `OSError` where the system
does not tell. Each `tell_…` describes one of them for the reader of a failure; it may have ended meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Key = tuple[object, ...]

_PROC_FD = Path("/proc/self/fd")
_DEV_FD = Path("/dev/fd")


def look_threads() -> tuple[dict[Key, threading.Thread | None], int]:
    """Return the threads that run Python code, and how many more there are, of which Python knows nothing.

    Those that `_thread` started have no object, so their value is None. Threads that the event loop which runs here
    ends with itself are left out: those of its default executor, and those of anyio.
    """
    found: dict[Key, threading.Thread | None] = {}
    frames = sys._current_frames()
    loop = _running_loop()
    pool = getattr(getattr(loop, "_default_executor", None), "_threads", ())
    of_loop = 0
    for thread in threading.enumerate():
        frame = frames.pop(thread.ident or 0, None)
        if loop is not None and (thread in pool or getattr(thread, "loop", None) is loop):
            of_loop += 1
        # Until 3.13 a foreign thread that once asked who it is stays in the list when it has ended.
        elif frame is not None or not isinstance(thread, threading._DummyThread):
            found[id(thread), thread.ident, thread.native_id] = thread
    found.update({("_thread", ident): None for ident in frames})
    try:
        there = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names
    except OSError:
        return found, 0
    return found, there - of_loop - len(found)


def tell_thread(key: Key, thread: threading.Thread | None) -> str:
    """Return the name of a thread, and the function that it runs."""
    if thread is None:
        frame = sys._current_frames().get(key[1])  # type: ignore[call-overload]
        while frame is not None and frame.f_back is not None:
            frame = frame.f_back
        return "thread started with _thread" + ("" if frame is None else f": {_tell_code(frame.f_code)}")
    kind = "daemon thread" if thread.daemon else "thread"
    target: Any = getattr(thread, "_target", None) or type(thread).run
    if target is threading.Thread.run:  # it has ended, and dropped what it ran
        return f"{kind} {thread.name!r}"
    return f"{kind} {thread.name!r}: {_tell_function(target)}"


def look_tasks() -> dict[Key, Any]:
    """Return the asyncio tasks that are pending, of all loops; a task that was cancelled is ending, and left out.

    On Python 3.14 those of loops that do not run in this thread are told only where they are not of C's Task.
    """
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return {}
    found: set[Any] = set()
    for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks"):  # until 3.11, since 3.12
        found.update(_copy(getattr(asyncio.tasks, name, ())))
    if _running_loop() is not None:
        found |= asyncio.all_tasks()
    return {
        (id(task), task.get_name()): task
        for task in found
        if isinstance(task, asyncio.Task) and not task.done() and not task.cancelling()
    }


def tell_task(task: Any) -> str:
    """Return the name of a task, its coroutine, and the line where it waits."""
    coroutine = task.get_coro()
    if not inspect.iscoroutine(coroutine):
        return f"asyncio task {task.get_name()!r}: {getattr(coroutine, '__qualname__', type(coroutine).__name__)}"
    frame: FrameType | None = coroutine.cr_frame
    begun = frame is not None and inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED
    waits = f"waits in line {frame.f_lineno}" if begun and frame is not None else "has not begun"
    return f"asyncio task {task.get_name()!r}: {_tell_code(coroutine.cr_code)}, {waits}"


def look_descriptors() -> tuple[dict[Key, str], dict[Key, str]]:
    """Return what is open: files, pipes and the like, and sockets, each with what the system calls it.

    From `/proc/self/fd` or `/dev/fd`; elsewhere psutil tells regular files and connected sockets only.
    """
    if sys.platform == "darwin":
        return _list_descriptors(_DEV_FD)
    return _list_descriptors(_PROC_FD) if _PROC_FD.is_dir() else _ask_psutil()


def _list_descriptors(folder: Path) -> tuple[dict[Key, str], dict[Key, str]]:
    import stat

    files: dict[Key, str] = {}
    sockets: dict[Key, str] = {}
    for name in os.listdir(folder):  # noqa: PTH208 - names
        number = int(name)
        try:
            status = os.fstat(number)
            label = str((folder / name).readlink()) if folder is _PROC_FD else _ask_path(number)
        except OSError:
            continue  # the one that read the folder, or closed meanwhile
        kept = sockets if stat.S_ISSOCK(status.st_mode) else files
        kept[number, label, status.st_ino] = label
    return files, sockets


def _ask_path(number: int) -> str:
    import fcntl

    command = getattr(fcntl, "F_GETPATH", None)
    try:
        found = b"" if command is None else fcntl.fcntl(number, command, bytes(1024))
    except OSError:
        return ""
    return os.fsdecode(found.rstrip(b"\0"))


def _ask_psutil() -> tuple[dict[Key, str], dict[Key, str]]:
    import psutil

    process = psutil.Process()
    try:
        files: dict[Key, str] = {(each.fd, each.path): each.path for each in process.open_files()}
        connections = getattr(process, "net_connections", None) or process.connections  # before psutil 6
        sockets: dict[Key, str] = {(each.fd, *each[1:]): f"{each.laddr} {each.raddr}" for each in connections("all")}
    except psutil.Error as error:
        raise OSError(str(error)) from error
    return files, sockets


def tell_file(key: Key, label: str) -> str:
    """Return the number of a descriptor, and the path that it is of."""
    kind, _, rest = label.partition(":")
    if kind == "anon_inode":
        label = f"{rest.strip('[]')}, as an event loop has" if "eventpoll" in rest else rest.strip("[]")
    elif kind == "pipe":
        label = "a pipe"
    return f"file descriptor {key[0]}: {_shorten(label) or 'of unknown path'}"


def tell_socket(key: Key, label: str) -> str:
    """Return the number of a socket, its kind, and whom it is connected to."""
    import _socket

    names = {_socket.SOCK_STREAM: "TCP", _socket.SOCK_DGRAM: "UDP"}
    number: Any = key[0]
    try:
        # The class that `socket.socket` is made of: some plugins for tests forbid to make one of that.
        peer = _socket.socket(fileno=number)
    except OSError:
        return f"socket {number}: {label}"
    try:
        unix = peer.family == getattr(_socket, "AF_UNIX", None)
        kind = "Unix socket" if unix else names.get(peer.type, "of another kind")
        own = _shown(peer.getsockname())
        if peer.type == _socket.SOCK_STREAM and peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            return f"socket {number}: {kind}, listens on {own}"
        try:
            other = _shown(peer.getpeername())
        except OSError:
            return f"socket {number}: {kind} {own}, not connected"
        return f"socket {number}: {kind} {own} to {other}" if own or other else f"socket {number}: {kind}, of a pair"
    except OSError:
        return f"socket {number}: {label}"
    finally:
        peer.detach()


def find_closing() -> set[object]:
    """Return the descriptors whose transport is closing: asyncio closes them when its loop has its next turn."""
    transports = dict(getattr(_running_loop(), "_transports", None) or {})
    return {number for number, transport in transports.items() if transport.is_closing()}


def look_processes() -> dict[Key, Any]:
    """Return the child processes, also those that have ended and were not waited for."""
    import psutil

    found: dict[Key, Any] = {}
    try:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it was waited for meanwhile
                found[child.pid, child.create_time()] = child
    except psutil.Error as error:
        raise OSError(str(error)) from error
    return found


def is_ended(child: Any) -> bool:
    """Return whether a child process has ended, and only its exit status waits to be asked for."""
    import psutil

    try:
        return bool(child.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def tell_process(child: Any) -> str:
    """Return the number of a process and its command line."""
    import psutil

    try:
        if is_ended(child):
            return f"process {child.pid}: {child.name()}, has ended and was not waited for"
        return f"process {child.pid}: {_shorten(' '.join(child.cmdline()) or child.name())}"
    except psutil.Error:
        return f"process {child.pid}"


def _running_loop() -> Any:
    asyncio: Any = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def _copy(tasks: Any) -> list[Any]:
    for _ in range(1000):
        try:
            return list(tasks)
        except RuntimeError:  # another thread has made a task meanwhile; asyncio.all_tasks() does the same
            continue
    return []


def _tell_function(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None)
    if isinstance(code, CodeType):
        return _tell_code(code)
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__name__)
    return f"{module}.{name}" if module else str(name)


def _tell_code(code: CodeType) -> str:
    return f"{code.co_qualname} at {_relative(code.co_filename)}:{code.co_firstlineno}"


def _relative(filename: str) -> str:
    path, here = Path(filename), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else filename


def _shown(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return os.fsdecode(address).replace("\0", "@") if isinstance(address, (str, bytes)) else str(address)


def _shorten(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
