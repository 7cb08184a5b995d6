from __future__ import annotations

import pytest

from pytest_perfguard.live.duel import BASE, HEAD, Block
from pytest_perfguard.live.harvest import counts, head_measurements
from pytest_perfguard.live.tournament import Findings
from pytest_perfguard.model import BUILTIN, Key, Measurement, Note, Series
from pytest_perfguard.model.codec import to_plain

TEST = "test_x"


def measured(name="", note="", group="", **values):
    series = tuple(Series(metric=BUILTIN[metric], values=(value,)) for metric, value in values.items())
    notes = (Note(code=note, message=note),) if note else ()
    return Measurement(key=Key(test=TEST, name=name), series=series, group=group, notes=notes)


def said(*measurements):
    return {"at": "ran", "outcome": "passed", "measured": to_plain(measurements)}


def block(seconds):
    return Block(time=seconds, wall=2 * seconds, cpu=seconds / 2)


def values(measurement):
    return {series.metric.name: series.values for series in measurement.series}


def test_heads_times_are_those_of_its_blocks_in_all_pairs():
    findings = Findings()
    findings.head[Key(test=TEST)] = (100, [block(1e-6), block(2e-6)])
    findings.head[Key(test="test_y")] = (1, [block(1.0)])
    findings.head[Key(test=TEST, name="empty")] = (1, [])
    [measurement] = head_measurements(findings, TEST)
    assert measurement.key == Key(test=TEST)
    assert values(measurement) == {"time": (100_000, 200_000), "wall": (200_000, 400_000), "cpu": (50_000, 100_000)}
    assert {series.iterations for series in measurement.series} == {100}
    assert measurement.get("time").per_call() == pytest.approx([1e-6, 2e-6])


def test_what_was_counted_and_recorded_is_put_to_the_times():
    findings = Findings()
    findings.head[Key(test=TEST)] = (1, [block(1e-3)])
    findings.said[TEST] = [
        said(),
        said(measured(time=7, reference=8, note="busy", group="g"), measured("load", writes=1)),
    ]
    findings.exact[TEST] = [[said(), said(measured(queries=5, reads=4))], [said(), said(measured(queries=9, reads=9))]]
    body, load = head_measurements(findings, TEST)
    assert values(body) == {
        "time": (1_000_000,),
        "wall": (2_000_000,),
        "cpu": (500_000,),
        "queries": (5,),
        "reads": (4,),
    }
    assert [note.code for note in body.notes] == ["busy"]
    assert body.group == "g"
    assert (load.key.name, values(load)) == ("load", {"writes": (1,)})


def test_without_findings_there_is_nothing():
    assert head_measurements(Findings(), TEST) == []
    assert counts(Findings(), TEST, BASE) == [[]]


def test_counts_are_told_for_each_pair_that_counted_and_each_side():
    findings = Findings()
    findings.said[TEST] = [said(measured(queries=99)), said(measured(writes=1))]
    findings.exact[TEST] = [
        [said(measured(queries=1)), said(measured(queries=2))],
        [said(measured(queries=3)), said(measured(queries=4))],
    ]
    heads, bases = counts(findings, TEST, HEAD), counts(findings, TEST, BASE)
    assert [[values(each) for each in one] for one in heads] == [
        [{"queries": (2,), "writes": (1,)}],
        [{"queries": (4,), "writes": (1,)}],
    ]
    assert [[values(each) for each in one] for one in bases] == [[{"queries": (1,)}], [{"queries": (3,)}]]


def test_what_was_recorded_counts_once_where_no_pair_counted():
    findings = Findings()
    findings.said[TEST] = [said(measured(queries=1, time=5)), said(measured(queries=2, time=6))]
    [[base]], [[head]] = counts(findings, TEST, BASE), counts(findings, TEST, HEAD)
    assert (values(base), values(head)) == ({"queries": (1,)}, {"queries": (2,)})


def test_a_side_that_said_nothing_of_it_counted_nothing():
    findings = Findings()
    findings.said[TEST] = [{"at": "ran", "outcome": "missing"}, said(measured(queries=2))]
    findings.exact[TEST] = [[{"at": "ran", "outcome": "missing"}, said(measured(queries=2))]]
    assert counts(findings, TEST, BASE) == [[]]
    assert [values(each) for each in counts(findings, TEST, HEAD)[0]] == [{"queries": (2,)}]


def test_remarks_are_kept_once():
    findings = Findings()
    findings.said[TEST] = [said(), said(measured(writes=1, note="busy"))]
    findings.exact[TEST] = [[said(), said(measured(queries=2, note="busy"))]]
    [measurement] = head_measurements(findings, TEST)
    assert [note.code for note in measurement.notes] == ["busy"]
