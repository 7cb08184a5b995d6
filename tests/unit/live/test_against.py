"""What a user may write for base, asked of real small repositories."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from pytest_perfguard.errors import ConfigError, LineageError
from pytest_perfguard.live.against import Against, Kind, parse, resolve
from pytest_perfguard.live.repository import git as ask
from pytest_perfguard.live.repository import top_of


@pytest.fixture(autouse=True)
def environment(bare_environment, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder, *command):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, subject):
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    """A repository with a branch that left main at its second commit, merged into a third one."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "first")
    commit(folder, "second")
    git(folder, "tag", "-a", "-m", "a tag", "v1.0")
    git(folder, "switch", "-q", "-c", "topic")
    commit(folder, "of the branch")
    git(folder, "switch", "-q", "main")
    commit(folder, "third")
    git(folder, "switch", "-q", "-c", "merged")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge", "topic")
    git(folder, "switch", "-q", "topic")
    return folder


def clone(repository, *options, branch="merged"):
    folder = repository.parent / "clone"
    git(repository.parent, "clone", "-q", *options, "--branch", branch, repository.as_uri(), str(folder))
    return folder


def read(text, folder, cwd=None):
    return parse(text, cwd=cwd or folder, top=top_of(folder))


def subject(text, folder):
    return resolve(read(text, folder), folder).subject


def refusal(text, folder):
    with pytest.raises(LineageError) as caught:
        resolve(read(text, folder), folder)
    return str(caught.value)


def run_advice(text, folder):
    """Run the command that a refusal advises, and return what the revision is then."""
    command = re.search(r"`git ([^`]+)`", refusal(text, folder))[1]
    git(folder, *command.split())
    return subject(text, folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", "third"),
        ("HEAD~1", "second"),
        ("v1.0", "second"),
        ("merge-base:main", "second"),
        ("@", "of the branch"),
    ],
)
def test_a_revision_is_whatever_git_knows(repository, text, expected):
    assert subject(text, repository) == expected


def test_a_commit_is_complete(repository):
    found = resolve(read("merged", repository), repository)
    assert found.sha == git(repository, "rev-parse", "merged")
    assert found.tree == git(repository, "rev-parse", "merged^{tree}")
    assert list(found.parents) == git(repository, "rev-parse", "merged^1", "merged^2").split()
    assert str(found.time) == git(repository, "log", "-1", "--format=%ct", "merged")
    assert not found.dirty


@pytest.mark.parametrize(
    ("text", "kind", "value", "words"),
    [
        ("self", Kind.SELF, "", "the same tree"),
        (" self ", Kind.SELF, "", "the same tree"),
        ("release:1.2.3", Kind.RELEASE, "1.2.3", "release 1.2.3"),
        ("merge-base: main", Kind.MERGE_BASE, "main", "merge base with main"),
        ("origin/main", Kind.REVISION, "origin/main", "origin/main"),
        ("HEAD^{/release:}", Kind.REVISION, "HEAD^{/release:}", "HEAD^{/release:}"),
    ],
)
def test_each_kind_has_its_words(repository, text, kind, value, words):
    against = read(text, repository)
    assert against == Against(kind=kind, value=value)
    assert against.words == words


def test_a_revision_comes_before_a_folder_of_its_name(repository):
    for name in ("main", "elsewhere"):
        (repository / name).mkdir()
    assert read("main", repository).kind is Kind.REVISION
    assert read("./main", repository) == Against(kind=Kind.PATH, value=str(repository / "main"))
    assert read("elsewhere", repository) == Against(kind=Kind.PATH, value=str(repository / "elsewhere"))
    assert read("../main", repository, cwd=repository / "elsewhere").value == str(repository / "main")
    assert read(str(repository / "main"), repository).value == str(repository / "main")


def test_a_home_folder_may_be_named(repository, monkeypatch):
    monkeypatch.setenv("HOME", str(repository.parent))
    assert read("~/origin", repository).value == str(repository)


@pytest.mark.parametrize("text", ["", "release:", "merge-base: ", "./nowhere", "/no/such/folder"])
def test_what_means_nothing_is_refused(repository, text):
    with pytest.raises(ConfigError, match="--perfguard-against"):
        read(text, repository)


def test_outside_of_a_repository_there_are_only_folders(tmp_path):
    (tmp_path / "other").mkdir()
    assert top_of(tmp_path) is None
    assert read("other", tmp_path).kind is Kind.PATH
    with pytest.raises(ConfigError, match="in no git repository"):
        read("main", tmp_path)


def test_without_git_it_is_said(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert top_of(repository) is None
    with pytest.raises(LineageError, match="install it"):
        resolve(Against(kind=Kind.REVISION, value="main"), repository)


def test_an_unknown_revision_is_named(repository):
    assert "'mian'" in refusal("mian", repository)
    assert "check its spelling" in refusal("mian", repository)
    assert "check its spelling" in refusal("-x", repository)
    assert "'gone'" in refusal("merge-base:gone", repository)


def test_a_repository_without_commits_has_none_to_compare_with(tmp_path):
    git(tmp_path, "init", "-q")
    assert "has no commit yet" in refusal("HEAD", tmp_path)


def test_strangers_have_no_merge_base(repository):
    git(repository, "switch", "-q", "--orphan", "other")
    commit(repository, "alone")
    assert "no commit in common; name the revision itself" in refusal("merge-base:main", repository)


def test_a_file_of_the_same_name_is_no_trouble(repository):
    (repository / "v1.0").write_text("")
    assert subject("v1.0", repository) == "second"


@pytest.mark.parametrize(
    ("text", "expected"), [("HEAD^1", "third"), ("HEAD~1", "third"), ("HEAD^", "third"), ("HEAD~2", "second")]
)
def test_a_shallow_clone_is_told_how_deep_it_must_be(repository, text, expected):
    folder = clone(repository, "--depth=1")
    assert "fetch-depth: " + ("3" if text == "HEAD~2" else "2") in refusal(text, folder)
    assert run_advice(text, folder) == expected


def test_a_detached_merge_commit_of_ci_has_its_first_parent_at_depth_two(repository, tmp_path):
    git(repository, "update-ref", "refs/pull/1/merge", "merged")
    folder = tmp_path / "ci"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", repository.as_uri())
    git(folder, "fetch", "-q", "--depth=1", "origin", "+refs/pull/1/merge:refs/remotes/pull/1/merge")
    git(folder, "checkout", "-q", "--detach", "refs/remotes/pull/1/merge")
    assert "the first parent of a CI's merge commit is the target branch" in refusal("HEAD^1", folder)
    assert run_advice("HEAD^1", folder) == "third"


@pytest.mark.parametrize(
    ("text", "expected"), [("origin/main", "third"), ("main", "third"), ("v1.0", "second"), ("SHA", "second")]
)
def test_a_shallow_clone_is_told_how_to_get_one_commit(repository, text, expected):
    folder = clone(repository, "--depth=1", "--no-tags")
    if text == "SHA":
        text = git(repository, "rev-parse", "v1.0^{commit}")
    assert "--depth=1" in refusal(text, folder)
    assert run_advice(text, folder) == expected


def test_a_merge_base_needs_the_history(repository):
    folder = clone(repository, "--depth=1", branch="topic")
    said = refusal("merge-base:origin/main", folder)
    commands = re.findall(r"`git ([^`]+)`", said)
    assert commands == ["fetch --unshallow origin", "fetch origin +refs/heads/main:refs/remotes/origin/main"]
    git(folder, *commands[1].replace("fetch", "fetch --depth=1").split())
    assert "no commit in common: this clone holds only their newest" in refusal("merge-base:origin/main", folder)
    for command in commands:
        git(folder, *command.split())
    assert subject("merge-base:origin/main", folder) == "second"


def test_a_branch_that_was_not_fetched_can_be(repository):
    folder = clone(repository, "--single-branch")
    assert run_advice("origin/main", folder) == "third"


def test_the_top_is_found_along_links(repository, tmp_path):
    (repository / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(repository)
    (tmp_path / "deep").symlink_to(repository / "a" / "b")
    assert top_of(repository / "a" / "b") == repository
    assert top_of(tmp_path / "link" / "a") == tmp_path / "link"
    assert top_of(tmp_path / "deep") == repository


def test_the_variables_of_a_hook_mislead_nobody(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert subject("main", repository) == "third"


def test_a_checkout_of_somebody_else_is_refused_with_the_remedy(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(LineageError, match=f"safe.directory {repository}"):
        top_of(repository)


def test_what_git_says_is_handed_on(repository):
    with pytest.raises(LineageError, match=r"`git frobnicate` failed in .*not a git command"):
        ask(repository, "frobnicate")
