from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_perfguard.baseline.lineage import GitLineage, NoLineage, open_lineage
from pytest_perfguard.errors import LineageError
from pytest_perfguard.model import Commit
from pytest_perfguard.model.protocols import Lineage


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("GIT_", "GITHUB_", "CI_", "PERFGUARD_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


class Project:
    """A repository made by the git command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *command: str) -> str:
        settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        call = ["git", *settings, "-c", "protocol.file.allow=always", *command]
        return subprocess.run(call, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.root / f"{text}.txt").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"{text}: ünï\n\nbody")
        return self.git("rev-parse", "HEAD")

    def lineage(self, **fields) -> GitLineage:
        return GitLineage(self.root, **fields)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


def test_the_head_is_described(project):
    first, second = project.commit("one"), project.commit("two")
    (project.root / "sub").mkdir()
    head = GitLineage(project.root / "sub").head()
    assert (head.sha, head.parents, head.branch, head.subject) == (second, (first,), "main", "two: ünï")
    assert head.tree == project.git("rev-parse", "HEAD^{tree}")
    assert str(head.time) == project.git("log", "-1", "--format=%ct")
    assert (head.dirty, head.dirty_tree) == (False, "")


def test_uncommitted_changes_are_told_apart_and_the_store_is_none(project):
    project.commit("one")
    store = project.root / "baselines"
    store.mkdir()
    (project.root / ".gitignore").write_text("*.log\n")
    project.commit("two")
    (store / "run").write_text("1")
    (project.root / "x.log").write_text("1")
    assert not project.lineage(exclude=store).head().dirty
    assert project.lineage().head().dirty
    seen = set()
    for name, text in (("one.txt", "a"), ("one.txt", "b"), ("new", "a"), ("new", "b")):
        (project.root / name).write_text(text)
        head = project.lineage(exclude=store).head()
        assert head.dirty
        seen.add(head.dirty_tree)
    assert len(seen) == 4
    assert project.lineage(exclude=store).head().dirty_tree in seen
    project.git("add", "-A")
    project.git("reset", "-q", "--hard")
    assert not project.lineage().head().dirty


def test_the_line_begins_where_the_branch_left_the_trunk(project):
    shas = [project.commit(name) for name in "abc"]
    project.git("checkout", "-q", "-b", "side")
    side = project.commit("side")
    project.git("checkout", "-q", "main")
    trunk = project.commit("later")
    assert project.lineage().ancestors() == [trunk, *reversed(shas)]
    project.git("checkout", "-q", "side")
    lineage = project.lineage()
    assert lineage.trunk() == "main"
    assert lineage.ancestors() == list(reversed(shas))
    assert lineage.ancestors(2) == list(reversed(shas))[:2]
    assert [lineage.distance(sha) for sha in (side, shas[2], shas[0], trunk, "")] == [0, 1, 3, None, None]
    assert lineage.resolve("main~1").sha == shas[2]
    with pytest.raises(LineageError, match=r"no commit 'nowhere'.*fetch it"):
        lineage.resolve("nowhere")
    with pytest.raises(LineageError):
        lineage.resolve("--all")


def test_ci_and_merge_commits_name_the_base(project, monkeypatch, tmp_path):
    first = project.commit("a")
    project.git("checkout", "-q", "-b", "side")
    side = project.commit("side")
    project.git("checkout", "-q", "main")
    assert project.lineage().base() is None
    second = project.commit("b")
    project.git("merge", "-q", "--no-ff", "--no-edit", "side")

    def base():
        found = project.lineage().base()
        return found and (found[0].sha, found[1])

    assert base() == (second, "HEAD^1, the first parent of the merge commit")
    (project.root / "a.txt").write_text("edited")
    assert base() is None
    project.git("checkout", "-q", ".")
    project.git("checkout", "-q", "side")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    assert base() == (side, "the merge base with main, the target of GitHub's pull request")
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"base": {"sha": second}}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    assert base() == (second, "the base of GitHub's pull request")
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", "f" * 40)
    assert base() == ("f" * 40, "the base of GitLab's merge request (not in this clone)")
    monkeypatch.setenv("PERFGUARD_BASE", "main~2")
    assert base() == (first, "PERFGUARD_BASE=main~2")
    monkeypatch.setenv("PERFGUARD_BASE", "none-such")
    assert base() == ("f" * 40, "the base of GitLab's merge request (not in this clone)")


def test_a_shallow_clone_says_how_to_fetch_and_still_knows_the_first_parent(project, tmp_path):
    first = project.commit("a")
    second = project.commit("b")
    project.git("checkout", "-q", "-b", "side", first)
    project.commit("side")
    project.git("checkout", "-q", "main")
    project.git("merge", "-q", "--no-ff", "--no-edit", "side")
    project.git("clone", "-q", "--depth=1", f"file://{project.root}", str(tmp_path / "clone"))
    lineage, notes = open_lineage(tmp_path / "clone")
    assert [note.code for note in notes] == ["shallow-clone"]
    assert "git fetch --unshallow" in notes[0].remedy
    assert lineage.head().parents[0] == second
    assert lineage.base() == (Commit(sha=second), "HEAD^1, the first parent of the merge commit (not in this clone)")
    with pytest.raises(LineageError, match="unshallow"):
        lineage.resolve(first)


def test_a_detached_head_has_its_line_and_the_branch_that_ci_names(project, monkeypatch):
    shas = [project.commit(name) for name in "abc"]
    project.git("checkout", "-q", "--detach", shas[1])
    lineage = project.lineage()
    assert (lineage.head().sha, lineage.head().branch) == (shas[1], "")
    assert lineage.ancestors() == [shas[1], shas[0]]
    monkeypatch.setenv("CI_COMMIT_BRANCH", "topic")
    assert project.lineage().head().branch == "topic"


def test_before_the_first_commit_there_is_an_empty_one(project):
    lineage, notes = open_lineage(project.root)
    assert (lineage.head(), notes) == (Commit(branch="main"), ())
    assert (lineage.base(), lineage.ancestors(), lineage.distance("a"), lineage.trunk()) == (None, [], None, "")
    (project.root / "new").write_text("1")
    assert project.lineage().head().dirty


def test_worktrees_submodules_and_remotes(project, tmp_path):
    inner = Project(tmp_path / "inner")
    inner.commit("inner")
    project.commit("a")
    project.git("submodule", "add", "-q", str(inner.root), "lib")
    head = project.commit("b")
    project.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "tree"))
    assert (GitLineage(tmp_path / "tree").head().branch, GitLineage(tmp_path / "tree").head().sha) == ("topic", head)
    assert not project.lineage().head().dirty
    (project.root / "lib" / "inner.txt").write_text("one")
    one = project.lineage().head().dirty_tree
    (project.root / "lib" / "inner.txt").write_text("two")
    assert one != project.lineage().head().dirty_tree != ""
    project.git("branch", "-m", "main", "develop")
    project.git("clone", "-q", str(project.root), str(tmp_path / "clone"))
    assert GitLineage(tmp_path / "clone").trunk() == "origin/develop"


@pytest.mark.parametrize("trouble", ["no repository", "no folder", "no git", "dubious", "bare", "broken"])
def test_every_trouble_is_a_note(project, tmp_path, monkeypatch, trouble):
    project.commit("a")
    root, words = project.root, ""
    match trouble:
        case "no repository":
            monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
            root, words = tmp_path, "is in no git repository; run `git init`"
        case "no folder":
            root, words = tmp_path / "none", "is in no git repository"
        case "no git":
            monkeypatch.setenv("PATH", str(tmp_path))
            words = "no git command on PATH; install git"
        case "dubious":
            monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
            words = f"safe.directory {root}"
        case "bare":
            project.git("clone", "-q", "--bare", str(root), str(tmp_path / "bare.git"))
            root, words = tmp_path / "bare.git", "is bare"
        case "broken":
            (project.root / ".git" / "index").write_text("nonsense")
            words = "git failed at `git status"
    lineage, notes = open_lineage(root)
    assert isinstance(lineage, NoLineage)
    assert [note.code for note in notes] == ["no-lineage"]
    assert words in str(notes[0])
    assert notes[0].remedy


def test_without_a_git_command_the_first_import_of_gitpython_is_survived(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pytest_perfguard.baseline.lineage import open_lineage;"
        "assert 'git' not in sys.modules; print(open_lineage(Path('.'))[1][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert "no git command" in done.stdout
    assert done.stderr == ""


def test_no_process_is_left_and_both_lineages_keep_the_protocol(project):
    psutil = pytest.importorskip("psutil")
    project.commit("a")
    lineage = project.lineage()
    lineage.resolve("HEAD")
    lineage.ancestors()
    assert psutil.Process().children() == []
    lineage.close()
    assert isinstance(lineage, Lineage)
    none = NoLineage()
    assert isinstance(none, Lineage)
    assert (none.head(), none.base(), none.distance("a"), none.trunk()) == (Commit(), None, None, "")
    with pytest.raises(LineageError, match="no git repository"):
        none.resolve("main")
