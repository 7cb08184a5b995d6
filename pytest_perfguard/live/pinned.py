"""What the processes of a side need so that they are pinned: a few files, and environment variables that name them."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_perfguard.live import pin
from pytest_perfguard.live.sides import Side

_SITE_CODE = """\
# Written by pytest-perfguard for one run: the project's packages are loaded from one tree.
import os
import sys

if sys.version_info >= (3, 11):
    try:
        import {copy}

        {copy}.start({settings!r}, {file!r})
    except Exception:  # a process of a test must start whatever happens here
        pass

# Now what would have been loaded, were it not for this file.
folder = os.path.dirname(os.path.abspath(__file__))
path, this = sys.path[:], sys.modules.pop(__name__, None)
sys.path[:] = [entry for entry in path if entry != folder]
try:
    import sitecustomize
except ImportError as error:
    if error.name != "sitecustomize":
        raise
    sys.modules[__name__] = this
finally:
    sys.path.insert(path.index(folder) if folder in path else 0, folder)
"""

_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Variables by which git tells its hooks of another repository than the one asked about."""


def prepare(
    folder: Path,
    side: Side,
    *,
    tracked: Mapping[str, Iterable[str]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write into `folder` what pins a side's processes, and return the environment variables that they need.

    `tracked` holds the files of the foreign trees, relative to each; git is asked for those of the others.
    """
    environ = os.environ if environ is None else environ
    known = {tree: list(files) for tree, files in (tracked or {}).items()}
    file = str(folder / "pin.json")
    settings = {
        "side": side.name,
        "tree": str(side.tree),
        "pins": [list(entry) for entry in side.pins],
        "strict": side.strict,
        "foreign": list(side.foreign),
    }
    files = {tree: known[tree] if tree in known else _project_files(Path(tree)) for tree in side.foreign}
    code = _SITE_CODE.format(copy=pin.COPY, settings=settings, file=file)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pin.json").write_text(json.dumps({**settings, "tracked": files}), "utf-8")
    for name, text in ((pin.COPY, Path(pin.__file__).read_text("utf-8")), ("sitecustomize", code)):
        module = folder / f"{name}.py"
        module.write_text(text, "utf-8")
        py_compile.compile(str(module), quiet=2)
    path = [str(folder), *_search_path(environ, side)]
    return {"PYTHONPATH": os.pathsep.join(path), pin.SIDE: side.name, pin.PIN: file}


def _project_files(tree: Path) -> list[str] | None:
    """Return the modules of a checkout that git does not ignore, and its submodules; None where git knows of none."""
    command = ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environ = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        output = subprocess.run(command, env=environ, capture_output=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    paths = [Path(file) for file in os.fsdecode(output).split("\0") if file]
    return [
        path.as_posix() for path in paths
        if path.suffix == ".py" or (not path.suffix and (tree / path).is_dir())
    ] or None  # fmt: skip


def _search_path(environ: Mapping[str, str], side: Side) -> list[str]:
    """Return the user's PYTHONPATH, with this tree in place of the other, and without the pin of an outer run."""
    outer = str(Path(environ[pin.PIN]).parent) if pin.PIN in environ else ""
    entries = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    return [_moved(entry, side) for entry in entries if entry != outer]


def _moved(entry: str, side: Side) -> str:
    path, own = pin.real(entry), pin.real(str(side.tree))
    if not Path(entry).is_absolute() or pin.within(path, own):
        return entry
    for tree in map(pin.real, side.foreign):
        if pin.within(path, tree) and not pin.in_environment(tree, path):
            return str(side.tree / Path(path).relative_to(tree))
    return entry
