"""Resolving settings: who wins, where a value came from, and what an unusable one is told."""

from __future__ import annotations

import pytest

from pytest_perfguard.config import SETTINGS
from pytest_perfguard.config.resolve import Settings, resolve
from pytest_perfguard.errors import ConfigError
from pytest_perfguard.model import Outcome, codec

INI = "pytest.ini"


def settle(options=None, environment=None, ini=None) -> Settings:
    return resolve(options=options or {}, environment=environment or {}, ini=ini or {}, ini_path=INI)


def test_defaults():
    settings = settle()
    assert (settings.target_time, settings.measurement_time) == (0.4, 10.0)
    assert (settings.min_effect, settings.confidence) == (0.1, 0.99)
    assert settings.fail_on == (Outcome.OVER_BUDGET, Outcome.REGRESSED)
    assert (settings.compare, settings.store, settings.machine) == (None, "baselines", "")
    flags = (setting.name for setting in SETTINGS if setting.kind == "flag")
    assert [name for name in flags if getattr(settings, name)] == []
    assert {settings.origin(setting.name) for setting in SETTINGS} == {"default"}


@pytest.mark.parametrize(
    ("places", "seconds", "origin"),
    [
        (3, 1.0, "--perfguard-measurement-time"),
        (2, 2.0, "PERFGUARD_MEASUREMENT_TIME"),
        (1, 3.0, "perfguard_measurement_time in pytest.ini"),
        (0, 10.0, "default"),
    ],
)
def test_the_nearest_place_wins_and_is_remembered(places, seconds, origin):
    settings = settle(
        {"perfguard_measurement_time": "1 s"} if places > 2 else {"perfguard_measurement_time": None},
        {"PERFGUARD_MEASUREMENT_TIME": "2 s"} if places > 1 else {"PERFGUARD_MEASUREMENT_TIME": ""},
        {"perfguard_measurement_time": "3 s"} if places > 0 else {"perfguard_measurement_time": None},
    )
    assert settings.measurement_time == seconds
    assert settings.origin("measurement_time") == origin


@pytest.mark.parametrize(
    ("where", "name", "raw", "expected"),
    [
        ("environment", "save", "1", True),
        ("environment", "save", "off", False),
        ("ini", "gate_weak", True, True),
        ("ini", "gate_weak", "no", False),
        ("options", "compare", "auto", "auto"),
        ("options", "compare", "1", "1"),
        ("environment", "compare", "1", "auto"),
        ("environment", "compare", "no", None),
        ("environment", "compare", "origin/main", "origin/main"),
        ("options", "fail_on", "Over-Budget,no_baseline", (Outcome.OVER_BUDGET, Outcome.NO_BASELINE)),
        ("ini", "fail_on", ["regressed", "invalid, regressed"], (Outcome.REGRESSED, Outcome.INVALID)),
        ("options", "fail_on", "none", ()),
        ("options", "report", ["json:a,b.json", "Markdown"], (("json", "a,b.json"), ("markdown", ""))),
        ("environment", "report", "json:a.json, html", (("json", "a.json"), ("html", ""))),
        ("ini", "metrics", ["memory, queries", "memory"], ("memory", "queries")),
        ("options", "metrics", ["memory,cpu"], ("memory", "cpu")),
        ("ini", "budgets", ["", " *: time=1 s "], ("*: time=1 s",)),
        ("environment", "confidence", "99.9 %", 0.999),
        ("ini", "min_effect", "0.05", 0.05),
        ("options", "machine", " ci ", "ci"),
    ],
)
def test_values_are_read_by_kind(where, name, raw, expected):
    setting = next(setting for setting in SETTINGS if setting.name == name)
    key = {"options": setting.dest, "environment": setting.environment, "ini": setting.ini}[where]
    assert getattr(settle(**{where: {key: raw}}), name) == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"measurement_time": "5 MiB"},
            ["'5 MiB'", "--perfguard-measurement-time", "'MiB' measures a size", "'20 ms'"],
        ),
        ({"measurement_time": "0"}, ["'0'", "1 µs or more", "write for example '10 s'"]),
        ({"confidence": "99"}, ["'99'", "9900 % is outside of what makes sense, 50 % to 99.9999 %", "'99 %'"]),
        ({"min_effect": "10"}, ["1000 %", "0 % to 500 %", "'10 %'"]),
        ({"fail_on": "regresed"}, ["unknown outcome 'regresed' (--perfguard-fail-on)", "did you mean 'regressed'?"]),
        ({"fail_on": "passed"}, ["'passed' is success", "or none"]),
        ({"fail_on": ","}, ["it names no outcome", "write none"]),
        ({"report": ["json:"]}, ["'json:'", "not FORMAT or FORMAT:PATH", "json:perf.json"]),
        ({"compare": ""}, ["it names nothing", "origin/main"]),
        ({"store": " "}, ["it is not a path", "'baselines'"]),
    ],
)
def test_unusable_values_name_value_origin_and_remedy(options, says):
    with pytest.raises(ConfigError) as caught:
        settle({f"perfguard_{name}": value for name, value in options.items()})
    assert [
        part
        for part in [*says, f"--perfguard-{next(iter(options)).replace('_', '-')}"]
        if part not in str(caught.value)
    ] == []


def test_an_unusable_flag_and_contradicting_flags():
    with pytest.raises(ConfigError, match=r"'maybe' for save \(PERFGUARD_SAVE\): it is neither true nor false; write"):
        settle(environment={"PERFGUARD_SAVE": "maybe"})
    with pytest.raises(ConfigError, match=r"only \(--perfguard-only\) and skip \(PERFGUARD_SKIP\)"):
        settle({"perfguard_only": True}, {"PERFGUARD_SKIP": "1"})


def test_settings_travel_as_plain_data():
    settings = settle({"perfguard_report": ["json:a.json"], "perfguard_compare": "auto"})
    assert codec.from_plain(Settings, codec.to_plain(settings)) == settings
