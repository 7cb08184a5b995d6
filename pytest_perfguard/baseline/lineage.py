"""The project's history by git, and what stands in for it where there is none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_perfguard.errors import LineageError
from pytest_perfguard.model import Commit, Note
from pytest_perfguard.model.protocols import Lineage

_NO_GIT = "there is no git command on PATH; install git"
_ZEROS = "0" * 40
_CHUNK = 1 << 20


class NoLineage:
    """The lineage of a folder without a history: an empty commit, and nothing before it."""

    def head(self) -> Commit:
        """Return the empty commit."""
        return Commit()

    def resolve(self, revision: str) -> Commit:
        """Raise `LineageError`: there is nothing to name."""
        raise LineageError(f"there is no git repository to find {revision!r} in; name a stored run's file instead")

    def base(self) -> tuple[Commit, str] | None:
        """Return None."""
        return None

    def ancestors(self, limit: int = 500) -> Sequence[str]:
        """Return nothing."""
        return ()

    def distance(self, sha: str) -> int | None:
        """Return None."""
        return None

    def trunk(self) -> str:
        """Return an empty name."""
        return ""

    def close(self) -> None:
        """Do nothing."""


class GitLineage:
    """The history of the repository around `root`, as `model.protocols.Lineage` describes.

    `exclude` is the folder of the store, which does not make the tree dirty. Each answer is read once: the repository
    is taken as it was when the question was first asked. No process of git outlives a question; `close` lets go of
    what GitPython keeps. Raises `LineageError` where there is no usable git or repository.
    """

    def __init__(self, root: Path, exclude: Path | None = None) -> None:
        self._git = _repository(root)
        self._exclude = exclude
        self._cache: dict[tuple[str, ...], str] = {}
        self._head: Commit | None = None
        self._places: dict[str, int] | None = None

    def close(self) -> None:
        """Let go of the repository."""
        self._git.close()

    @property
    def notes(self) -> tuple[Note, ...]:
        """Return what is known to be missing of the history."""
        if self._ask("rev-parse", "--is-shallow-repository", otherwise="false") != "true":
            return ()
        return (
            Note(
                code="shallow-clone",
                message="this clone holds only the newest commits, and those that have baselines may not be among them",
                remedy="run `git fetch --unshallow`, or set fetch-depth: 0 (GitHub) or GIT_DEPTH: 0 (GitLab)",
            ),
        )

    def head(self) -> Commit:
        """Return the state that is being measured; its SHA is empty before the first commit."""
        if self._head is None:
            sha = self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}", otherwise="")
            branch = self._ask("symbolic-ref", "--quiet", "--short", "HEAD", otherwise="") or _branch_in_ci()
            dirty_tree = self._dirty_tree(sha)
            self._head = self._commit(sha, branch, dirty_tree) if sha else Commit(
                branch=branch, dirty=bool(dirty_tree), dirty_tree=dirty_tree
            )  # fmt: skip
        return self._head

    def resolve(self, revision: str) -> Commit:
        """Return the commit that `revision` names."""
        sha = self._sha(revision)
        if not sha:
            fetch = f"; {self.notes[0].remedy}" if self.notes else "; check its spelling, or fetch it"
            raise LineageError(f"git knows no commit {revision!r} in this clone{fetch}")
        return self._commit(sha)

    def base(self) -> tuple[Commit, str] | None:
        """Return the commit that CI or a merge commit names as the one to compare with, and in words why.

        In this order: `PERFGUARD_BASE`, GitLab's `CI_MERGE_REQUEST_DIFF_BASE_SHA`, the first parent of a merge commit
        at HEAD, the base that GitHub's event file names, GitHub's `GITHUB_BASE_REF`. A commit that the clone does not
        have is given by its SHA alone, for a store may know it.
        """
        for revision, reason in self._candidates():
            sha = self._sha(revision)
            if sha:
                return self._commit(sha), reason
            if len(revision) == 40 and revision.strip("0123456789abcdef") == "" and revision != _ZEROS:
                return Commit(sha=revision), f"{reason} (not in this clone)"
        return None

    def ancestors(self, limit: int = 500) -> Sequence[str]:
        """Return SHAs along the first parents of the commit where this line left the default branch, nearest first.

        On the default branch itself, and where there is none, that is the line of HEAD, with HEAD first.
        """
        return self._ask("rev-list", "--first-parent", f"--max-count={limit}", self._fork(), otherwise="").split()

    def distance(self, sha: str) -> int | None:
        """Return how many first-parent commits lie between `sha` and the head, None where it is not on that line.

        A commit of the default branch that this branch grew from counts the commits of this branch.
        """
        if self._places is None:
            line = self._ask("rev-list", "--first-parent", "HEAD", otherwise="").split()
            self._places = {found: place for place, found in enumerate(line)}
        return self._places.get(sha)

    def trunk(self) -> str:
        """Return the name of the default branch: what origin/HEAD points to, or main or master where they exist."""
        named = self._ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", otherwise="")
        for name in (named, "origin/main", "origin/master", "main", "master"):
            if name and self._sha(name):
                return name
        return ""

    def _fork(self) -> str:
        trunk = self.trunk()
        if trunk:
            # A local trunk that is ahead of origin's is still the trunk: its own line counts.
            if self.head().branch == trunk.removeprefix("origin/"):
                return "HEAD"
            common = self._ask("merge-base", "HEAD", trunk, otherwise="")
            if common:
                return common
        return "HEAD"

    def _candidates(self) -> Iterator[tuple[str, str]]:
        environ = os.environ
        if revision := environ.get("PERFGUARD_BASE"):
            yield revision, f"PERFGUARD_BASE={revision}"
        if revision := environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"):
            yield revision, "the base of GitLab's merge request"
        head = self.head()
        if len(head.parents) > 1 and (environ.get("GITHUB_BASE_REF") or not head.dirty):
            # Uncommitted work on top of a merge is compared with the merge; CI's own files are no such work.
            yield head.parents[0], "HEAD^1, the first parent of the merge commit"
        if revision := _event_base(environ.get("GITHUB_EVENT_PATH", "")):
            yield revision, "the base of GitHub's pull request"
        if name := environ.get("GITHUB_BASE_REF"):
            for revision in (f"origin/{name}", name):
                common = self._ask("merge-base", "HEAD", revision, otherwise="")
                if common:
                    yield common, f"the merge base with {revision}, the target of GitHub's pull request"

    def _sha(self, revision: str) -> str:
        if revision.startswith("-"):
            return ""
        return self._ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", otherwise="")

    def _commit(self, sha: str, branch: str = "", dirty_tree: str = "") -> Commit:
        # The raw object: in a shallow clone everything else pretends that the oldest commit has no parents.
        front, _, message = self._ask("cat-file", "commit", sha).partition("\n\n")
        lines = [line.partition(" ")[::2] for line in front.splitlines()]
        parents = tuple(value for name, value in lines if name == "parent")
        fields = dict(lines)
        return Commit(
            sha=sha, tree=fields["tree"], parents=parents, branch=branch, subject=message.partition("\n")[0],
            time=int(fields["committer"].split()[-2]), dirty=bool(dirty_tree), dirty_tree=dirty_tree,
        )  # fmt: skip

    def _dirty_tree(self, sha: str) -> str:
        """Return a hash of all that differs from the commit, "" where nothing does."""
        top = Path(self._git.working_tree_dir)
        where = [".", *self._excluded(top)]
        state = self._run("status", "--porcelain", "-z", "--untracked-files=all", "--", *where)
        if not state:
            return ""
        digest = hashlib.sha256()
        if sha:
            digest.update(
                self._run("diff", "HEAD", "--binary", "--no-ext-diff", "--no-color", "--submodule=diff", "--", *where)
            )
        listed = ["--others", "--exclude-standard"] if sha else ["--cached", "--others", "--exclude-standard"]
        for name in sorted(self._run("ls-files", "-z", *listed, "--", *where).split(b"\0")):
            if name:
                digest.update(b"\0" + name + b"\0")
                _digest_file(digest, top / os.fsdecode(name))
        return digest.hexdigest()

    def _excluded(self, top: Path) -> list[str]:
        if self._exclude is None:
            return []
        try:
            inside = self._exclude.resolve().relative_to(top.resolve())
        except ValueError:
            return []
        return [f":(exclude,top,literal){inside.as_posix()}"] if inside.parts else []

    def _run(self, *command: str) -> bytes:
        """Return what git prints, as bytes."""
        import git

        try:
            # Without optional locks a read-only checkout works, and a commit made meanwhile is not disturbed.
            call = [self._git.git.GIT_PYTHON_GIT_EXECUTABLE or "git", "--no-optional-locks", *command]
            done = self._git.git.execute(call, stdout_as_string=False, strip_newline_in_stdout=False)
        except git.GitCommandNotFound as error:
            raise LineageError(_NO_GIT) from error
        except git.GitCommandError as error:
            raise LineageError(_words(error, f"`git {' '.join(command[:2])}`")) from error
        assert isinstance(done, bytes)
        return done

    def _ask(self, *command: str, otherwise: str | None = None) -> str:
        """Return what git prints, asking once; `otherwise` where it fails."""
        if command not in self._cache:
            try:
                self._cache[command] = self._run(*command).decode("utf-8", "replace").strip("\n")
            except LineageError:
                if otherwise is None:
                    raise
                self._cache[command] = otherwise
        return self._cache[command]


def open_lineage(root: Path, exclude: Path | None = None) -> tuple[Lineage, tuple[Note, ...]]:
    """Return the lineage of the repository around `root`, or one without history, and what stands in the way.

    Never raises for what it finds: every trouble is a note.
    """
    try:
        lineage = GitLineage(root, exclude)
        try:
            lineage.head()
            return lineage, lineage.notes
        except BaseException:
            lineage.close()
            raise
    except LineageError as error:
        what, _, remedy = str(error).partition("; ")
        return NoLineage(), (Note(code="no-lineage", message=what, remedy=remedy),)


def _repository(root: Path) -> Any:
    # Without a binary, importing GitPython raises unless it is told not to look for one.
    before = os.environ.get("GIT_PYTHON_REFRESH")
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    try:
        try:
            import git
        except ImportError as error:
            raise LineageError(f"GitPython cannot be imported ({error}); pip install GitPython") from error
    finally:
        if before is None:
            del os.environ["GIT_PYTHON_REFRESH"]
        else:
            os.environ["GIT_PYTHON_REFRESH"] = before
    repository = None
    try:
        repository = git.Repo(root, search_parent_directories=True)
        repository.git.rev_parse("--git-dir")
    except git.GitCommandNotFound as error:
        raise LineageError(_NO_GIT) from error
    except (git.NoSuchPathError, git.InvalidGitRepositoryError) as error:
        raise LineageError(
            f"{root} is in no git repository; run `git init` there, so that runs of a commit are taken together"
        ) from error
    except git.GitCommandError as error:
        if repository is not None:
            repository.close()
        raise LineageError(_words(error, str(root))) from error
    if repository.bare:
        repository.close()
        raise LineageError(f"the repository of {root} is bare and has no files to measure; use a clone of it")
    return repository


def _words(error: Any, what: str) -> str:
    text = str(error.stderr or error)
    if "dubious ownership" in text:
        folder = text.partition("repository at '")[2].partition("'")[0] or what
        return (
            f"git refuses {folder} because another user owns it; "
            f"run `git config --global --add safe.directory {folder}`"
        )
    detail = " ".join(text.rpartition("stderr:")[2].strip(" '\n").split())
    return f"git failed at {what}: {detail[:300] or 'no reason given'}; run it by hand to see why"


def _branch_in_ci() -> str:
    """Return the branch that CI says it checked out; its HEAD is often detached."""
    environ = os.environ
    for name in ("GITHUB_HEAD_REF", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_BRANCH"):
        if environ.get(name):
            return environ[name]
    return environ.get("GITHUB_REF_NAME", "") if environ.get("GITHUB_REF_TYPE") == "branch" else ""


def _event_base(path: str) -> str:
    """Return the SHA of the base in GitHub's event file, "" where there is none."""
    if not path:
        return ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        event = json.loads(Path(path).read_text(encoding="utf-8"))
        sha = event["pull_request"]["base"]["sha"]
        return sha if isinstance(sha, str) else ""
    return ""


def _digest_file(digest: Any, path: Path) -> None:
    # A file that vanished or cannot be read is known by its name, which is digested already.
    with contextlib.suppress(OSError):
        if path.is_symlink():
            digest.update(os.fsencode(path.readlink()))
        elif path.is_file():
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
