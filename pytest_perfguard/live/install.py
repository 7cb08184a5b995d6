"""Environments of their own for base and head, for projects that are compiled or whose dependencies changed.

An environment is a virtual environment that is layered over the running one: its own packages come first, then those of
the running environment, with plugins and editable installs, less the editable installs of what it holds itself. So only
the project is installed, and what it needs in another version; everything else is the same on both sides. pip installs,
even where uv is at hand: uv does not see the packages of a lower layer and would install all of them again. (It serves
only to get pip where the running environment has none.)

Environments are kept for later runs. Each has a lock file beside it: who builds or removes it holds the lock alone, who
uses it shares the lock until the process ends. A file that is written last says that it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import commands
from pytest_perfguard.live.identity import Parent, build_files, declared_name, digest, inspect
from pytest_perfguard.live.layers import distributions, has_modules, normal_name, write_layer
from pytest_perfguard.live.locks import Lock
from pytest_perfguard.model.note import Note

if TYPE_CHECKING:
    from pytest_perfguard.live.janitor import Janitor

KEPT = 10
"""So many environments stay in the cache; the least recently used go first."""
_COMPLETE = "perfguard-complete.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An environment that holds one version of the project."""

    python: str
    """Its interpreter."""
    packages_folder: Path
    """The folder that the project's packages are in."""
    notes: tuple[Note, ...] = ()


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what is kept from run to run, outside of any project; it need not exist."""
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pytest-perfguard"


def install_tree(
    tree: Path,
    *,
    key: str,
    python: str,
    cache: Path,
    progress: Callable[[str], None],
    janitor: Janitor | None = None,
) -> Installed:
    """Return an environment over that of the interpreter `python`, with the project that lies in `tree` installed.

    `key` stands for everything that is in `tree`: another content, another key. Building may leave files in `tree`.
    `progress` is told what goes on, and `janitor` which processes must not outlive the run. Raises `MeasurementError`
    where it cannot be installed.
    """
    project = declared_name(tree)
    shown = key if len(key) <= 16 else key[:12]
    work = _Work(
        target=str(tree.absolute()), project=project, label=f"{project or 'the project'} ({shown})", janitor=janitor
    )
    return _provide(work, (key, *build_files(tree)), python=python, cache=cache, progress=progress)


def install_release(
    name: str,
    version: str,
    *,
    python: str,
    cache: Path,
    progress: Callable[[str], None],
    janitor: Janitor | None = None,
) -> Installed:
    """Return an environment over that of the interpreter `python`, with a released version from the package index.

    `progress` and `janitor` as with `install_tree`. Raises `MeasurementError` where it cannot be installed.
    """
    work = _Work(target=f"{name}=={version}", project=name, label=f"{name} {version}", janitor=janitor)
    return _provide(work, (work.target,), python=python, cache=cache, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What is to be installed: pip's word for it, the project's name if it is known, and ours for messages."""

    target: str
    project: str
    label: str
    janitor: Janitor | None = None


def _provide(
    work: _Work, content: Iterable[str], *, python: str, cache: Path, progress: Callable[[str], None]
) -> Installed:
    parent = inspect(python)
    key = digest(work.project, content, parent, environ=os.environ, now=time.time())
    folder = cache / "environments" / f"{normal_name(work.project) or 'project'}-{key}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _HELD.get(folder)
        if lock is None:
            lock = _HELD[folder] = Lock(folder)
        built = _build_once(folder, lock, work, parent, progress)
    except OSError as trouble:
        raise MeasurementError(
            f"{work.label} could not be installed into {folder}: {trouble}; "
            "the folder must be writable, on a file system that knows locks (XDG_CACHE_HOME moves it)"
        ) from trouble
    if built:
        _prune(folder.parent)
    else:
        progress(f"{work.label}: its environment is in the cache")
    record = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
    notes = tuple(Note(**note) for note in record["notes"])
    return Installed(python=str(_python_of(folder)), packages_folder=Path(record["packages_folder"]), notes=notes)


def _build_once(folder: Path, lock: Lock, work: _Work, parent: Parent, progress: Callable[[str], None]) -> bool:
    """Return whether it had to be built; it is complete then, and `lock` is shared."""
    built = False

    def hold(*, exclusive: bool) -> None:
        if not lock.acquire(exclusive=exclusive, wait=False):
            progress(f"{work.label}: waits for another run that is installing it")
            lock.acquire(exclusive=exclusive)

    while True:
        hold(exclusive=False)
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder / _COMPLETE)
            return built
        hold(exclusive=True)
        if (folder / _COMPLETE).exists():
            continue
        progress(f"{work.label}: being installed into an environment of its own")
        started = time.monotonic()
        try:
            _build(folder, work, parent, lock)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
            raise
        built = True
        progress(f"{work.label}: installed in {time.monotonic() - started:.1f} s")


def _build(folder: Path, work: _Work, parent: Parent, lock: Lock) -> None:
    if folder.exists():
        shutil.rmtree(folder)

    def run(*command: str, trying: bool = False) -> str | None:
        log = folder.parent / "last-failure.log"
        return commands.run(command, label=work.label, lock=lock, log=log, janitor=work.janitor, trying=trying)

    run(parent.python, "-m", "venv", "--without-pip", str(folder))
    python = str(_python_of(folder))
    packages = Path(str(run(python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")).strip())
    write_layer(packages, parent.folders, {normal_name(work.project)})
    if run(python, "-P", "-m", "pip", "--version", trying=True) is None:
        _add_pip(python, run)
    pip = (python, "-P", "-m", "pip", "install", "--no-input", "--no-warn-script-location")
    before = distributions([packages])
    # By itself first, since pip would be content with the same version in the lower layer.
    run(*pip, "--no-deps", "--ignore-installed", work.target)
    after = distributions([packages])
    new = [distribution for name, distribution in after.items() if name not in before]
    if len(new) != 1 or not has_modules(new[0]):
        raise MeasurementError(
            f"{work.label} installs no module: `pip install` of it succeeds but leaves no code; "
            "tell its build backend (pyproject.toml) which packages it has, or leave --perfguard-against-install out"
        )
    project = new[0].metadata["Name"]
    wanted = [f"{project}=={new[0].version}"]
    if "pytest-perfguard" in parent.held and normal_name(project) != "pytest-perfguard":
        wanted.append(f"pytest-perfguard=={parent.held['pytest-perfguard']}")  # its own needs count in the choice, too
    said = run(*pip, *wanted) or ""
    own = {name: each.version for name, each in distributions([packages]).items() if name not in before}
    own.pop(normal_name(project))
    write_layer(packages, parent.folders, {normal_name(project), *own})
    record = {
        "packages_folder": str(new[0].locate_file("")),
        "notes": [
            {"code": note.code, "message": note.message, "remedy": note.remedy}
            for note in _remarks(work.label, own, parent.held, said)
        ],
    }
    unfinished = folder / f"{_COMPLETE}.tmp"
    unfinished.write_text(json.dumps(record), encoding="utf-8")
    unfinished.replace(folder / _COMPLETE)


def _add_pip(python: str, run: Callable[..., str | None]) -> None:
    """Put pip into the environment, since the one below has none."""
    uv = shutil.which("uv")
    if run(python, "-P", "-m", "ensurepip", trying=True) is not None:
        return
    if uv is None or run(uv, "pip", "install", "--python", python, "pip", trying=True) is None:
        raise MeasurementError(
            "--perfguard-against-install needs pip; the running environment has none, and neither ensurepip nor uv "
            "could get it: install pip into it"
        )


def _remarks(label: str, own: Mapping[str, str], below: Mapping[str, str], said: str) -> Iterator[Note]:
    if own:
        listed = ", ".join(
            f"{name} {version} (running environment: {below.get(name, 'none')})"
            for name, version in sorted(own.items())
        )
        yield Note(
            code="own-dependencies",
            message=f"{label} brings dependencies of its own: {listed}",
            remedy="a difference can come from them as well as from the project's code",
        )
    conflicts = [line.strip() for line in said.splitlines() if line.strip().endswith("which is incompatible.")]
    if conflicts:
        yield Note(
            code="conflicting-dependencies",
            message=f"{label} leaves packages of the running environment without what they need: {' '.join(conflicts)}",
            remedy="tests that use those packages may fail on that side",
        )


def _python_of(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def _prune(environments: Path, kept: int = KEPT) -> None:
    """Remove what nobody uses: environments that were never completed, and the least recently used beyond `kept`."""

    def last_used(folder: Path) -> float:
        try:
            return (folder / _COMPLETE).stat().st_mtime
        except OSError:
            return 0.0

    folders = {each.with_suffix("") for each in environments.iterdir() if each.is_dir() or each.suffix == ".lock"}
    ranked = sorted(((last_used(folder), folder) for folder in folders), reverse=True)
    for rank, (used, folder) in enumerate(ranked):
        if (rank < kept and used) or folder in _HELD:
            continue
        lock = Lock(folder)
        if lock.acquire(exclusive=True, wait=False):
            (folder / _COMPLETE).unlink(missing_ok=True)  # first: half of it gone, it is no longer complete
            shutil.rmtree(folder, ignore_errors=True)
            lock.remove()
        lock.release()


_HELD: dict[Path, Lock] = {}
"""The environments that this process uses, until it ends."""
