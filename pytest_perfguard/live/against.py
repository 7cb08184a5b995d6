"""What a user may write for base, and the commit that is meant by it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pytest_perfguard.errors import ConfigError, LineageError
from pytest_perfguard.live.repository import find_sha, git, read_commit
from pytest_perfguard.model.commit import Commit


class Kind(StrEnum):
    """What base is."""

    REVISION = "revision"
    MERGE_BASE = "merge-base"
    RELEASE = "release"
    PATH = "path"
    SELF = "self"


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a user wrote for base, read."""

    kind: Kind
    value: str
    """The revision, the version, or the absolute path; empty for "self"."""

    @property
    def words(self) -> str:
        """Return it as reports show it."""
        return {
            Kind.REVISION: self.value,
            Kind.MERGE_BASE: f"merge base with {self.value}",
            Kind.RELEASE: f"release {self.value}",
            Kind.PATH: f"the checkout {self.value}",
            Kind.SELF: "the same tree",
        }[self.kind]


def parse(text: str, *, cwd: Path, top: Path | None) -> Against:
    """Return what `text` means: a revision comes before a folder of the same name, `./name` is always the folder.

    `top` is the top of the git checkout, None where there is none; `cwd` is where relative paths begin. A branch with
    the name "self" is `refs/heads/self`. Raises `ConfigError` for what has no meaning.
    """
    text = text.strip()
    if text == "self":
        return Against(kind=Kind.SELF, value="")
    if not text:
        raise ConfigError(
            "--perfguard-against names nothing to compare with; write a revision such as origin/main, "
            "merge-base:origin/main, release:1.2.3, the path of another checkout, or self"
        )
    word, colon, rest = text.partition(":")
    if colon and word in ("merge-base", "release"):
        if not rest.strip():
            example = "merge-base:origin/main" if word == "merge-base" else "release:1.2.3"
            raise ConfigError(f"{text!r} (--perfguard-against) names nothing after the colon; write {example}")
        return Against(kind=Kind(word), value=rest.strip())
    folder = Path(text).expanduser()
    folder = folder if folder.is_absolute() else cwd / folder
    if text.startswith((".", "~")) or Path(text).is_absolute():
        if not folder.is_dir():
            raise ConfigError(f"{text!r} (--perfguard-against) is a path, and there is no folder {folder}")
        return Against(kind=Kind.PATH, value=str(folder.resolve()))
    if folder.is_dir() and (top is None or not find_sha(top, text)):
        return Against(kind=Kind.PATH, value=str(folder.resolve()))
    if top is None:
        raise ConfigError(
            f"{text!r} (--perfguard-against) is no folder, and {cwd} is in no git repository in which it could be a "
            "revision; give the path of another checkout, or release:VERSION"
        )
    return Against(kind=Kind.REVISION, value=text)


def resolve(against: Against, top: Path) -> Commit:
    """Return the commit that a revision or a merge base names; raises `LineageError` where there is none."""
    sha = find_sha(top, against.value)
    if not sha:
        raise LineageError(_unknown(against.value, top, history=against.kind is Kind.MERGE_BASE))
    if against.kind is Kind.MERGE_BASE:
        if not find_sha(top, "HEAD"):
            raise LineageError(f"{top} has no commit yet, and so none in common with {against.value}; commit first")
        sha = git(top, "merge-base", "HEAD", sha, otherwise="")
        if not sha:
            remedy = (
                f": this clone holds only their newest commits; run {_unshallow()}"
                if _is_shallow(top)
                else "; name the revision itself that is to be compared with"
            )
            raise LineageError(f"HEAD and {against.value} have no commit in common{remedy}")
    return read_commit(top, sha)


def _unknown(revision: str, top: Path, *, history: bool) -> str:
    """Return why there is no such commit, and what gets it; `history` says that those before it are needed, too."""
    what = f"git knows no commit {revision!r} in {top}"
    if not find_sha(top, "HEAD"):
        return f"{what}, which has no commit yet; commit first, or give the path of another checkout"
    shallow = _is_shallow(top)
    depth = "" if history or not shallow else " --depth=1"
    before = f"{_unshallow()}, then " if history and shallow else ""
    remotes = git(top, "remote", otherwise="").split()
    remote, slash, branch = revision.partition("/")
    steps = _steps_back(revision)
    if steps and shallow:
        sha = find_sha(top, "HEAD")
        first = " (the first parent of a CI's merge commit is the target branch)" if steps == 1 else ""
        return (
            f"{what}, which holds only its newest commits{first}; "
            f"run `git fetch --depth={steps + 1} origin {sha}` "
            f"(or set fetch-depth: {steps + 1} for actions/checkout, GIT_DEPTH: {steps + 1} in GitLab)"
        )
    if slash and remote in remotes:
        command = f"`git fetch{depth} {remote} +refs/heads/{branch}:refs/remotes/{revision}`"
        return f"{what}; run {before}{command}, if {remote} has such a branch"
    if not shallow or not remotes:
        return f"{what}; check its spelling, or fetch it"
    origin = "origin" if "origin" in remotes else remotes[0]
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        command = f"`git fetch{depth} {origin} {revision}`"
    elif re.fullmatch(r"v?\d+(\.\w+)*", revision):
        command = f"`git fetch{depth} {origin} tag {revision}`"
    elif re.fullmatch(r"[\w./-]+", revision):
        command = f"`git fetch{depth} {origin} {revision}:{revision}`"
    else:
        command = _unshallow()
        before = ""
    return f"{what}, which holds only its newest commits; check its spelling, or run {before}{command}"


def _steps_back(revision: str) -> int:
    """Return how many commits before HEAD a revision is that is written as such, 0 for any other."""
    found = re.fullmatch(r"HEAD((?:\^\d?|~\d*)+)", revision)
    if not found:
        return 0
    steps = re.findall(r"\^|~\d*", found[1])
    return sum(1 if step in ("^", "~") else int(step[1:]) for step in steps)


def _is_shallow(top: Path) -> bool:
    return git(top, "rev-parse", "--is-shallow-repository", otherwise="false") == "true"


def _unshallow() -> str:
    return "`git fetch --unshallow origin` (or set fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab)"
