"""Making both sides ready: their files, their packages, and if wanted an environment for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pytest_perfguard.errors import ConfigError
from pytest_perfguard.live import environments, overlay, trees
from pytest_perfguard.live.against import Against, Kind, parse, resolve
from pytest_perfguard.live.builds import advise
from pytest_perfguard.live.install import Installed
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.packages import find_packages
from pytest_perfguard.live.repository import find_sha, git, read_commit, top_of
from pytest_perfguard.live.sides import Request, Side, Sides
from pytest_perfguard.model.commit import Commit
from pytest_perfguard.model.note import Note


def check(text: str, *, root: Path, cwd: Path) -> None:
    """Raise `ConfigError` or `LineageError` where what the user wrote for base names nothing."""
    home = top_of(root)
    against = parse(text, cwd=cwd, top=home)
    _find_commit(against, home)
    if against.kind is Kind.RELEASE:
        environments.distribution_name(root, home or root)


def prepare(request: Request, janitor: Janitor, progress: Callable[[str], None]) -> Sides:
    """Return both sides, ready to run; what is made for them is in the janitor's folder.

    Raises `ConfigError`, `LineageError` or `MeasurementError` where that cannot be done.
    """
    home = top_of(request.root)
    against = parse(request.against, cwd=request.cwd, top=home)
    commit = _find_commit(against, home)
    if against.kind is Kind.RELEASE and request.tests == "base":
        raise ConfigError("--perfguard-against-tests=base needs base's tests, and a release is installed without them")
    job = _Job(
        request=request, against=against, home=home or request.root, commit=commit, janitor=janitor, progress=progress
    )
    progress(f"base: {against.words}" + (f", {commit.short}" if commit.sha else ""))
    base = job.add_base()
    notes = [*job.fill(base)]
    in_base, in_head = job.install(base)
    # Pins are found before base has head's configuration, which may say that packages lie elsewhere.
    own = request.tests == "base" or (in_head is not None and job.holds_tests())
    head = trees.copy_checkout(job.home, janitor, "head") if own else job.home
    areas = job.lay_tests(base, head)
    head_side = job.find_side("head", head)
    base_side = job.find_side("base", base, names=[name for name, _ in head_side.pins])
    job.lay_configuration(base, head)
    if in_base is not None:
        notes.extend([*in_base.notes, *job.strip(base_side, in_base, areas)])
        base_side = environments.move_in(base_side, in_base, job.inner(base_side), areas)
    if in_head is not None:
        notes.extend(in_head.notes)
        head_side = environments.move_in(head_side, in_head, job.inner(head_side), areas)
    original = [against.value] if against.kind is Kind.PATH else []
    return Sides(
        base=replace(base_side, foreign=_distinct([job.home, head])),
        head=replace(head_side, foreign=_distinct([base, *original], but=[job.home])),
        commit=commit,
        reason=against.words,
        home=job.home,
        notes=tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What every step of the preparation needs to know."""

    request: Request
    against: Against
    home: Path
    """Top of the user's own tree."""
    commit: Commit
    janitor: Janitor
    progress: Callable[[str], None]

    @property
    def is_revision(self) -> bool:
        """Whether base is a commit of the user's own repository."""
        return self.against.kind in (Kind.REVISION, Kind.MERGE_BASE)

    @property
    def root(self) -> PurePosixPath:
        """Return pytest's root folder, relative to a tree."""
        inside = _inside(self.request.root, self.home)
        assert inside is not None  # home is at or above it
        return inside

    @property
    def files(self) -> list[PurePosixPath]:
        """Return the test files that are part of the tree, relative to it."""
        return [inside for file in self.request.files if (inside := _inside(file, self.home)) is not None]

    def add_base(self) -> Path:
        """Return base's tree as it is, without the tests of head."""
        if self.is_revision:
            return trees.add_worktree(self.home, self.commit.sha, self.janitor, "base")
        if self.against.kind is not Kind.PATH:
            return trees.copy_checkout(self.home, self.janitor, "base")
        base = trees.copy_tree(self._other_top(), self.janitor.folder / "base")
        if not any(name.endswith(".py") for name in trees.list_files(base)):
            raise ConfigError(f"{self.against.value} (--perfguard-against) holds no Python file; name a checkout")
        return base

    def fill(self, base: Path) -> list[Note]:
        """Put into base what its commit does not hold itself, and return what the user should know of it."""
        if not self.is_revision:
            return []
        notes = [*trees.fill_submodules(self.home, base), *trees.fill_pointers(self.home, base)]
        if self.request.install:
            return notes
        generated = trees.copy_generated(self.home, base)
        return [*notes, *_tell_generated(generated), *advise(self.home, self.commit.sha)]

    def install(self, base: Path) -> tuple[Installed | None, Installed | None]:
        """Return the environments of base and head, None where a side runs in the one at hand."""
        janitor, progress = self.janitor, self.progress
        in_base = in_head = None
        if self.against.kind is Kind.RELEASE:
            in_base = environments.install_release(
                self.against.value, self.request.root, self.home, janitor=janitor, progress=progress
            )
        elif self.request.install:
            in_base = environments.install_checkout(
                self._copy_of_base(base), self.root, janitor=janitor, progress=progress
            )
        if self.request.install:
            copy = trees.copy_checkout(self.home, janitor, "build-head")
            in_head = environments.install_checkout(copy, self.root, janitor=janitor, progress=progress)
        return in_base, in_head

    def holds_tests(self) -> bool:
        """Return whether tests that are to be run are parts of the project's packages."""
        return bool(self.inner(self.find_side("head", self.home)))

    def lay_tests(self, base: Path, head: Path) -> list[PurePosixPath]:
        """Give both sides the same tests, and return the folders that hold them."""
        if self.against.kind in (Kind.SELF, Kind.RELEASE):
            source = base
        else:
            source, target = (head, base) if self.request.tests == "head" else (base, head)
            overlay.lay_tests(source, target, self.files, self.root)
        areas = (overlay.find_area(source, file) for file in self.files)
        return [*dict.fromkeys(area for area in areas if area is not None)]

    def lay_configuration(self, base: Path, head: Path) -> None:
        """Have pytest configured in the same way on both sides."""
        ini = _inside(self.request.ini, self.home) if self.request.ini is not None else None
        if self.request.ini is not None and ini is None:
            return  # a file from elsewhere is everybody's
        if self.request.tests == "base" and self.is_other and (ini is None or (base / ini).is_file()):
            overlay.lay_configuration(base, head, ini, self.root)
        elif self.is_other:
            overlay.lay_configuration(head, base, ini, self.root)

    @property
    def is_other(self) -> bool:
        """Whether base has files of its own."""
        return self.is_revision or self.against.kind is Kind.PATH

    def find_side(self, name: str, tree: Path, names: Collection[str] = ()) -> Side:
        """Return a side that runs in this environment."""
        root = tree / self.root
        pins = find_packages(
            tree, project=root, tracked=trees.list_files(tree), names=[*names], override=self.request.packages,
            loaded=self.request.loaded, other=self.home,
        )  # fmt: skip
        cwd = _inside(self.request.cwd, self.home)
        place = self.request.cwd if cwd is None else tree / cwd
        for folder in (root, place):
            folder.mkdir(parents=True, exist_ok=True)
        return Side(name=name, tree=tree, root=root, cwd=place, python=sys.executable, pins=pins, strict=name == "base")

    def inner(self, side: Side) -> list[PurePosixPath]:
        """Return the test files that are parts of packages of a side."""
        return environments.inner_files(side, self.files)

    def strip(self, side: Side, installed: Installed, areas: Collection[PurePosixPath]) -> list[Note]:
        """Take head's packages out of base where that is a release, and tell of what it uses of head's all the same."""
        if self.against.kind is not Kind.RELEASE:
            return []
        held = environments.held_by(installed.packages_folder, [name for name, _ in side.pins])
        environments.strip(side, held, areas)
        tests = {area.parts[0] for area in areas} | {file.stem for file in self.files}
        rest = sorted({name for name, _ in side.pins}.difference(held, tests))
        if not rest:
            return []
        return [
            Note(
                code="not-in-release",
                message=f"{self.against.words} does not contain {', '.join(rest)}, so base uses head's",
                remedy="what these do is the same on both sides",
            )
        ]

    def _copy_of_base(self, base: Path) -> Path:
        if not self.is_revision:
            return trees.copy_tree(base, self.janitor.folder / "build-base")
        copy = trees.add_worktree(self.home, self.commit.sha, self.janitor, "build-base")
        for _ in (*trees.fill_submodules(self.home, copy), *trees.fill_pointers(self.home, copy)):
            pass  # what they have to say has been said of base
        return copy

    def _other_top(self) -> Path:
        """Return the top of the other checkout, of which the user may have named the project's folder."""
        folder = Path(self.against.value)
        top = top_of(folder)
        return top if top is not None and folder == top / self.root else folder


def _find_commit(against: Against, home: Path | None) -> Commit:
    """Return base's commit, empty where it is none; raises `ConfigError` or `LineageError`."""
    if against.kind in (Kind.REVISION, Kind.MERGE_BASE):
        if home is None:
            raise ConfigError(
                f"{against.value!r} (--perfguard-against): the tests are in no git repository, so there is no other "
                "revision of them; give the path of another checkout, or release:VERSION"
            )
        return resolve(against, home)
    if against.kind is Kind.PATH:
        folder = Path(against.value)
        top = top_of(folder)
        sha = find_sha(folder, "HEAD") if top is not None and (top != home or folder == home) else ""
        if sha:
            return replace(read_commit(folder, sha), dirty=bool(git(folder, "status", "--porcelain", otherwise="")))
    return Commit()


def _inside(path: Path, home: Path) -> PurePosixPath | None:
    """Return a path relative to the top, whatever links lead to either; None where it is elsewhere."""
    for one, top in ((path, home), (path.resolve(), home.resolve())):
        if one.is_relative_to(top):
            return PurePosixPath(one.relative_to(top).as_posix())
    return None


def _distinct(trees_: Collection[Path | str], but: Collection[Path] = ()) -> tuple[str, ...]:
    kept = {os.path.realpath(tree) for tree in but}
    return tuple(dict.fromkeys(str(tree) for tree in trees_ if os.path.realpath(tree) not in kept))


def _tell_generated(names: Collection[str]) -> list[Note]:
    if not names:
        return []
    return [
        Note(
            code="generated-files",
            message=f"base uses head's {trees.listed(names)}, which git ignores",
            remedy="where they differ between the two, compare with --perfguard-against-install",
        )
    ]
