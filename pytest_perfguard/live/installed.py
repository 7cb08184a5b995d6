"""What the running environment has installed of a project: names and source folders, from the metadata alone."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackagePath, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from pytest_perfguard.live.roots import Declared

_SUFFIXES = (".py", ".so", ".pyd")


def read_environment(tree: Path, project: str) -> tuple[Declared, Declared]:
    """Return what is installed of the projects of a tree: what is certain, and what is only suggested.

    That is the distribution called `project`, and every one that is installed from the tree in editable mode.
    Folders are relative to the tree.
    """
    tree = tree.resolve()
    roots, certain, suggested = list[str](), list[str](), list[str]()
    for distribution in distributions():
        if not (_is_called(distribution, project) or _is_from(distribution, tree)):
            continue
        certain += (distribution.read_text("top_level.txt") or "").split()
        for file in _installed_files(distribution):
            if _is_helper(file):
                found = _read_helper(Path(str(distribution.locate_file(file))), tree)
                roots += found.roots
                suggested += found.names
            elif file.name.endswith(_SUFFIXES) and ".." not in file.parts:
                certain.append(file.parts[0].partition(".")[0])
    names = tuple(name for name in dict.fromkeys(certain) if name.isidentifier())
    return Declared(names=names, roots=tuple(dict.fromkeys(roots))), Declared(names=tuple(dict.fromkeys(suggested)))


def find_owners(name: str) -> list[str]:
    """Return the distributions that have installed a top-level module, by their normalised names."""
    found = []
    for distribution in distributions():
        tops = {file.parts[0].partition(".")[0] for file in _installed_files(distribution)}
        if name in tops or name in (distribution.read_text("top_level.txt") or "").split():
            found.append(normalise(str(distribution.metadata["Name"])))
    return found


def normalise(name: str) -> str:
    """Return a distribution's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_called(distribution: Distribution, project: str) -> bool:
    return bool(project) and normalise(str(distribution.metadata["Name"])) == normalise(project)


def _is_from(distribution: Distribution, tree: Path) -> bool:
    """Whether a distribution is an editable install from a tree, or its metadata lie in the tree itself."""
    if distribution.read_text("SOURCES.txt") is not None:  # an egg-info folder, which a build leaves beside the source
        place = Path(str(distribution.locate_file(""))).resolve()
        return place.is_relative_to(tree) and "site-packages" not in place.relative_to(tree).parts
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = urlsplit(origin.get("url", ""))
        editable = origin.get("dir_info", {}).get("editable", False)
    except (ValueError, AttributeError):
        return False
    return (
        bool(editable) and url.scheme == "file" and Path(url2pathname(unquote(url.path))).resolve().is_relative_to(tree)
    )


def _installed_files(distribution: Distribution) -> list[PackagePath]:
    """Return the files of a wheel; what an egg-info folder lists are those of the source, from its top."""
    return (distribution.files or []) if distribution.read_text("RECORD") is not None else []


def _is_helper(file: PackagePath) -> bool:
    """Whether a file was installed to find the source of an editable install; each build backend has its own kind."""
    return file.name.endswith(".pth") or ("editable" in file.name and file.name.endswith(".py"))


def _read_helper(file: Path, tree: Path) -> Declared:
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError):
        return Declared()
    if file.suffix == ".pth":
        places = [_inside(line, tree) for line in text.splitlines() if line and not line.startswith(("import ", "#"))]
        return Declared(roots=tuple(place for place in places if place is not None))
    try:
        program = ast.parse(text)
    except (SyntaxError, ValueError):
        return Declared()
    # They all hold the names and the folders as plain strings: in a dict, a set, or the arguments of a call.
    strings = [
        node.value for node in ast.walk(program) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    names = [text.partition(".")[0] for text in strings if re.fullmatch(r"\w+(\.\w+)*", text)]
    return Declared(roots=tuple(root for text in strings for root in _holders(text, tree)), names=tuple(names))


def _holders(text: str, tree: Path) -> Iterator[str]:
    """Yield the folder that holds the package or module of this path, where it is one in the tree."""
    place = _inside(text, tree) if len(text) < 4096 and Path(text).is_absolute() else None
    if place:
        path = Path(place)
        yield _posix(path.parent.parent if path.name == "__init__.py" else path.parent)


def _inside(text: str, tree: Path) -> str | None:
    try:
        return _posix(Path(text).resolve().relative_to(tree))
    except (ValueError, OSError):
        return None


def _posix(path: Path) -> str:
    return "" if path == Path() else path.as_posix()
