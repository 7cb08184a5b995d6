"""Each shape is found at its line, and neither its twins nor what looks like it are reported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.shapes.catalogue import ROOT, Case
from tests.shapes.observe import observe, ours, right

pytest.importorskip("sqlalchemy")
pytest.importorskip("aiosqlite")

from sqlalchemy.orm.unitofwork import UOWTransaction

from tests.shapes.sqlalchemy_shapes import CATALOGUES, carry_out
from tests.shapes.sqlalchemy_writes import one_flush


@pytest.fixture(scope="module", params=["sqlalchemy", "django"])
def observed(request):
    """What is reported of the cases of one library."""
    if request.param == "sqlalchemy":
        return observe(CATALOGUES, carry_out, ours)
    pytest.importorskip("django")
    # What configures Django stays: it has a process of its own.
    command = [sys.executable, "-W", "error", "-m", "tests.shapes.observe", "django", "ours"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_shapes_are_found_at_their_line(observed):
    missed = [shape for shape in observed["shapes"] if not right(shape, by_metric=True)]
    assert missed == []
    assert len(observed["shapes"]) > 22
    assert {shape["metric"] for shape in observed["shapes"]} == {"n_plus_one", "batchable", "duplicates"}


def test_twins_and_lookalikes_are_not_reported(observed):
    assert all(shape["twins"] for shape in observed["shapes"])
    innocent = [twin for shape in observed["shapes"] for twin in shape["twins"]] + observed["lookalikes"]
    assert [case for case in innocent if case["found"]] == []


def test_flushes_are_not_watched_any_more():
    before = dict(vars(UOWTransaction))
    carry_out(Case(one_flush), ours([]))
    assert dict(vars(UOWTransaction)) == before
