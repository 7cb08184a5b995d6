"""Everything of a run as one JSON document, `schema-v1.json`, and back."""

from __future__ import annotations

import json
import math
from typing import Any

from pytest_perfguard.errors import StoreFormatError
from pytest_perfguard.model import (
    BUILTIN,
    SEVERITY,
    Baseline,
    Commit,
    Contest,
    Detail,
    Growth,
    Header,
    Key,
    Machine,
    Measurement,
    Metric,
    Note,
    QueryLog,
    Run,
    Series,
    StoredRun,
    Verdict,
)
from pytest_perfguard.model.codec import from_plain, to_plain

FORMAT = "perfguard-report"
VERSION = 1
_OPTIONAL = frozenset({"detectable", "seconds"})
"""Numbers of an effect that may be missing, where null is not a number that is none."""


class JsonReporter:
    """Renders header, baseline or live comparison, measurements with all raw values, and verdicts."""

    name = "json"
    suffix = ".json"

    def render(self, run: Run) -> str:
        """Return the report: a line for each measurement and verdict, so that two reports can be diffed."""
        fields = (f"{_text(name)}: {_block(value)}" for name, value in document(run).items())
        return "{\n" + ",\n".join(fields) + "\n}\n"


def document(run: Run) -> dict[str, Any]:
    """Return the JSON data of `run`; what has no order of its own is sorted, so that equal runs give equal text."""
    counts = {str(outcome): 0 for outcome in SEVERITY}
    for verdict in run.verdicts:
        counts[verdict.outcome] += 1
    return {
        "format": FORMAT,
        "version": VERSION,
        "summary": {"outcomes": counts, "failing": sum(verdict.fails for verdict in run.verdicts)},
        "header": _header(run.header),
        "metrics": {name: _without(to_plain(metric), "name") for name, metric in sorted(_metrics(run).items())},
        "baseline": None if run.baseline is None else _baseline(run.baseline),
        "contest": to_plain(run.contest),
        "measurements": [_measurement(each) for each in sorted(run.measurements, key=lambda each: each.key)],
        "verdicts": [_finite(_keyed(to_plain(each))) for each in sorted(run.verdicts, key=_place)],
        "survey": [_measurement(each) for each in sorted(run.survey, key=lambda each: each.key)],
        "notes": to_plain(run.notes),
    }


def parse(text: str, *, origin: str = "report") -> Run:
    """Return the run that `JsonReporter` rendered as `text`; of a baseline's runs only the headers are left.

    Raises `StoreFormatError`, naming `origin`, where `text` is no such report or one of a newer version.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise StoreFormatError(
            f"{origin} is not JSON: {error}; name a file from --perfguard-report=json:PATH"
        ) from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise StoreFormatError(f"{origin} is not a perfguard report; name a file from --perfguard-report=json:PATH")
    version = plain.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise StoreFormatError(
            f"{origin} is a perfguard report of version {version!r}, this perfguard reads up to {VERSION}; upgrade it"
        )
    try:
        return _run(plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreFormatError(f"{origin} is damaged ({type(error).__name__}: {error}); write it anew") from error


def _text(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _block(plain: Any) -> str:
    if isinstance(plain, list) and plain:
        return "[\n" + ",\n".join(_text(each) for each in plain) + "\n]"
    return _text(plain)


def _header(header: Header) -> dict[str, Any]:
    plain = _without(to_plain(header), "metrics")
    plain["versions"] = dict(sorted(header.versions))
    plain["machine"]["key"] = header.machine.key
    return plain


def _metrics(run: Run) -> dict[str, Metric]:
    """Return the definition of every metric that the run speaks of and that is known."""
    named = {verdict.metric for verdict in run.verdicts}
    known = {name: metric for name, metric in BUILTIN.items() if name in named}
    known.update({metric.name: metric for metric in run.header.metrics})
    measured = (*run.measurements, *run.survey)
    known.update({series.metric.name: series.metric for each in measured for series in each.series})
    return known


def _baseline(baseline: Baseline) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(_bare(baseline))
    plain["runs"] = [_origin(stored.header) for stored in baseline.runs]
    del plain["older"]  # only verdicts name these commits
    plain["history"] = [_origin(stored.header) for stored in baseline.history]
    return plain


def _bare(baseline: Baseline) -> Baseline:
    return Baseline(
        commit=baseline.commit, reason=baseline.reason, distance=baseline.distance,
        weak=baseline.weak, foreign=baseline.foreign, notes=baseline.notes,
    )  # fmt: skip


def _origin(header: Header) -> dict[str, Any]:
    return {
        "run_id": header.run_id,
        "created": header.created,
        "commit": to_plain(header.commit),
        "machine": {**to_plain(header.machine), "key": header.machine.key},
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "test": measurement.key.test,
        "name": measurement.key.name,
        "group": measurement.group,
        "contended": measurement.contended,
        "series": {
            series.metric.name: {"iterations": series.iterations, "values": list(series.values)}
            for series in sorted(measurement.series, key=lambda each: each.metric.name)
        },
        "queries": to_plain(measurement.queries),
        "growth": to_plain(measurement.growth),
        "details": to_plain(measurement.details),
        "notes": to_plain(measurement.notes),
    }


def _keyed(plain: dict[str, Any]) -> dict[str, Any]:
    key = plain.pop("key")
    return {"test": key["test"], "name": key["name"], **plain}


def _place(verdict: Verdict) -> tuple[Key, str, str, float, str]:
    limit = -math.inf if verdict.limit is None else verdict.limit
    return (verdict.key, verdict.metric, verdict.outcome, limit, verdict.sentence)


def _finite(plain: Any) -> Any:
    """Return `plain` with infinities as strings, since JSON has no numbers for them, and not-a-number as null."""
    if isinstance(plain, dict):
        return {name: _finite(value) for name, value in plain.items()}
    if isinstance(plain, float) and not math.isfinite(plain):
        return None if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
    return plain


def _number(plain: Any) -> Any:
    """Undo `_finite` for one value, but for null, which may also say that there is no value."""
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(plain, plain)


def _without(plain: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != name}


def _run(plain: dict[str, Any]) -> Run:
    metrics = {name: from_plain(Metric, {"name": name, **fields}) for name, fields in plain["metrics"].items()}
    header = dict(plain["header"])
    header["versions"] = sorted(header.get("versions", {}).items())
    header["metrics"] = [to_plain(metrics[name]) for name in sorted(metrics)]
    return Run(
        header=from_plain(Header, header),
        measurements=tuple(_measured(each, metrics) for each in plain["measurements"]),
        verdicts=tuple(_verdict(each) for each in plain["verdicts"]),
        baseline=None if plain["baseline"] is None else _chosen(plain["baseline"]),
        contest=None if plain.get("contest") is None else from_plain(Contest, plain["contest"]),
        survey=tuple(_measured(each, metrics) for each in plain.get("survey", ())),
        notes=tuple(from_plain(Note, each) for each in plain["notes"]),
    )


def _measured(plain: dict[str, Any], metrics: dict[str, Metric]) -> Measurement:
    return Measurement(
        key=Key(test=plain["test"], name=plain["name"]),
        series=tuple(_series(metrics[name], each) for name, each in plain["series"].items()),
        group=plain.get("group", ""),
        contended=plain.get("contended", False),
        queries=None if plain.get("queries") is None else from_plain(QueryLog, plain["queries"]),
        growth=tuple(from_plain(Growth, each) for each in plain.get("growth", ())),
        details=tuple(from_plain(Detail, each) for each in plain.get("details", ())),
        notes=tuple(from_plain(Note, each) for each in plain.get("notes", ())),
    )


def _series(metric: Metric, plain: dict[str, Any]) -> Series:
    return Series(metric=metric, values=tuple(map(int, plain["values"])), iterations=plain["iterations"])


def _verdict(plain: dict[str, Any]) -> Verdict:
    fields = {**plain, "key": {"test": plain["test"], "name": plain["name"]}}
    for name in ("limit", "baseline"):
        fields[name] = _number(plain[name])
    for name in ("value", "effect"):
        if plain[name] is not None:
            fields[name] = {
                part: math.nan if value is None and part not in _OPTIONAL else _number(value)
                for part, value in plain[name].items()
            }
    return from_plain(Verdict, fields)


def _chosen(plain: dict[str, Any]) -> Baseline:
    bare = from_plain(Baseline, {**plain, "runs": (), "history": ()})
    return Baseline(
        runs=tuple(_origin_run(each) for each in plain["runs"]),
        history=tuple(_origin_run(each) for each in plain["history"]),
        commit=bare.commit, reason=bare.reason, distance=bare.distance,
        weak=bare.weak, foreign=bare.foreign, notes=bare.notes,
    )  # fmt: skip


def _origin_run(plain: dict[str, Any]) -> StoredRun:
    header = Header(
        run_id=plain["run_id"],
        created=plain["created"],
        commit=from_plain(Commit, plain["commit"]),
        machine=from_plain(Machine, plain["machine"]),
    )
    return StoredRun(header=header, records=())
