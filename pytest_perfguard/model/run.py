"""A whole run: the value that reporters render."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_perfguard.model.baseline import Baseline, Header
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.pairs import Contest
from pytest_perfguard.model.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was measured and concluded in one run of pytest, on all its workers."""

    header: Header
    measurements: tuple[Measurement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    baseline: Baseline | None = None
    """None where nothing was to be compared with what is stored."""
    contest: Contest | None = None
    """None where base and head did not run side by side."""
    survey: tuple[Measurement, ...] = ()
    """What tests that are not guarded asked of databases, where that was wanted."""
    notes: tuple[Note, ...] = ()
