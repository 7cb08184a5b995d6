from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest

from pytest_perfguard.errors import StoreFormatError
from pytest_perfguard.model import SEVERITY, Run, StatementKind
from pytest_perfguard.model.metric import Better, Nature, Reduce
from pytest_perfguard.model.protocols import Reporter
from pytest_perfguard.quantity import Unit
from pytest_perfguard.report.json import JsonReporter, parse

from .builders import full_run, header

SCHEMA = json.loads((files("pytest_perfguard.report") / "schema-v1.json").read_text(encoding="utf-8"))


def plain(run):
    return json.loads(JsonReporter().render(run))


@pytest.mark.parametrize("run", [full_run(), Run(header=header())], ids=["full", "empty"])
def test_report_is_valid_under_its_schema(run):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(plain(run), SCHEMA)


def test_schema_refuses_what_is_not_a_report():
    for path, wrong in [("version", 2), ("verdicts", [{"outcome": "fine"}]), ("baseline", {}), ("header", None)]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**plain(full_run()), path: wrong}, SCHEMA)


def test_schema_knows_the_vocabulary():
    defs = SCHEMA["$defs"]
    metric = defs["metric"]["properties"]
    statement = defs["measurement"]["properties"]["queries"]["oneOf"][1]["properties"]["statements"]["items"]
    for listed, kind in [
        (defs["outcome"], SEVERITY),
        (defs["unit"], Unit),
        (metric["nature"], Nature),
        (metric["better"], Better),
        (metric["reduce"], Reduce),
        (statement["properties"]["kind"], StatementKind),
    ]:
        assert set(listed["enum"]) == {str(member) for member in kind}


def test_schema_requires_every_field_that_is_written():
    """So a field that is added to the model is added to the schema."""

    def undocumented(data, schema, where="$"):
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        for option in schema.get("oneOf", ()):
            if isinstance(data, dict) and option.get("type") != "null":
                yield from undocumented(data, option, where)
        if isinstance(data, list):
            for item in data:
                yield from undocumented(item, schema.get("items", {}), f"{where}[]")
        elif isinstance(data, dict) and "properties" in schema:
            yield from (f"{where}.{name}" for name in data if name not in schema["properties"])
            for name, value in data.items():
                yield from undocumented(value, schema["properties"].get(name, {}), f"{where}.{name}")
        elif isinstance(data, dict) and "additionalProperties" in schema:
            for name, value in data.items():
                yield from undocumented(value, schema["additionalProperties"], f"{where}.{name}")

    assert list(undocumented(plain(full_run()), SCHEMA)) == []
    assert list(undocumented({**plain(full_run()), "extra": 1}, SCHEMA)) == ["$.extra"]


def test_raw_values_are_whole_and_complete():
    data = plain(full_run())
    by_name = {(each["test"], each["name"]): each for each in data["measurements"]}
    series = by_name["tests/test_b.py::test_b", ""]["series"]
    assert series["time"] == {"iterations": 4, "values": [5_000_000_000, 6_000_000_001]}
    assert data["metrics"]["time"]["scale"] == 1e-9
    assert data["baseline"]["runs"][0]["run_id"] == "run-base"
    assert data["summary"] == {
        "outcomes": {
            str(each): {"regressed": 2, "over budget": 1, "unchanged": 1, "improved": 1}.get(each, 0)
            for each in SEVERITY
        },
        "failing": 3,
    }


def test_order_without_meaning_does_not_show():
    run = full_run()
    turned = replace(run, measurements=run.measurements[::-1], verdicts=run.verdicts[::-1])
    assert JsonReporter().render(turned) == JsonReporter().render(run)


def test_report_is_read_back_whole():
    text = JsonReporter().render(full_run())
    again = parse(text)
    assert JsonReporter().render(again) == text
    by_place = {(each.key, each.metric, each.outcome): each for each in again.verdicts}
    for verdict in full_run().verdicts:
        assert by_place[verdict.key, verdict.metric, verdict.outcome] == verdict
    assert set(again.measurements) == {
        replace(each, series=tuple(sorted(each.series, key=lambda one: one.metric.name)))
        for each in full_run().measurements
    }


def test_a_live_comparison_is_written_and_read_back():
    data = plain(full_run())
    assert data["contest"]["base"]["sha"] == data["baseline"]["commit"]["sha"]
    assert {name: data["contest"][name] for name in ("pairs", "pinned", "blocks", "dropped", "steal")} == {
        "pairs": 9, "pinned": True, "blocks": 5120, "dropped": 14, "steal": 0.012,
    }  # fmt: skip
    pairs = {each["test"]: each["effect"]["pairs"] for each in data["verdicts"] if each["effect"]}
    assert pairs["tests/test_c.py::test_c"] == 12
    assert parse(json.dumps(data)).contest == full_run().contest


def test_a_report_without_the_optional_parts_is_read():
    data = plain(full_run())
    del data["contest"]
    for verdict in data["verdicts"]:
        for name in ("pairs", "seconds"):
            (verdict["effect"] or {}).pop(name, None)
    jsonschema.validate(data, SCHEMA)
    again = parse(json.dumps(data))
    assert again.contest is None
    assert {each.effect.pairs for each in again.verdicts if each.effect} == {0}


def test_unknown_fields_are_ignored():
    data = plain(full_run())
    data["future"] = data["header"]["future"] = data["verdicts"][0]["future"] = 1
    assert JsonReporter().render(parse(json.dumps(data))) == JsonReporter().render(full_run())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a perfguard report"),
        ('{"format": "other"}', "not a perfguard report"),
        ('{"format": "perfguard-report", "version": 2}', "version 2.*upgrade"),
        ('{"format": "perfguard-report", "version": 1}', "damaged"),
        ('{"format": "perfguard-report", "version": 1, "metrics": []}', "damaged"),
    ],
)
def test_what_is_no_report_is_refused_by_name(text, message):
    with pytest.raises(StoreFormatError, match=f"^build/report.json is .*{message}"):
        parse(text, origin="build/report.json")


def test_reporters_keep_the_protocol():
    from pytest_perfguard.report.markdown import MarkdownReporter
    from pytest_perfguard.report.terminal import TerminalReporter

    reporters = [JsonReporter(), MarkdownReporter(), TerminalReporter()]
    assert all(isinstance(each, Reporter) for each in reporters)
    assert [(each.name, each.suffix) for each in reporters] == [
        ("json", ".json"), ("markdown", ".md"), ("terminal", ".txt"),
    ]  # fmt: skip
    assert all(each.render(full_run()) == each.render(full_run()) != "" for each in reporters)
