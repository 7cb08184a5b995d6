"""What a process found travels on the report of the test, as plain JSON data, with and without xdist."""

from __future__ import annotations

import pytest

from pytest_perfguard.model.codec import from_plain, to_plain
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.verdict import Verdict

Found = tuple[tuple[Measurement, ...], tuple[Verdict, ...]]

FOUND = pytest.StashKey[Found]()

_ATTRIBUTE = "perfguard_found"


def attach(report: pytest.TestReport, found: Found) -> None:
    """Put what was found on `report`."""
    measurements, verdicts = found
    setattr(report, _ATTRIBUTE, {"measurements": to_plain(measurements), "verdicts": to_plain(verdicts)})


def detach(report: pytest.TestReport) -> Found | None:
    """Take what was found off `report`; None where there is nothing."""
    plain = report.__dict__.pop(_ATTRIBUTE, None)
    if plain is None:
        return None
    return (
        tuple(from_plain(Measurement, each) for each in plain["measurements"]),
        tuple(from_plain(Verdict, each) for each in plain["verdicts"]),
    )
