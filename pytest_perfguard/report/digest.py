"""What every report for people says of a run: its verdict line, its order, the cells of its table, its notes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_perfguard.model import SEVERITY, Baseline, Effect, Key, Measurement, Note, Outcome, Run, Verdict
from pytest_perfguard.quantity import Unit, render, render_change
from pytest_perfguard.report import contest

COLUMNS = (
    "test", "metric", "outcome", "baseline", "now", "change", "interval", "pairs", "detectable", "spent", "budget",
)  # fmt: skip
FOLDED = (Outcome.INCONCLUSIVE, Outcome.NO_BASELINE, Outcome.UNCHANGED, Outcome.PASSED)
"""Outcomes that are summed up in one line each unless all rows are asked for."""
BLAMING = (Outcome.REGRESSED, Outcome.OVER_BUDGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a cell for each of `COLUMNS`, empty where there is nothing to say."""

    cells: tuple[str, ...]
    outcome: Outcome | None
    """None for what was measured and not judged."""
    fails: bool = False


def headline(run: Run) -> str:
    """Return the verdict line: how many of which outcome, and what it was compared with."""
    counts = Counter(verdict.outcome for verdict in run.verdicts)
    if counts:
        found = ", ".join(f"{counts[outcome]} {outcome}" for outcome in SEVERITY if counts[outcome])
    elif run.measurements:
        found = f"{len(run.measurements)} measured, nothing to judge by"
    else:
        found = "nothing measured"
    return f"perfguard: {found}{_against(run)}"


def provenance(run: Run) -> list[str]:
    """Return how a live comparison went, where a baseline's numbers come from, and what that forbids to conclude."""
    lines = [] if run.contest is None else contest.course(run.contest)
    baseline = run.baseline
    if baseline is None or not baseline.runs:
        return lines
    classes = sorted({stored.header.machine.key for stored in baseline.runs})
    lines += [f"baseline: {plural(len(baseline.runs), 'run')} from machine class {', '.join(classes)}"]
    if baseline.weak:
        lines.append("the baseline is weak (chosen for want of a better one): by default it never fails a run")
    if baseline.foreign:
        why = "; ".join(baseline.foreign)
        lines.append(f"the baseline is foreign ({why}): its times are not comparable and never fail a run")
    return lines


def ordered(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts worst first: by severity, then by the size of the effect, then by name."""
    rank = {outcome: place for place, outcome in enumerate(SEVERITY)}
    return sorted(verdicts, key=lambda each: (rank[each.outcome], -_magnitude(each), each.key, each.metric))


def rows(run: Run, *, everything: bool = False) -> list[Row]:
    """Return the rows of the table, worst first; with `everything` also what is folded or was not judged."""
    judged = [row(each, everything=everything) for each in ordered(run.verdicts) if everything or not _is_folded(each)]
    return judged + _unjudged(run) if everything else judged


def row(verdict: Verdict, *, everything: bool = False) -> Row:
    """Return the row of one verdict; with `everything` also what it could have seen and what it cost."""
    effect, value = verdict.effect, verdict.value
    outcome = str(verdict.outcome)
    if verdict.outcome in BLAMING and not verdict.fails:
        outcome += " (not failing)"
    interval = ""
    if effect is not None and effect.low != effect.high:
        interval = f"{change_text(effect.low)} … {change_text(effect.high)}"
    elif effect is None and value is not None and value.low != value.high:
        interval = f"{render(value.low, verdict.unit)} … {render(value.high, verdict.unit)}"
    return Row(
        cells=(
            one_line(str(verdict.key)),
            verdict.metric,
            outcome,
            _amount(verdict.baseline, verdict.unit),
            _amount(None if value is None else value.value, verdict.unit),
            "" if effect is None else change_text(effect.change),
            interval,
            str(effect.pairs) if effect is not None and effect.pairs else "",
            _seen(effect) if everything else "",
            _amount(effect.seconds, Unit.SECONDS) if everything and effect is not None else "",
            _amount(verdict.limit, verdict.unit),
        ),
        outcome=verdict.outcome,
        fails=verdict.fails,
    )


def filled(table: Sequence[Row]) -> list[int]:
    """Return the indices of the columns that have content in any row."""
    return [place for place in range(len(COLUMNS)) if any(line.cells[place] for line in table)]


def folds(run: Run) -> list[tuple[Outcome, str]]:
    """Return one line for each folded outcome that occurs, with the number that says how much it is worth."""
    lines = []
    for outcome in FOLDED:
        members = [each for each in run.verdicts if each.outcome is outcome and _is_folded(each)]
        if members:
            meaning = _meaning(outcome, members, run)
            lines.append((outcome, f"{len(members)} {outcome}: {meaning}" if meaning else f"{len(members)} {outcome}"))
    return lines


def remarks(run: Run, *, everything: bool = False) -> list[str]:
    """Return the notes of the run and all its parts, each once; of the parts' one for each code unless `everything`."""
    general = dict.fromkeys(
        (
            *run.notes,
            *run.header.notes,
            *(run.contest.notes if run.contest else ()),
            *(run.baseline.notes if run.baseline else ()),
        )
    )
    touched: dict[Note, set[Key]] = {note: set() for note in general}
    parts: list[Measurement | Verdict] = [*run.measurements, *run.verdicts]
    for part in parts:
        for note in part.notes:
            touched.setdefault(note, set()).add(part.key)
    if everything:
        return [_remark(note, keys) for note, keys in touched.items()]
    lines = [_remark(note, touched[note]) for note in general]
    alike: dict[str, list[Note]] = {}
    for note in touched.keys() - general.keys():
        alike.setdefault(note.code, []).append(note)
    for code in sorted(alike):
        notes = sorted(alike[code], key=lambda note: (-len(touched[note]), note.message))
        others = f" (and {len(notes) - 1} like it; -v shows all)" if len(notes) > 1 else ""
        lines.append(_remark(notes[0], touched[notes[0]]) + others)
    return lines


def again(run: Run) -> str:
    """Return the command that repeats a live comparison for what failed in it; empty where nothing did."""
    failed = [each for each in ordered(run.verdicts) if each.fails and each.effect is not None]
    return contest.command(run.contest, failed) if run.contest is not None and failed else ""


def change_text(fraction: float) -> str:
    """Return a relative change as text, empty where it is not defined."""
    return "" if math.isnan(fraction) else render_change(fraction)


def one_line(text: str) -> str:
    """Return `text` without line breaks and control characters, which would break a table or a log."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _against(run: Run) -> str:
    live = "" if run.contest is None else f" · against {contest.rival(run.contest)}"
    return live + _against_stored(run)


def _against_stored(run: Run) -> str:
    baseline = run.baseline
    if baseline is None:
        return ""
    commit = baseline.commit or (baseline.runs[0].header.commit if baseline.runs else None)
    if commit is None:
        return f" · no baseline: {baseline.reason}" if baseline.reason else " · no baseline"
    away = _away(baseline.distance)
    facts = [baseline.reason, "" if away in baseline.reason else away, _kinship(baseline, run.header.machine.key)]
    if baseline.weak:
        facts.append("weak")
    return f" · against {commit.short} ({', '.join(fact for fact in facts if fact)})"


def _away(distance: int | None) -> str:
    if distance is None:
        return "distance not known"
    return f"{plural(distance, 'commit')} back" if distance else "the same commit"


def _kinship(baseline: Baseline, machine: str) -> str:
    classes = {stored.header.machine.key for stored in baseline.runs}
    if baseline.foreign or classes - {machine}:
        return "not the same machine class"
    return "same machine class" if classes else ""


def _magnitude(verdict: Verdict) -> float:
    if verdict.effect is not None and not math.isnan(verdict.effect.change):
        return abs(verdict.effect.change)
    if verdict.value is not None and verdict.limit:
        ratio = verdict.value.value / verdict.limit
        return abs(math.log(ratio)) if ratio > 0 else math.inf
    return 0.0


def _amount(value: float | None, unit: Unit) -> str:
    return "" if value is None or math.isnan(value) else render(value, unit)


def _unjudged(run: Run) -> list[Row]:
    judged = {(verdict.key, verdict.metric) for verdict in run.verdicts}
    return [
        Row(
            cells=(
                one_line(str(measurement.key)), series.metric.name, "measured", "",
                _amount(series.reduced(), series.metric.unit), *[""] * (len(COLUMNS) - 5),
            ),
            outcome=None,
        )
        for measurement in sorted(run.measurements, key=lambda each: each.key)
        for series in measurement.series
        if series.values and (measurement.key, series.metric.name) not in judged
    ]  # fmt: skip


def _is_folded(verdict: Verdict) -> bool:
    # Of a budget that is too close to call, value and limit are what the reader needs.
    close = verdict.outcome is Outcome.INCONCLUSIVE and verdict.limit is not None
    return verdict.outcome in FOLDED and not verdict.fails and not close


def _meaning(outcome: Outcome, members: Sequence[Verdict], run: Run) -> str:
    baseline = run.baseline
    match outcome:
        case Outcome.INCONCLUSIVE:
            seen = _detectable(members)
            return f"only a slowdown of more than {seen} would have been seen, 4 times in 5" if seen else ""
        case Outcome.UNCHANGED:
            seen = _detectable(members)
            return f"any slowdown of more than {seen} would have been seen, 4 times in 5" if seen else ""
        case Outcome.PASSED:
            used = max((share for each in members if (share := _use(each)) is not None), default=None)
            return "" if used is None else f"the tightest is at {used:.0%} of its limit".replace("%", " %")
        case _:
            if baseline is not None and not baseline.runs and baseline.reason:
                return baseline.reason
            if run.contest is not None:
                return "base has no such test or measurement, or does not pass it"
            return "nothing to compare with yet; --perfguard-save keeps this run as a baseline"


def _detectable(members: Sequence[Verdict]) -> str:
    """Return the smallest detectable slowdowns of `members` as a range, empty where none is known."""
    known = [each.effect for each in members if each.effect is not None and _seen(each.effect)]
    if not known:
        return ""
    low, high = (_seen(pick(known, key=lambda effect: effect.detectable or 0.0)) for pick in (min, max))
    return low if low == high else f"{low} to {high} (depending on the test)"


def _seen(effect: Effect | None) -> str:
    """Return the smallest slowdown that a comparison could have shown, without its sign; empty where not known."""
    if effect is None or not effect.detectable or not math.isfinite(effect.detectable):
        return ""
    return render_change(effect.detectable).removeprefix("+")


def _use(verdict: Verdict) -> float | None:
    """Return how much of its budget a passed verdict used up, whichever direction is better."""
    if verdict.value is None or not verdict.limit or verdict.value.value <= 0:
        return None
    ratio = verdict.value.value / verdict.limit
    return min(ratio, 1 / ratio)


def _remark(note: Note, keys: set[Key]) -> str:
    where = ""
    if len(keys) == 1:
        where = f" ({next(iter(keys))})"
    elif keys:
        where = f" ({len(keys)} measurements)"
    return one_line(f"{note.message}{where}" + (f"; {note.remedy}" if note.remedy else ""))


def plural(count: int, noun: str) -> str:
    """Return a number with its noun in singular or plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
