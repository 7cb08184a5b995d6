"""The table of settings: names by rule, options that argparse takes, and an import that costs nothing."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys

from pytest_perfguard.config import SETTINGS
from pytest_perfguard.config.resolve import Settings


def parsed(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for setting in SETTINGS:
        if setting.flag:
            parser.add_argument(setting.flag, **setting.option())
    parser.format_help()  # expands percent signs, and raises on a stray one
    return vars(parser.parse_args(arguments))


def test_every_setting_has_one_field_and_names_by_rule():
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert fields == [*(setting.name for setting in SETTINGS), "origins"]
    for setting in SETTINGS:
        assert setting.flag in (None, "--perfguard-" + setting.name.replace("_", "-"))
        assert setting.ini in (None, "perfguard_" + setting.name)
        assert setting.environment in (None, "PERFGUARD_" + setting.name.upper())
        assert setting.help
        assert setting.ini_type in ("bool", "string", "linelist")
    assert [setting.name for setting in SETTINGS if setting.flag is None] == ["budgets"]


def test_an_option_that_is_not_given_is_none():
    assert set(parsed().values()) == {None}


def test_options_as_they_are_given():
    found = parsed(
        *("--perfguard-save", "--perfguard-compare", "--perfguard-report=json", "--perfguard-report", "md:a.md"),
        "--perfguard-min-effect=5 %",
    )
    assert found["perfguard_save"] is True
    assert found["perfguard_compare"] == "auto"
    assert found["perfguard_report"] == ["json", "md:a.md"]
    assert found["perfguard_min_effect"] == "5 %"
    assert parsed("--perfguard-compare=HEAD~1")["perfguard_compare"] == "HEAD~1"


def test_the_table_loads_no_other_module_of_perfguard():
    code = "import sys, pytest_perfguard.config; print(sorted(m for m in sys.modules if m.startswith('pytest_perf')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['pytest_perfguard', 'pytest_perfguard.config']"
