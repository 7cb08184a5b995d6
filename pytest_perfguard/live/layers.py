"""One environment over another: its own packages first, then those of the environment below."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_LAYER = '''\
"""Written by pytest-perfguard: puts the packages of the environment below behind those of this one."""

import os
import site
import sys

FOLDERS = {folders!r}
SHADOWED = {shadowed!r}


def extend():
    # Added even where they are on the path: older pips run this again to learn what to keep out of isolated builds.
    known = set()
    for folder in FOLDERS:
        sys.path.append(folder)
        known.add(os.path.normcase(folder))
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else ()
        for name in names:
            if name.endswith(".pth") and not name.startswith(".") and os.path.join(folder, name) not in SHADOWED:
                site.addpackage(folder, name, known)
'''


def write_layer(packages: Path, folders: Sequence[str], own: set[str]) -> None:
    """Put what is in `folders` below what is in `packages`, less the .pth files of the distributions that are `own`.

    Those are how an editable install puts a checkout of the project in front of everything.
    """
    below = distributions(folders)
    shadowed = [
        str(Path(str(file.locate())).absolute())
        for name in sorted(own & below.keys())
        for file in below[name].files or ()
        if file.suffix == ".pth"
    ]
    text = _LAYER.format(folders=list(folders), shadowed=shadowed)
    (packages / "_perfguard_layer.py").write_text(text, encoding="utf-8")
    (packages / "zz_perfguard_layer.pth").write_text("import _perfguard_layer; _perfguard_layer.extend()\n", "utf-8")


def distributions(folders: Iterable[str | Path]) -> dict[str, importlib.metadata.Distribution]:
    """Return what is installed in `folders` by normalized name, the first of each."""
    importlib.metadata.MetadataPathFinder().invalidate_caches()
    found: dict[str, importlib.metadata.Distribution] = {}
    for each in importlib.metadata.distributions(path=[str(folder) for folder in folders]):
        name = each.metadata["Name"]
        if name:
            found.setdefault(normal_name(name), each)
    return found


def has_modules(distribution: importlib.metadata.Distribution) -> bool:
    """Return whether a distribution installs anything that can be imported."""
    return any(not file.parts[0].endswith((".dist-info", ".egg-info")) for file in distribution.files or ())


def normal_name(name: str) -> str:
    """Return the name of a distribution in its one normal spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
