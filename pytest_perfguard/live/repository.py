"""What is asked of git about a checkout, and the one way in which git is called here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pytest_perfguard.errors import LineageError
from pytest_perfguard.live import cleaning
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.model.commit import Commit

_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
"""Variables that a hook of git's sets: they mean the repository of the hook, wherever git is called."""

_GATE = ("/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh")
"""Starts a command when a line is read: none comes where we are killed before the janitor knows of the process."""


def git(folder: Path, *command: str, otherwise: str | None = None, janitor: Janitor | None = None) -> str:
    """Return what git prints; where it fails, `otherwise`, or else `LineageError` is raised with what it said.

    With a `janitor`, git is ended with the run even where this process is killed meanwhile.
    """
    gate = _GATE if janitor is not None and os.name == "posix" else ()
    try:
        process = subprocess.Popen(  # noqa: S603 - words of ours, and revisions, which never begin with a dash
            [*gate, "git", "--no-optional-locks", *command],
            cwd=folder, env=_environment(), stdin=subprocess.PIPE if gate else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=bool(gate),
        )  # fmt: skip
    except OSError as error:
        if not folder.is_dir():
            raise LineageError(f"{folder} is no folder") from None
        raise LineageError(f"git could not be started ({error}); install it, or give the path of a checkout") from None
    with process:
        try:
            if janitor is not None:
                janitor.guard_group(process.pid)
            printed, said = process.communicate(b"\n" if gate else None)
        except BaseException:
            if gate:
                cleaning.end_group(process.pid)
            process.kill()
            raise
        finally:
            if janitor is not None:
                janitor.release_group(process.pid)
    if process.returncode == 0:
        return os.fsdecode(printed).strip("\n")
    reason = " ".join(said.decode("utf-8", "replace").split())
    if "dubious ownership" in reason:
        # Nothing can be told of such a checkout, whatever was asked.
        place = reason.partition(" at '")[2].partition("'")[0] or folder
        raise LineageError(
            f"git refuses {folder} because another user owns it; run `git config --global --add safe.directory {place}`"
        )
    if otherwise is not None:
        return otherwise
    raise LineageError(f"`git {' '.join(command)}` failed in {folder}: {reason[:500] or 'no reason given'}")


def top_of(folder: Path) -> Path | None:
    """Return the top of the git checkout that `folder` is in, None where it is in none or there is no git."""
    try:
        told = git(folder, "rev-parse", "--show-toplevel", "--show-prefix", otherwise="")
    except LineageError as error:
        if "safe.directory" in str(error):
            raise
        return None
    if not told:
        return None
    top, _, prefix = told.partition("\n")
    # Git follows symbolic links, pytest does not: a path that is a part of `folder` keeps both in step.
    inside = Path(prefix)
    above = folder
    for part in reversed(inside.parts):
        if above.name != part:
            return Path(top)
        above = above.parent
    return above if above.samefile(top) else Path(top)


def read_commit(top: Path, sha: str) -> Commit:
    """Return the commit with this SHA."""
    # The raw object: in a shallow clone everything else pretends that the oldest commit has no parents.
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


def find_sha(top: Path, revision: str) -> str:
    """Return the SHA of the commit that `revision` names, empty where there is none."""
    if not revision or revision.startswith("-"):
        return ""
    return git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", otherwise="")


def files_of(tree: Path, *within: str) -> list[str] | None:
    """Return the files of a checkout that exist, tracked or new but not ignored; None where `tree` is not its top."""
    if not (tree / ".git").exists():
        return None
    where = [f":(top,literal){name}" for name in within]
    listed = git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *where)
    return [name for name in dict.fromkeys(listed.split("\0")) if name and os.path.lexists(tree / name)]


def ignored_in(tree: Path, *patterns: str) -> list[str]:
    """Return the files of a checkout that git ignores and whose names match one of `patterns`."""
    if not (tree / ".git").exists():
        return []
    where = [f":(top){pattern}" for pattern in patterns]
    listed = git(tree, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *where)
    return [name for name in listed.split("\0") if name]


def read_archive(repository: Path, sha: str) -> bytes:
    """Return the files of a commit as a tar archive."""
    done = subprocess.run(  # noqa: S603 - words of ours and a SHA
        ["git", "archive", "--format=tar", sha],  # noqa: S607 - the one on the path is the user's
        cwd=repository, env=_environment(), capture_output=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode != 0:
        raise LineageError(f"`git archive` failed in {repository}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
