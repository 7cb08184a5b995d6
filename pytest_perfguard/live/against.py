"""What a user may write for base, and the commit that is meant by it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pytest_perfguard.errors import ConfigError, LineageError
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

    `top` is the top of the git checkout, None where there is none. Raises `ConfigError` for what has no meaning.
    """
    text = text.strip()
    if text == "self":
        return Against(kind=Kind.SELF, value="")
    word, colon, rest = text.partition(":")
    if colon and word in ("merge-base", "release"):
        if not rest.strip():
            example = "merge-base:origin/main" if word == "merge-base" else "release:1.2.3"
            raise ConfigError(f"{text!r} (--perfguard-against) names nothing after the colon; write {example}")
        return Against(kind=Kind(word), value=rest.strip())
    folder = (cwd / Path(text).expanduser()).absolute()
    if text.startswith((".", "~", "/")) and folder.is_dir():
        return Against(kind=Kind.PATH, value=str(folder))
    if folder.is_dir() and (top is None or not _sha(top, text)):
        return Against(kind=Kind.PATH, value=str(folder))
    if top is None:
        raise ConfigError(
            f"{text!r} (--perfguard-against) is no folder, and {cwd} is in no git repository in which it could be a "
            "revision; give the path of another checkout, or release:VERSION"
        )
    return Against(kind=Kind.REVISION, value=text)


def resolve(against: Against, top: Path) -> Commit:
    """Return the commit that a revision or a merge base names; raises `LineageError` where there is none."""
    if against.kind is Kind.MERGE_BASE:
        if not _sha(top, against.value):
            raise LineageError(_unknown(against.value, top))
        sha = git(top, "merge-base", "HEAD", against.value, otherwise="")
        if not sha:
            remedy = _fetch(top) or "; name the revision itself that is to be compared with"
            raise LineageError(f"HEAD and {against.value} have no commit in common in this clone{remedy}")
    else:
        sha = _sha(top, against.value)
        if not sha:
            raise LineageError(_unknown(against.value, top))
    front, _, message = git(top, "cat-file", "commit", sha).partition("\n\n")
    lines = [line.partition(" ")[::2] for line in front.splitlines()]
    fields = dict(lines)
    return Commit(
        sha=sha,
        tree=fields["tree"],
        parents=tuple(value for name, value in lines if name == "parent"),
        subject=message.partition("\n")[0],
        time=int(fields["committer"].split()[-2]),
    )


def top_of(folder: Path) -> Path | None:
    """Return the top of the git checkout that `folder` is in, None where it is in none."""
    try:
        top = git(folder, "rev-parse", "--show-toplevel", otherwise="")
    except LineageError:
        return None
    return Path(top) if top else None


def git(folder: Path, *command: str, otherwise: str | None = None) -> str:
    """Return what git prints; `otherwise` where it fails, or `LineageError` with what it said."""
    try:
        done = subprocess.run(  # noqa: S603 - words of ours, revisions that git has checked
            ["git", "--no-optional-locks", *command],  # noqa: S607 - the one on the path is the user's
            cwd=folder, capture_output=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise LineageError(f"git could not be started ({error}); install it, or give the path of a checkout") from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "surrogateescape").strip("\n")
    if otherwise is not None:
        return otherwise
    reason = " ".join(done.stderr.decode("utf-8", "replace").split())
    raise LineageError(f"git {command[0]} failed in {folder}: {reason[:300] or 'no reason given'}")


def _sha(top: Path, revision: str) -> str:
    if revision.startswith("-"):
        return ""
    return git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", otherwise="")


def _unknown(revision: str, top: Path) -> str:
    return (
        f"git knows no commit {revision!r} in this clone{_fetch(top, revision) or '; check its spelling, or fetch it'}"
    )


def _fetch(top: Path, revision: str = "") -> str:
    """Return how a shallow clone gets what it lacks; empty for a whole one."""
    if git(top, "rev-parse", "--is-shallow-repository", otherwise="false") != "true":
        return ""
    remote, slash, branch = revision.partition("/")
    if slash and remote in git(top, "remote", otherwise="").split():
        command = f"git fetch --depth=1 {remote} +refs/heads/{branch}:refs/remotes/{remote}/{branch}"
    elif revision.startswith("HEAD^") or revision.startswith("HEAD~"):
        command = "git fetch --deepen=1 (or fetch-depth: 2 for actions/checkout, GIT_DEPTH: 2 in GitLab)"
    else:
        command = "git fetch --unshallow (or fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab)"
    return f", which holds only its newest commits; run {command}"
