from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from pytest_perfguard.baseline.folder import FolderStore
from pytest_perfguard.baseline.lineage import NoLineage
from pytest_perfguard.baseline.selection import check_wanted, differences, select
from pytest_perfguard.errors import LineageError, StoreError
from pytest_perfguard.model import Commit
from tests.unit.baseline.examples import MACHINE, header, measurement

OTHER = replace(MACHINE, python="3.13")
A, B, C, D, E = (letter * 40 for letter in "abcde")


@dataclass
class Line:
    """A lineage in a list: `line` is the head's first-parent line, `fork` where it left the trunk."""

    line: tuple[str, ...]
    fork: int = 0
    named: tuple[str, str] | None = None

    def head(self):
        return Commit(sha=self.line[0])

    def resolve(self, revision):
        if revision in self.line:
            return Commit(sha=revision)
        raise LineageError(f"git knows no commit {revision!r}; fetch it")

    def base(self):
        return (Commit(sha=self.named[0]), self.named[1]) if self.named else None

    def ancestors(self, limit=500):
        return self.line[self.fork :][:limit]

    def distance(self, sha):
        return self.line.index(sha) if sha in self.line else None

    def trunk(self):
        return "origin/main"


@pytest.fixture
def choose(tmp_path):
    def choose(stored, lineage, head, wanted="auto", **fields):
        store = FolderStore(tmp_path / "baselines")
        for run in stored:
            store.save(run, [measurement("t", 5, 6)])
        return select(store, lineage, fields.pop("machine", MACHINE), head, wanted, **fields)

    return choose


def head(sha, **fields):
    return Commit(sha=sha, tree=f"tree-{sha[:4]}", **fields)


STORED = [header("a", sha=A, hour=1), header("b", sha=B, hour=2), header("c", sha=C, hour=3)]
TOPIC = [replace(run, commit=replace(run.commit, branch="topic")) for run in STORED]


@pytest.mark.parametrize(
    ("stored", "lineage", "head", "expected"),
    [
        (STORED, Line((D, C, B, A), 1), head(D), (C, "the merge base with origin/main", 1, False)),
        (STORED[:1], Line((D, C, B, A), 1), head(D),
         (A, "nearest ancestor of the merge base with origin/main", 3, False)),
        (STORED, Line((D, C, B, A), 1, (B, "HEAD^1")), head(D), (B, "HEAD^1", 2, False)),
        (STORED, Line((D, C, B, A), 1, (E, "HEAD^1")), head(D), (C, "the merge base with origin/main", 1, False)),
        (STORED, Line((C, B, A)), head(C), (B, "nearest ancestor of HEAD", 1, False)),
        (STORED, Line((C, B, A)), head(C, dirty=True), (C, "HEAD, below uncommitted changes", 0, False)),
        (STORED, Line((D, C, B, A)), head(D, dirty=True), (C, "nearest ancestor of HEAD", 1, False)),
        (STORED[2:], Line((C, B, A)), head(C), (C, "the same commit, for want of an earlier one", 0, False)),
        (TOPIC[1:2], Line((C, B, A), 2), head(C), (B, "nearest ancestor on this branch", 1, False)),
        (STORED[:1], Line((E, D)), replace(head(E), tree="tree-aaaa"), (A, "same tree as eeeeeeeeeeee", None, False)),
        (STORED, Line((E, D)), head(E), (C, "newest run of origin/main", None, True)),
        ([*STORED, replace(TOPIC[0], run_id="t", created="2026-02-01T00:00:00Z")], Line((E, D)), head(E),
         (C, "newest run of origin/main", None, True)),
        (TOPIC, Line((E, D)), head(E), (C, "newest stored run", None, True)),
        (STORED, NoLineage(), Commit(), (C, "newest stored run", None, True)),
    ],
)  # fmt: skip
def test_the_order_of_choices(choose, stored, lineage, head, expected):
    baseline = choose(stored, lineage, head)
    assert (baseline.commit.sha, baseline.reason, baseline.distance, baseline.weak) == expected
    assert (baseline.foreign, baseline.notes) == ((), ())
    assert len(baseline.history) == len(stored) - len(baseline.runs)


def test_all_runs_of_the_commit_are_chosen_and_the_rest_is_history_newest_first(choose):
    more = [header("b2", sha=B, hour=9), header("dirty", sha=B, hour=10, dirty=True), header("x", sha=B, machine=OTHER)]
    baseline = choose([*STORED, *more], Line((D, B, A)), head(D))
    assert [run.header.run_id for run in baseline.runs] == ["b2", "b"]
    assert [run.header.run_id for run in baseline.history] == ["c", "a"]
    assert [run.header.run_id for run in choose([], Line((D, B, A)), head(D), history=1).history] == ["c"]


def test_without_a_commit_only_the_newest_run_is_chosen(choose):
    baseline = choose([header("a", sha="", hour=1), header("b", sha="", hour=2)], NoLineage(), Commit())
    assert [run.header.run_id for run in baseline.runs] == ["b"]


def test_runs_of_this_class_go_before_nearer_ones_of_another(choose):
    foreign = header("f", sha=C, hour=5, machine=OTHER)
    assert choose([foreign, STORED[0]], Line((D, C, B, A)), head(D)).commit.sha == A


def test_a_foreign_baseline_is_named_as_such(choose):
    far = replace(OTHER, processor="Another CPU")
    stored = [header("near", sha=C, machine=OTHER, hour=1), header("far", sha=C, machine=far, hour=9)]
    baseline = choose(stored, Line((D, C)), head(D))
    assert [run.header.run_id for run in baseline.runs] == ["near"]
    assert baseline.foreign == ("measured with cpython 3.13, this is cpython 3.12",)
    assert baseline.history == ()
    assert len(differences(far, MACHINE)) == 2
    assert differences(replace(MACHINE, label="x"), MACHINE) == (
        "measured on x, this is linux x86_64 with 4 x Example CPU",
    )
    assert differences(MACHINE, MACHINE) == ()


def test_a_revision_is_taken_or_nothing_is(choose):
    line = Line((D, C, B, A))
    assert choose(STORED, line, head(D), A).reason == f"{A}, as asked for"
    assert choose(STORED, line, head(D), "bbbb").commit.sha == B
    nothing = choose(STORED, Line((E, D)), head(E), D)
    assert nothing.runs == ()
    assert f"no run of {D}" in nothing.notes[0].message
    assert "--perfguard-save" in nothing.notes[0].remedy
    unknown = choose(STORED, line, head(D), "v1")
    assert (unknown.runs, unknown.notes[0].remedy) == ((), "fetch it")


def test_a_run_file_is_taken_or_nothing_is(choose, tmp_path):
    choose(STORED, Line((D, C)), head(D))
    [path] = (tmp_path / "baselines").rglob("*-b.jsonl.gz")
    baseline = choose([], Line((D, C)), head(D), str(path))
    assert (baseline.commit.sha, baseline.weak, baseline.distance) == (B, False, None)
    assert [run.header.run_id for run in baseline.history] == ["c", "a"]
    (tmp_path / "broken").write_bytes(path.read_bytes()[:-5])
    baseline = choose([], Line((D, C)), head(D), str(tmp_path / "broken"))
    assert baseline.runs == ()
    assert "damaged" in baseline.notes[0].message


@pytest.mark.parametrize(
    ("stored", "words"), [([], "no runs yet"), ([header("a", sha=A, dirty=True)], "only runs of uncommitted changes")]
)
def test_without_a_baseline_a_note_says_what_to_do(choose, stored, words):
    baseline = choose(stored, Line((B, A)), head(B))
    assert (baseline.runs, baseline.commit) == ((), None)
    assert words in baseline.notes[0].message
    assert "pytest --perfguard-save" in baseline.notes[0].remedy


def test_older_runs_are_those_of_the_next_commits_on_the_line_best_first(choose):
    more = [header("b2", sha=B, hour=9), header("dirty", sha=A, hour=10, dirty=True), header("x", sha=A, machine=OTHER)]
    line = Line((D, C, B, A))
    baseline = choose([*STORED, *more], line, head(D))
    assert [run.header.run_id for run in baseline.runs] == ["c"]
    assert [run.header.run_id for run in baseline.older] == ["b2", "b", "a"]
    # A commit on the branch comes after the trunk's; one that was asked for, or is weak or foreign, stands alone.
    assert [run.header.run_id for run in choose([], Line((D, C, B, A), 2), head(D)).older] == ["a", "c"]
    for lone in (choose([], line, head(D), B), choose([], Line((E,)), head(E))):
        assert lone.runs
        assert lone.older == ()
    assert choose([], line, head(D), machine=replace(MACHINE, python="3.14")).older == ()


def test_older_runs_are_few_and_of_whole_commits(choose):
    stored = [header(f"{sha[0]}{number}", sha=sha, hour=number) for sha in (A, B, C) for number in range(12)]
    assert {run.header.commit.sha for run in choose(stored, Line((D, C, B, A)), head(D)).older} == {B}


def test_what_is_named_must_exist_and_need_not_be_stored(choose, tmp_path):
    choose(STORED, Line((D, C)), head(D))
    store = FolderStore(tmp_path / "baselines")
    line = Line((D, C, B))
    [path] = (tmp_path / "baselines").rglob("*-b.jsonl.gz")
    for wanted in ("auto", D, "aaaa", str(path)):
        check_wanted(store, line, wanted)
    script = tmp_path / "test_x.py"
    script.write_text("assert True")
    for wanted, error, words in (
        ("nonsense", LineageError, "no commit 'nonsense'"),
        (str(script), StoreError, "is not a run file; name a revision"),
        (str(tmp_path), StoreError, "is a folder and no revision"),
    ):
        with pytest.raises(error, match=words):
            check_wanted(store, line, wanted)


def test_what_is_not_stored_is_named_with_its_store(choose):
    nothing = choose(STORED, Line((E, D)), head(E), D, where="kept/here")
    assert nothing.reason == f"no run of {D} is stored in kept/here"
    assert f"no run of {D} (kept/here)" in nothing.notes[0].message
    assert "(kept/here)" in choose([], Line((E, D)), head(E), E, where="kept/here").notes[0].message
