"""Saving and comparing: what is stored, what it is compared with, and what is called a regression."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from tests.integration.conftest import git

SHOP = """
    import sqlite3, time

    def connect():
        connection = sqlite3.connect(":memory:")
        connection.execute("create table item (id integer)")
        return connection

    def list_items(connection):
        for number in range({queries}):
            connection.execute("select id from item where id = ?", (number,)).fetchall()

    def render():
        total = 0
        for number in range({work}):
            total += number * number
        return total
"""

TESTS = """
    import pytest, shop

    @pytest.mark.perf_budget(queries=100)
    def test_list(perf):
        connection = shop.connect()
        perf(shop.list_items, connection)
        connection.close()

    def test_render(perf):
        perf(shop.render)

    @pytest.mark.perf_budget(queries=100)
    def test_body():
        connection = shop.connect()
        shop.list_items(connection)
        connection.close()
"""


@pytest.fixture
def shop(either):
    """A project with one commit and three stored runs of it."""
    either.write(shop=SHOP.format(queries=2, work=2000), test_shop=TESTS)
    either.first = either.commit("first")
    for _ in range(3):
        either.run("--perfguard-save", code=0)
    return either


def test_unchanged_code_passes_and_changed_code_is_called_regressed(shop):
    assert len(shop.stored()) == 3
    assert all(name.startswith(f"{shop.first[:12]}-") for name in shop.stored())
    shop.commit("second")
    inner = shop.run("--perfguard-compare", code=0)
    assert {each["outcome"] for each in inner.verdicts(metric="queries")} == {"passed", "unchanged"}
    assert "regressed" not in {each["outcome"] for each in inner.report["verdicts"]}
    baseline = inner.report["baseline"]
    assert baseline["commit"]["sha"] == shop.first
    assert baseline["distance"] == 1
    assert (baseline["weak"], baseline["foreign"]) == (False, [])
    # The runs of one commit accumulate; their spread and number decide what could have been seen.
    assert len(baseline["runs"]) == 3
    (time,) = inner.verdicts("test_render", "time")
    assert time["effect"]["base_runs"] == 3
    assert time["effect"]["low"] <= time["effect"]["change"] <= time["effect"]["high"]

    shop.write(shop=SHOP.format(queries=7, work=20000))
    shop.commit("slower")
    inner = shop.run("--perfguard-compare", "--perfguard-gate-contended", "--junitxml=junit.xml", code=1)
    assert inner.outcomes == {"failed": 3}
    for test in ("test_list", "test_body"):
        regressed = [each for each in inner.verdicts(test, "queries") if each["outcome"] == "regressed"]
        assert [(each["baseline"], each["value"]["value"], each["fails"]) for each in regressed] == [(2, 7, True)]
    assert inner.judged("test_render", "time") == ("regressed", True)
    (time,) = inner.verdicts("test_render", "time")
    assert time["effect"]["change"] > 3
    inner.result.stdout.fnmatch_lines_random(
        [
            "queries of test_shop.py::test_list rose to 7, *, from 2 at*",
            "*CHANGED  2 → 7 × SELECT id FROM item WHERE id = ?*",
            "time of test_shop.py::test_render got slower: *",
        ]
    )
    check_junit(
        shop.path / "junit.xml", {"test_list": "rose to 7", "test_render": "got slower", "test_body": "rose to 7"}
    )

    git(shop.path, "revert", "--no-edit", "HEAD")
    inner = shop.run("--perfguard-compare=HEAD^", code=0)
    assert inner.notes >= {"no-baseline"}


def check_junit(path, failures):
    """Check that a file is valid by pytest's own schema, and that its failures are these."""
    xmlschema.XMLSchema(str(Path(__file__).with_name("junit-10.xsd"))).validate(str(path))
    cases = ElementTree.parse(path).getroot().findall(".//testcase")
    found = {case.get("name"): case.find("failure") for case in cases}
    assert found.keys() == failures.keys()
    for name, text in failures.items():
        assert text in found[name].get("message")
        assert "Traceback" not in (found[name].text or "")


def test_a_regression_can_be_expected(project):
    project.write(shop=SHOP.format(queries=2, work=1), test_shop=TESTS)
    project.commit()
    project.run("--perfguard-save", code=0)
    project.write(
        shop=SHOP.format(queries=3, work=1),
        test_shop=TESTS.replace(
            "@pytest.mark.perf_budget(queries=100)",
            "@pytest.mark.xfail(strict=True, reason='known')\n    @pytest.mark.perf_budget(queries=100)",
        ),
    )
    project.commit()
    inner = project.run("--perfguard-compare", "-k", "list or body", code=0)
    assert inner.outcomes == {"xfailed": 2, "deselected": 1}
    assert {each["outcome"] for each in inner.verdicts(metric="reads")} == {"regressed"}
    project.write(shop=SHOP.format(queries=2, work=1))
    project.commit()
    inner = project.run("--perfguard-compare=HEAD~2", "-k", "list or body", code=1)
    assert inner.outcomes == {"failed": 2, "deselected": 1}
    inner.result.stdout.fnmatch_lines(["*XPASS(strict)*known*"])


def test_improvements_and_new_tests(project):
    project.write(shop=SHOP.format(queries=5, work=1), test_shop=TESTS)
    project.commit()
    project.run("--perfguard-save", "-k", "test_list", code=0)
    project.write(shop=SHOP.format(queries=1, work=1))
    project.commit()
    inner = project.run("--perfguard-compare", code=0)
    assert {each["outcome"] for each in inner.verdicts("test_list", "reads")} == {"improved"}
    assert {each["outcome"] for each in inner.verdicts("test_render")} == {"no baseline"}


ONE = """
    import sqlite3, pytest

    @pytest.mark.perf_budget(queries=100)
    def test_it(perf):
        connection = sqlite3.connect(":memory:")
        perf(lambda: [connection.execute("select 1") for _ in range({queries})])
        connection.close()
"""


@pytest.fixture
def one(project):
    """A project with one test that makes two queries."""
    project.write(test_it=ONE.format(queries=2))
    return project


def reads(inner):
    """Return the outcome of the exact comparison, and whether it fails."""
    return inner.judged("test_it", "reads")


def test_uncommitted_changes_are_compared_with_head_and_never_chosen(one):
    sha = one.commit()
    one.run("--perfguard-save", code=0)
    one.write(test_it=ONE.format(queries=3))
    inner = one.run("--perfguard-save", "--perfguard-compare", code=1)
    assert reads(inner) == ("regressed", True)
    assert inner.report["header"]["commit"]["dirty"] is True
    assert inner.report["baseline"]["reason"] == "HEAD, below uncommitted changes"
    inner.result.stdout.fnmatch_lines(["stored *+dirty in *-dirty-*; it holds uncommitted changes and is not chosen*"])
    assert len(one.stored()) == 2
    one.commit("as it was when it was dirty")
    inner = one.run("--perfguard-compare", code=1)
    assert inner.report["baseline"]["commit"]["sha"] == sha


def test_without_a_repository_runs_are_kept_and_compared_weakly(one):
    inner = one.run("--perfguard-save", "--perfguard-compare", code=0)
    assert inner.notes >= {"no-lineage", "no-baseline"}
    assert one.stored()[0].startswith("nocommit-")
    one.write(test_it=ONE.format(queries=3))
    inner = one.run("--perfguard-compare", code=0)
    assert reads(inner) == ("regressed", False)
    assert inner.report["baseline"]["weak"] is True
    assert reads(one.run("--perfguard-compare", "--perfguard-gate-weak", code=1)) == ("regressed", True)


def test_a_repository_without_commits(one):
    git(one.path, "init", "-q")
    inner = one.run("--perfguard-save", "--perfguard-compare", code=0)
    assert inner.report["header"]["commit"]["sha"] == ""
    assert len(one.stored()) == 1
    assert inner.notes >= {"no-baseline"}


def test_a_detached_head_and_a_shallow_clone(one, monkeypatch, pytester):
    one.commit("one")
    one.run("--perfguard-save", code=0)
    second = one.commit("two, with the baseline in it")
    git(one.path, "checkout", "-q", "--detach", second)
    inner = one.run("--perfguard-compare", code=0)
    assert reads(inner) == ("unchanged", False)
    assert inner.report["header"]["commit"]["branch"] == ""
    clone = one.path / "clone"
    git(one.path, "clone", "-q", "--depth=1", f"file://{one.path}", str(clone))
    monkeypatch.chdir(clone)
    one.path = clone
    inner = one.run("--perfguard-compare", code=0)
    assert "shallow-clone" in inner.notes
    assert inner.report["baseline"]["runs"]
    inner.result.stdout.fnmatch_lines_random(["*git fetch --unshallow*"])


def test_without_a_git_command(one, monkeypatch, tmp_path):
    one.commit()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    inner = one.run("--perfguard-save", "--perfguard-compare", apart=True, code=0)
    assert "no-lineage" in inner.notes
    assert len(one.stored()) == 1
    assert "there is no git command on PATH" in inner.text.replace("\n  ", " ")


def test_a_store_that_cannot_be_written_is_said_and_fails_nothing(one):
    one.commit()
    (one.path / "baselines").write_text("a file, where root may write to any folder")
    inner = one.run("--perfguard-save", "--perfguard-compare", code=0)
    assert "not-saved" not in inner.notes
    inner.result.stdout.fnmatch_lines(
        ["note: the baseline was not stored: *is a file where the folder of baselines should be; *"]
    )


def test_a_read_only_store_is_said_and_can_be_compared_with(one, monkeypatch):
    one.commit()
    one.run("--perfguard-save", code=0)
    folders = [one.path / "baselines", *(one.path / "baselines").rglob("*/")]
    for folder in folders:
        folder.chmod(stat.S_IREAD | stat.S_IEXEC)
    if os.access(folders[0], os.W_OK):  # the user is root, whom no permission stops
        monkeypatch.setattr(Path, "open", _refuse_to_create)
    try:
        one.commit("next")
        inner = one.run("--perfguard-save", "--perfguard-compare", code=0)
    finally:
        monkeypatch.undo()
        for folder in folders:
            folder.chmod(stat.S_IRWXU)
    assert reads(inner) == ("unchanged", False)
    inner.result.stdout.fnmatch_lines(["note: the baseline was not stored: *the folder is read-only*make it writable*"])
    assert one.leftovers() == []


_OPEN = Path.open


def _refuse_to_create(path, mode="r", *args, **kwargs):
    if "x" in mode and "baselines" in path.parts:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return _OPEN(path, mode, *args, **kwargs)


def test_damaged_stores_are_said(one):
    one.commit()
    one.run("--perfguard-save", code=0)
    (run,) = (one.path / "baselines" / "runs").rglob("*.jsonl.gz")
    run.write_bytes(run.read_bytes()[:20])
    one.commit()
    inner = one.run("--perfguard-compare", code=0)
    assert reads(inner)[0] == "no baseline"
    (one.path / "baselines" / "store.json").write_text('{"format": "perfguard", "version": 99}')
    inner = one.run("--perfguard-save", "--perfguard-compare", code=0)
    assert "upgrade" in inner.text


def test_another_machine_never_fails_a_test_by_itself(one):
    one.commit()
    one.run("--perfguard-save", "--perfguard-machine=theirs", code=0)
    one.write(test_it=ONE.format(queries=3))
    one.commit()
    inner = one.run("--perfguard-compare", "--perfguard-machine=ours", code=0)
    assert reads(inner) == ("regressed", False)
    assert "measured on theirs, this is ours" in inner.report["baseline"]["foreign"]
    gated = one.run("--perfguard-compare", "--perfguard-machine=ours", "--perfguard-gate-weak", code=1)
    assert reads(gated) == ("regressed", True)
    # With a run of its own class that one is taken, though it is further away.
    assert reads(one.run("--perfguard-compare", "--perfguard-machine=theirs", code=1)) == ("regressed", True)


def test_a_named_revision_and_a_file(one):
    first = one.commit("first")
    git(one.path, "tag", "v1")
    one.run("--perfguard-save", code=0)
    (stored,) = (one.path / "baselines" / "runs").rglob("*.jsonl.gz")
    shutil.copy(stored, one.path / "kept.jsonl.gz")
    one.write(test_it=ONE.format(queries=3))
    one.commit("second")
    one.run("--perfguard-save", code=0)
    one.commit("third")
    assert reads(one.run("--perfguard-compare", code=0)) == ("unchanged", False)
    for wanted in ("v1", first[:10], "HEAD~2", "kept.jsonl.gz"):
        inner = one.run(f"--perfguard-compare={wanted}", code=1)
        assert reads(inner) == ("regressed", True), wanted
        assert wanted in inner.report["baseline"]["reason"]
    for wanted in ("nonsense", "HEAD~99", "test_it.py"):
        inner = one.run(f"--perfguard-compare={wanted}", code=4)
        assert wanted in inner.result.stderr.str()
    assert "git knows no commit 'nonsense'" in one.run("--perfguard-compare=nonsense", code=4).result.stderr.str()
