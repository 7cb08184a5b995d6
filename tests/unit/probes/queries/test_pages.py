"""Pages of one list, told apart from lists of several parents by what differs between the statements."""

from __future__ import annotations

import pytest

from pytest_perfguard.probes.queries.fingerprint import fingerprint
from pytest_perfguard.probes.queries.pages import may_be_page, series
from pytest_perfguard.probes.watch.recording import Recording
from pytest_perfguard.probes.watch.tape import Tape


def entry(sql, parameters=None):
    tape = Tape()
    tape.attach(Recording())
    return tape.write(sql, parameters, dialect="sqlite", driver="sqlite3")


def lists(*statements):
    """How many lists the statements are pages of; None where one of them is no page."""
    found = [series(entry(*statement)) if may_be_page(fingerprint(statement[0])) else None for statement in statements]
    return None if None in found else len(set(found))


BY_KEY = "SELECT a FROM t WHERE id > {} ORDER BY id LIMIT {}"
BY_NUMBER = "SELECT a FROM t WHERE p = {} ORDER BY id LIMIT {} OFFSET {}"


@pytest.mark.parametrize(
    "pages",
    [
        [(BY_KEY.format("?", "?"), (start, 10)) for start in (0, 10, 27)],
        [(BY_KEY.format("%s", "10"), (start,)) for start in (0, 10, 27)],
        [(BY_KEY.format("%(id_1)s::INTEGER", "%(n)s::INTEGER"), {"id_1": start, "n": 10}) for start in (0, 10, 27)],
        [(BY_KEY.format(":id", ":n"), {"id": start, "n": 10}) for start in (0, 10, 27)],
        [(BY_KEY.format("$1::INTEGER", "$2::INTEGER"), (start, 10)) for start in (0, 10, 27)],
        [(BY_KEY.format("CAST(? AS INTEGER)", "?"), [start, 10]) for start in (0, 10, 27)],
        [(BY_KEY.format(start, 10),) for start in (0, 10, 27)],
        [(BY_KEY.format(f"'2020-01-{start}'", 10),) for start in (10, 11, 27)],
        [(BY_NUMBER.format("?", "?", "?"), (7, 10, start)) for start in (0, 10, 20)],
        [(BY_NUMBER.format("%s", 10, start), (7,)) for start in (10, 20, 30)],
        [("SELECT a FROM t WHERE b = 'x > 1' LIMIT ?, ?", (start, 10)) for start in (0, 10, 20)],
        [("SELECT a FROM t LIMIT 10, 20",), ("SELECT a FROM t LIMIT 30, 20",)],
        [("SELECT a FROM t WHERE (b, id) < (?, ?) ORDER BY b, id LIMIT 5", (p, 9 - p)) for p in range(3)],
        [("SELECT a FROM t ORDER BY a OFFSET ? ROWS FETCH NEXT ? ROWS ONLY", (n, 10)) for n in (0, 10, 20)],
        [("select a from t where id > ? order by id limit 5", (n,)) for n in (0, 10, 20)],
    ],
)
def test_pages_of_one_list(pages):
    assert lists(*pages) == 1


@pytest.mark.parametrize(
    "loop",
    [
        [(BY_NUMBER.format("?", "?", "?"), (parent, 10, 0)) for parent in range(3)],
        [(BY_NUMBER.format("%s", 10, 0), (parent,)) for parent in range(3)],
        [(BY_NUMBER.format(parent, 10, 0),) for parent in range(3)],
        [("SELECT a FROM t WHERE p = ? AND id > ? LIMIT ?", (parent, 0, 2)) for parent in range(3)],
        [("SELECT a FROM t WHERE p = :p AND id > :i LIMIT 2", {"p": parent, "i": 0}) for parent in range(3)],
        [(f"SELECT a FROM t WHERE p = 'a''b{parent}' AND id > 1 LIMIT 2",) for parent in range(3)],
        [("SELECT a FROM t WHERE d > (SELECT x FROM u WHERE p = ?) LIMIT 2 OFFSET 0", (p,)) for p in range(3)],
    ],
)
def test_the_first_pages_of_several_parents_are_several_lists(loop):
    assert lists(*loop) == 3


@pytest.mark.parametrize(
    "loop",
    [
        [(BY_KEY.format("?", "?"), (start, 1)) for start in range(3)],  # one row each
        [(BY_NUMBER.format("?", "1", "?"), (7, start)) for start in range(3)],
        [("SELECT a FROM t WHERE id > ?", (start,)) for start in range(3)],  # a condition, no page
        [("SELECT a FROM t WHERE p = ? LIMIT 21", (start,)) for start in range(3)],
        [("SELECT a FROM t WHERE tags @> ? LIMIT 5", (start,)) for start in range(3)],
        [("SELECT a FROM t WHERE data ->> ? = 'x' LIMIT 5", (start,)) for start in "abc"],
        [("SELECT a FROM t ORDER BY v <-> ? LIMIT 5", (start,)) for start in "abc"],
        [("SELECT a FROM t WHERE b <> ? LIMIT 5", (start,)) for start in range(3)],
        [(BY_KEY.format("?", "?"), (start,)) for start in range(3)],  # a value that nobody handed over
        [(BY_KEY.format(":id", ":n"), object()) for _ in range(3)],
    ],
)
def test_what_is_no_page(loop):
    assert lists(*loop) is None


@pytest.mark.parametrize("value", [[1, 2], {}, {"id": []}])
def test_a_value_that_has_no_hash_is_no_error(value):
    assert series(entry(BY_KEY.format("?", 5), (value,))) is None


def test_texts_are_kept_by_their_hashes_and_not_without_end():
    from pytest_perfguard.probes.watch import paging

    for number in range(10_010):
        paging.may_be_page(f"SELECT {number}")
    assert len(paging.PAGED) < 10_010
    assert set(map(type, paging.PAGED)) == {int}
