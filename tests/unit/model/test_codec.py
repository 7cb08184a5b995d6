from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_perfguard import model
from pytest_perfguard.model import (
    Baseline,
    Effect,
    Header,
    Machine,
    Measurement,
    Metric,
    Run,
    Series,
    Verdict,
    protocols,
)
from pytest_perfguard.model.codec import from_plain, to_plain

MACHINE = Machine(
    system="linux", architecture="arm64", processor="", processors=4, implementation="cpython", python="3.12"
)
HEADER = Header(run_id="r", created="2026-01-01T00:00:00Z", commit=model.Commit(parents=("a", "b")), machine=MACHINE)


@given(st.one_of(st.from_type(kind) for kind in (Measurement, Metric, Verdict, Header, model.QueryLog, model.Budget)))
def test_any_value_comes_back_through_json(value):
    def finite(plain):
        return json.loads(json.dumps(plain, allow_nan=True))

    again = from_plain(type(value), finite(to_plain(value)))
    assert repr(again) == repr(value)  # by repr, for NaN is not equal to itself


def test_a_whole_run_comes_back():
    run = Run(
        header=HEADER,
        measurements=(
            Measurement(key=model.Key(test="t"), series=(Series(metric=model.BUILTIN["time"], values=(1,)),)),
        ),
        baseline=Baseline(commit=HEADER.commit, foreign=("other",)),
    )
    assert from_plain(Run, json.loads(json.dumps(to_plain(run)))) == run


def test_unknown_fields_are_ignored_and_missing_ones_take_their_default():
    plain = {**to_plain(HEADER), "new": 1}
    del plain["workers"]
    assert from_plain(Header, plain) == HEADER


def test_whole_numbers_are_taken_for_floats_but_booleans_are_not():
    plain = {"change": 1, "low": 0, "high": 2, "confidence": 0.95}
    effect = from_plain(Effect, plain)
    assert (effect.change, type(effect.change)) == (1.0, float)
    with pytest.raises(TypeError, match="expected float, found True"):
        from_plain(Effect, {**plain, "change": True})


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (Machine, None),
        (Machine, {"system": "linux"}),
        (Header, {**to_plain(HEADER), "commit": []}),
        (Header, {**to_plain(HEADER), "notes": 3}),
        (Header, {**to_plain(HEADER), "versions": [["a"]]}),
        (Series, {"metric": {**to_plain(model.BUILTIN["time"]), "nature": "odd"}, "values": []}),
        (Series, {"metric": to_plain(model.BUILTIN["time"]), "values": ["1"]}),
    ],
)
def test_other_shapes_are_refused(kind, plain):
    with pytest.raises((TypeError, ValueError, KeyError)):
        from_plain(kind, plain)


def test_the_vocabulary_is_frozen_and_has_slots():
    kinds = [value for value in vars(model).values() if isinstance(value, type) and is_dataclass(value)]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.__dataclass_params__.frozen, kind
        assert set(kind.__slots__) == {field.name for field in fields(kind)}, kind


def test_dictionaries_keep_their_keys():
    @dataclass(frozen=True)
    class Table:
        rows: dict[str, float]

    assert to_plain(Table(rows={"a": 1.5})) == {"rows": {"a": 1.5}}
    reading = protocols.Reading(values={"time": 3})
    assert from_plain(protocols.Reading, to_plain(reading)) == reading
    assert replace(reading, values={}) != reading
