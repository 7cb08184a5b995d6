from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_perfguard.baseline.records import Records, decode_record, encode_record, is_record, scales_of
from pytest_perfguard.errors import StoreFormatError
from pytest_perfguard.model import BUILTIN, Growth, Key, Measurement, Record, Series
from tests.unit.baseline.examples import LOG, TIME, measurement

SCALES = scales_of(tuple(BUILTIN.values()))
series = st.builds(
    Series,
    metric=st.sampled_from(list(BUILTIN.values())),
    values=st.lists(st.integers(-(10**6), 10**15), min_size=1, max_size=30).map(tuple),
    iterations=st.integers(1, 10**7),
)


@given(
    st.builds(
        Measurement,
        key=st.builds(Key, test=st.text(), name=st.text()),
        series=st.lists(series, max_size=4).map(tuple),
        queries=st.sampled_from([None, LOG]),
        growth=st.sampled_from([(), (Growth(kind="dict", owner="shop:SEEN (list)", count=1.5, size=184.0),)]),
        contended=st.booleans(),
    )
)
def test_a_record_comes_back_to_the_last_bit(item):
    record = Record.of(item)
    line = encode_record(record, SCALES)
    assert "\n" not in line
    assert decode_record(json.loads(line), SCALES) == record


def test_the_places_of_what_grows_are_not_stored():
    grown = Growth(kind="dict", owner="shop:SEEN (list)", count=1.0, size=184.0, place="shop.py:7")
    line = encode_record(Record(key=Key(test="t"), summaries=(), growth=(grown,)), SCALES)
    assert decode_record(json.loads(line), SCALES).growth == (replace(grown, place=""),)


def test_a_record_is_short():
    record = Record.of(measurement("t", 7_912_345, 7_924_380, 7_972_566, 8_152_457, iterations=8))
    assert len(encode_record(record, SCALES)) < 80
    exact = Record(key=Key(test="t"), summaries=record.summaries[1:])
    assert encode_record(exact, SCALES) == '["t","",[["queries",1,1,3]]]'


def test_records_are_decoded_when_asked_for_and_behave_as_a_tuple():
    records = tuple(Record.of(measurement(test, 5)) for test in "abc")
    lines = [json.loads(encode_record(record, SCALES)) for record in records]
    lazy = Records([*lines, ["broken", "", [[]]]], SCALES)
    assert lazy[:3] == records
    assert lazy[1] is lazy[1]
    assert Records(lines, SCALES) == records
    assert hash(Records(lines, SCALES)) == hash(records)
    with pytest.raises(StoreFormatError, match="broken"):
        lazy[-1]


@pytest.mark.parametrize("line", [None, {}, [], ["a"], ["a", 1, []], ["a", "", {}], ["a", "", [], {}, 1]])
def test_other_shapes_are_no_records(line):
    assert not is_record(line)


def test_a_metric_without_a_definition_is_named():
    with pytest.raises(StoreFormatError, match="unknown"):
        decode_record(["t", "", [["unknown", 1, 1, 3]]], {TIME.name: 1.0})
