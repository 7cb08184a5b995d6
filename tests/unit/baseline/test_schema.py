from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_perfguard.baseline import columnar, schema
from pytest_perfguard.baseline.folder import FolderStore, load_file
from pytest_perfguard.errors import StoreFormatError
from pytest_perfguard.model import Commit, Note, Record
from tests.unit.baseline.examples import LOG, MACHINE, header, measurement

GOLDEN = Path(__file__).parent / "golden"
HEADER = replace(
    header("golden", sha="0123456789abcdef" * 2 + "01234567"),
    notes=(Note(code="c", message="m", remedy="r"),),
    hash_seed="0",
    workers=2,
)
MEASUREMENTS = [
    measurement(f"tests/test_a.py::test_{n:03d}", 1000 + n, 1200 + n, 1100 + n, iterations=1 + n % 3) for n in range(70)
] + [measurement("tests/test_ü.py::test_x", 7, name="inner", queries=LOG, contended=True)]
RECORDS = tuple(Record.of(item) for item in MEASUREMENTS)


def read(data: bytes) -> tuple[Record, ...]:
    path = GOLDEN / "in memory"
    front = schema.decode_front(data, str(path))
    assert front is not None
    texts = [schema.unpack_block(data[a:b]) for a, b in zip(front.bounds, front.bounds[1:], strict=False)]
    lines = [line for text in texts if text is not None for line in schema.parse_lines(text, front.version)]
    return tuple(schema_records(lines, front.header))


def schema_records(lines, of):
    from pytest_perfguard.baseline.records import Records, scales_of

    return Records(lines, scales_of(of.metrics))


def test_the_file_is_gzip_of_one_line_per_measurement():
    lines = gzip.decompress(schema.encode_run(HEADER, RECORDS)).decode().splitlines()
    assert json.loads(lines[0])["run"]["commit"]["sha"] == HEADER.commit.sha
    assert [json.loads(line)[:2] for line in lines[2:]] == [[r.key.test, r.key.name] for r in RECORDS]


@given(
    st.builds(Commit, sha=st.text(), subject=st.text(), parents=st.lists(st.text(), max_size=2).map(tuple)),
    st.permutations(RECORDS[:5]),
)
def test_any_run_comes_back(commit, records):
    wanted = replace(HEADER, commit=commit)
    data = schema.encode_run(wanted, records)
    front = schema.decode_front(data, "x")
    assert front is not None
    assert front.header == wanted
    assert read(data) == tuple(sorted(records, key=lambda record: record.key))


def test_cut_short_at_any_byte_the_blocks_before_survive():
    data = schema.encode_run(HEADER, RECORDS)
    for end in range(0, len(data), 7):
        try:
            front = schema.decode_front(data[:end], "x")
        except StoreFormatError:
            continue
        if front is None:
            continue
        whole = sum(count for count, bound in zip(front.counts, front.bounds[1:], strict=True) if bound <= end)
        assert read(data[:end]) == RECORDS[:whole]


def test_one_changed_byte_costs_at_most_its_block_and_never_changes_a_value():
    data = schema.encode_run(HEADER, RECORDS)
    known = set(RECORDS)
    front = schema.decode_front(data, "x")
    assert front is not None
    for place in range(front.bounds[0], len(data), 3):
        found = read(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        assert len(found) >= len(RECORDS) - schema.BLOCK
        assert known.issuperset(found)


def test_a_damaged_front_is_an_error_that_names_the_file():
    data = bytearray(schema.encode_run(HEADER, RECORDS))
    data[40] ^= 0x10
    with pytest.raises(StoreFormatError, match=r"the file .*restore it from git"):
        schema.decode_front(bytes(data), "the file")


def test_newer_versions_are_refused_with_the_remedy(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", 2)
        patch.setattr(schema, "MIGRATIONS", {1: None})
        newer, store = schema.encode_run(HEADER, RECORDS), schema.encode_store()
    for refuse in (lambda: schema.decode_front(newer, "here"), lambda: schema.check_store(store, "here")):
        with pytest.raises(StoreFormatError, match=r"here has format 2 .* upgrade pytest-perfguard"):
            refuse()


def test_older_versions_are_migrated_step_by_step(monkeypatch):
    old = schema.encode_run(HEADER, RECORDS[:1])
    step = schema.Migration(
        run=lambda run: {**run, "hash_seed": "migrated"},
        definitions=lambda definitions: {**definitions, "versions": [["python", "2.7"]]},
        record=lambda line: ["moved::" + line[0], *line[1:]],
    )
    schema._definitions.cache_clear()
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: step})
    front = schema.decode_front(old, "x")
    assert front is not None
    assert (front.header.hash_seed, front.header.versions) == ("migrated", (("python", "2.7"),))
    assert read(old)[0].key.test == "moved::" + RECORDS[0].key.test
    schema._definitions.cache_clear()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": "other", "version": 1}', b'{"format": "perfguard"}']
)
def test_a_store_file_of_another_kind_is_refused(content):
    with pytest.raises(StoreFormatError, match="here"):
        schema.check_store(content, "here")


def test_files_of_every_version_ever_written_are_read():
    versions = sorted(folder.name for folder in GOLDEN.iterdir())
    assert versions == [f"v{number}" for number in range(1, schema.VERSION + 1)]
    for version in versions:
        store = FolderStore(GOLDEN / version)
        assert store.headers() == [HEADER]
        assert load_file(next((GOLDEN / version).rglob(f"*{schema.SUFFIX}"))).records == RECORDS
        assert store.samples(HEADER) == {
            item.key: tuple(series for series in item.series if series.metric.samples) for item in MEASUREMENTS
        }
        assert store.notes == []


def test_what_is_written_today_is_what_the_golden_file_holds():
    # Compared unpacked: zlib's versions compress differently.
    golden = next((GOLDEN / f"v{schema.VERSION}").rglob(f"*{schema.SUFFIX}"))
    today = gzip.decompress(schema.encode_run(HEADER, RECORDS)).splitlines()[1:]
    assert today == gzip.decompress(golden.read_bytes()).splitlines()[1:]
    assert columnar.VERSION == 1
    assert HEADER.machine == MACHINE
