"""The vocabulary: frozen values that travel between the stages, and the protocols at the seams."""

from __future__ import annotations

from pytest_perfguard.model.baseline import Baseline, Header, Record, StoredRun, Summary
from pytest_perfguard.model.budget import Budget, Method
from pytest_perfguard.model.commit import Commit, Machine
from pytest_perfguard.model.growth import Detail, Growth
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import BUILTIN, Better, Metric, Nature, Reduce, Tolerance, custom
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.pairs import Contest, Replicate, Stage, Trial
from pytest_perfguard.model.queries import COUNTED, QueryLog, Statement, StatementKind, merge_logs
from pytest_perfguard.model.run import Run
from pytest_perfguard.model.sample import Series, low_quantile
from pytest_perfguard.model.verdict import SEVERITY, Effect, Interval, Outcome, Verdict

__all__ = [
    "BUILTIN",
    "COUNTED",
    "Baseline",
    "Better",
    "Budget",
    "Commit",
    "Contest",
    "Detail",
    "Effect",
    "Growth",
    "Header",
    "Interval",
    "Key",
    "Machine",
    "Measurement",
    "Method",
    "Metric",
    "Nature",
    "Note",
    "Outcome",
    "QueryLog",
    "Record",
    "Reduce",
    "Replicate",
    "Run",
    "SEVERITY",
    "Series",
    "Stage",
    "Statement",
    "StatementKind",
    "StoredRun",
    "Summary",
    "Tolerance",
    "Trial",
    "Verdict",
    "custom",
    "low_quantile",
    "merge_logs",
]
