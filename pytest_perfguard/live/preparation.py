"""Making both sides ready: their files, their packages, and if wanted an environment for each."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_perfguard.errors import ConfigError
from pytest_perfguard.live import install, trees
from pytest_perfguard.live.against import Against, Kind, parse, resolve, top_of
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.packages import find_packages
from pytest_perfguard.live.sides import Request, Side, Sides
from pytest_perfguard.model.commit import Commit
from pytest_perfguard.model.note import Note

Say = Callable[[str], None]


def check(request_text: str, *, root: Path, cwd: Path) -> None:
    """Raise `ConfigError` or `LineageError` where what the user wrote for base names nothing."""
    top = top_of(root)
    against = parse(request_text, cwd=cwd, top=top)
    if against.kind in (Kind.REVISION, Kind.MERGE_BASE):
        resolve(against, _need(top, root))


def prepare(request: Request, janitor: Janitor, say: Say) -> Sides:
    """Return both sides, ready to run; what is made for them is in the janitor's folder.

    Raises `ConfigError`, `LineageError` or `MeasurementError` where that cannot be done.
    """
    top = top_of(request.root)
    against = parse(request.against, cwd=request.cwd, top=top)
    home = top or request.root
    notes: list[Note] = []
    commit = Commit()
    if against.kind in (Kind.REVISION, Kind.MERGE_BASE):
        commit = resolve(against, _need(top, request.root))
        base = trees.add_worktree(home, commit.sha, janitor, "base")
        notes.extend(trees.fill_submodules(home, base))
        if not request.install:
            notes.extend(_advise(home, commit.sha))
    elif against.kind is Kind.PATH:
        base = trees.copy_tree(_same_place(Path(against.value), request, home), janitor.folder / "base")
    else:
        base = trees.copy_tree(home, janitor.folder / "base")
    installed = _install(request, against, home, base, janitor, say)
    head = home
    if against.kind in (Kind.REVISION, Kind.MERGE_BASE, Kind.PATH):
        generated = trees.copy_generated(home, base)
        if generated:
            notes.append(_generated(generated))
        if request.tests == "head":
            trees.lay_tests(home, base, request.files, request.root)
        else:
            head = trees.copy_tree(home, janitor.folder / "head")
            trees.copy_generated(home, head)
            files = [base / path.relative_to(home) for path in request.files if path.is_relative_to(home)]
            trees.lay_tests(base, head, [path for path in files if path.exists()], base / _inside(request.root, home))
    sides = [
        _side("base", base, request, home, strict=True),
        _side("head", head, request, home, strict=False),
    ]
    foreign = (tuple(dict.fromkeys((str(home), str(head)))), (str(base),))
    for place, side in enumerate(sides):
        sides[place] = replace(side, foreign=foreign[place])
        environment = installed[place]
        if environment is not None:
            sides[place] = _installed(sides[place], environment)
            notes.extend(environment.notes)
    unique = tuple(dict.fromkeys(notes))
    return Sides(base=sides[0], head=sides[1], commit=commit, reason=against.words, home=home, notes=unique)


def _side(name: str, tree: Path, request: Request, home: Path, *, strict: bool) -> Side:
    pins = find_packages(
        tree,
        project=tree / _inside(request.root, home),
        tracked=trees.files_of(tree) or _walk(tree),
        override=request.packages,
        loaded=request.loaded,
        other=home,
    )
    return Side(
        name=name, tree=tree, root=tree / _inside(request.root, home), cwd=_moved(request.cwd, home, tree),
        python=sys.executable, pins=pins, strict=strict,
    )  # fmt: skip


def _install(
    request: Request, against: Against, home: Path, base: Path, janitor: Janitor, say: Say
) -> list[install.Installed | None]:
    """Return the environments of base and head, None where a side runs in the one at hand."""
    cache = _cache()
    if against.kind is Kind.RELEASE:
        name = _project_name(request.root, home)
        released = install.install_release(name, against.value, python=sys.executable, cache=cache, progress=say)
        if not request.install:
            return [released, None]
        return [released, _build(home, request, "build-head", home, janitor, cache, say)]
    if not request.install:
        return [None, None]
    return [
        _build(base, request, "build-base", home, janitor, cache, say),
        _build(home, request, "build-head", home, janitor, cache, say),
    ]


def _build(
    tree: Path, request: Request, name: str, home: Path, janitor: Janitor, cache: Path, say: Say
) -> install.Installed:
    """Install what is in a tree, from a copy, since building leaves files behind."""
    copy = trees.copy_tree(tree, janitor.folder / name)
    project = copy / _inside(request.root, home)
    if not any((project / each).exists() for each in ("pyproject.toml", "setup.py")):
        project = copy
    return install.install_tree(project, key=trees.digest(copy), python=sys.executable, cache=cache, progress=say)


def _installed(side: Side, installed: install.Installed) -> Side:
    folder = installed.packages_folder
    names = dict.fromkeys(name for name, _ in side.pins)
    here = [name for name in names if any(folder.glob(f"{name}.*")) or (folder / name).is_dir()]
    tests = tuple((name, place) for name, place in side.pins if name not in here)
    return replace(side, python=installed.python, pins=(*((name, str(folder)) for name in here), *tests), strict=True)


def _cache() -> Path:
    chosen = os.environ.get("PERFGUARD_CACHE")
    folder = Path(chosen) if chosen else install.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.gettempdir()) / f"pytest-perfguard-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


def _need(top: Path | None, root: Path) -> Path:
    if top is None:
        raise ConfigError(f"{root} is in no git repository, so there is no other revision of it to compare with")
    return top


def _inside(path: Path, home: Path) -> Path:
    return path.relative_to(home) if path.is_relative_to(home) else Path()


def _moved(path: Path, home: Path, tree: Path) -> Path:
    """Return the place in `tree` that is `path` in `home`; elsewhere the path itself."""
    if not path.is_relative_to(home):
        return path
    moved = tree / path.relative_to(home)
    moved.mkdir(parents=True, exist_ok=True)
    return moved


def _same_place(folder: Path, request: Request, home: Path) -> Path:
    """Return the top of another checkout, of which the user may have named the project's folder."""
    top = top_of(folder)
    if top is not None and folder != top and _inside(folder, top) == _inside(request.root, home):
        return top
    return folder


def _walk(tree: Path) -> list[str]:
    return [str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()]


def _project_name(root: Path, home: Path) -> str:
    import tomllib

    for folder in (root, home):
        try:
            name = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["name"]
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError):
            continue
        return str(name)
    for distribution in importlib.metadata.distributions():
        direct = distribution.read_text("direct_url.json") or ""
        if f'"file://{root}"' in direct or f'"file://{home}"' in direct:
            return str(distribution.metadata["Name"])
    raise ConfigError(
        f"release: needs the project's name on the package index, and {root / 'pyproject.toml'} has no [project] name; "
        "add it"
    )


def _advise(top: Path, sha: str) -> Sequence[Note]:
    changed = trees.changed_builds(top, sha)
    if not changed:
        return ()
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return (
        Note(
            code="install-advised",
            message=f"base and head differ in {shown}, so that they may have to be built or need other packages",
            remedy="compare with --perfguard-against-install, which installs each side into an environment of its own",
        ),
    )


def _generated(names: Sequence[str]) -> Note:
    return Note(
        code="generated-files",
        message=f"base uses head's {', '.join(names[:5])}{' and others' if len(names) > 5 else ''}, which git ignores",
        remedy="where they differ between the two, compare with --perfguard-against-install",
    )
