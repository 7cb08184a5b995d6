"""`perfguard aa`: a suite compared with itself, side by side: its noise, what a gate would see, its false alarms."""

from __future__ import annotations

import argparse
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from pytest_perfguard.cli.output import print_lines, table, width
from pytest_perfguard.cli.report import read
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.model import Effect, Outcome, Run, Verdict
from pytest_perfguard.quantity import Unit, render
from pytest_perfguard.report.contest import course
from pytest_perfguard.report.digest import change_text, ordered, plural
from pytest_perfguard.report.terminal import Line, shorten

_ALARM, _ERROR = 1, 2
_TESTS_FAILED, _NO_TESTS = 1, 5
"""Exit codes of pytest that have a meaning here."""
_HARMLESS = frozenset({Outcome.UNCHANGED, Outcome.INCONCLUSIVE})
_STEPS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)
"""Margins that are worth a suggestion; the least is the least that the gate accepts."""
_NOISY = 0.05
"""A test that cannot be shown to be equal to itself within this may be too noisy for a gate."""
_REASONS = frozenset({"bimodal", "parallel", "clocks-differ"})
"""Codes of notes that say why a test is noisy."""
_FEW = 12
"""With fewer pairs, more of them help most."""
_OUTSTANDING = 3.0
"""So many times what is usual in a suite must a test need, for its own fault rather than the machine's."""


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print how the suite compares with itself; return 0 without a false alarm, 1 with one, 2 where tests failed."""
    with tempfile.TemporaryDirectory(prefix="perfguard-aa-") as folder:
        report = Path(folder) / "report.json"
        code = _wait(command(arguments, report))
        if code == _NO_TESTS:
            raise MeasurementError(
                "pytest found no guarded test to run; name the folder of yours, or guard one with @pytest.mark.perf"
            )
        if code not in (0, _TESTS_FAILED) or not report.exists():
            raise MeasurementError(f"pytest ended with exit code {code}; see above for what is wrong")
        result = read(str(report))
    if not comparisons(result):
        raise MeasurementError("nothing was compared; see above for why, and measure something with the perf fixture")
    print()
    print_lines(lines(result, width()))
    if alarms(result):
        return _ALARM
    if code:
        print("perfguard: error: tests failed by themselves; see above, and mend them first", file=sys.stderr)
    return _ERROR if code else 0


def command(arguments: argparse.Namespace, report: Path) -> list[str]:
    """Return the command line of pytest; what the user gave comes last, so that it has the last word."""
    limits = {"--perfguard-against-time": arguments.time, "--perfguard-max-time": arguments.max_time}
    return [
        sys.executable, "-m", "pytest", "-qq", "--perfguard-only", "--perfguard-against=self",
        # A false alarm is told below; here only tests that fail by themselves are to count.
        "--perfguard-fail-on=none", f"--perfguard-report=json:{report}",
        *(f"{option}={value}" for option, value in limits.items() if value is not None),
        *arguments.arguments,
    ]  # fmt: skip


def comparisons(result: Run) -> list[Verdict]:
    """Return the verdicts on base against head, worst first; budgets are none of this command's business."""
    return ordered(verdict for verdict in result.verdicts if verdict.limit is None)


def alarms(result: Run) -> list[Verdict]:
    """Return the verdicts that must not be on a suite against itself."""
    return [verdict for verdict in comparisons(result) if verdict.outcome not in _HARMLESS]


def lines(result: Run, columns: int) -> Iterator[Line]:
    """Return everything that is told, as styled lines."""
    compared = comparisons(result)
    timed = sorted((verdict for verdict in compared if _effect(verdict) is not None), key=_noisiest_first)
    exact = [verdict for verdict in compared if verdict.effect is not None and verdict not in timed]
    left_out = [verdict for verdict in compared if verdict.effect is None]
    yield from _table(timed, columns)
    for text in course(result.contest) if result.contest else ():
        yield from _wrap(text, columns)
    yield Line("")
    found = alarms(result)
    if found:
        yield from _wrap(f"{plural(len(found), 'false alarm')}: the code was the same on both sides", columns, "red")
        for verdict in found:
            yield from _wrap(f"  {verdict.sentence}", columns, "red")
    else:
        counts = f" and {len(exact)} of counts or sizes" if exact else ""
        yield from _wrap(f"no false alarm in {plural(len(timed), 'comparison')} of time{counts}", columns, "green")
    for verdict in left_out:
        if verdict not in found:
            yield from _wrap(verdict.sentence, columns, "yellow")
    if timed:
        yield from _advice(timed, columns)


def deviation(effect: Effect) -> float:
    """Return the standard deviation of the change from pair to pair, worked out from the interval and its pairs."""
    from scipy.special import stdtrit

    from pytest_perfguard.stats.pairs import trimmed

    degrees = max(effect.pairs - 2 * trimmed(effect.pairs) - 1, 1)
    reach = (math.log1p(effect.high) - math.log1p(effect.low)) / 2
    error = reach / float(stdtrit(degrees, (1 + effect.confidence) / 2))
    return math.expm1(error * math.sqrt(effect.pairs))


def margin_needed(effect: Effect) -> float:
    """Return the margin within which the whole interval lies, so that the test is called unchanged."""
    return math.expm1(max(abs(math.log1p(effect.low)), abs(math.log1p(effect.high))))


def suggestion(margin: float) -> float:
    """Return the next round margin that is not less than `margin`."""
    return next((step for step in _STEPS if margin <= step), math.ceil(margin))


def too_noisy(timed: Sequence[Verdict]) -> list[Verdict]:
    """Return those of `timed` that need a far larger margin than is usual among them."""
    needs = {verdict: margin_needed(effect) for verdict in timed if (effect := _effect(verdict)) is not None}
    if not needs:
        return []
    bound = max(_NOISY, _OUTSTANDING * statistics.median_low(needs.values()))
    return [verdict for verdict, need in needs.items() if need > bound]


def _advice(timed: Sequence[Verdict], columns: int) -> Iterator[Line]:
    noisy = too_noisy(timed)
    calm = [_margin(verdict) for verdict in timed if verdict not in noisy]
    margin = suggestion(max(calm))
    whom = "every test" if not noisy else f"{len(calm)} of {len(timed)} tests"
    option = f"--perfguard-against-min-effect={_percent(margin)}"
    yield from _wrap(f"suggested margin: {option}, at which {whom} would be called unchanged", columns)
    for verdict in noisy:
        own = suggestion(_margin(verdict))
        yield from _wrap(
            f"too noisy for it: {_name(verdict)}: {_reason(verdict)}; or give it a margin of its own, "
            f'@pytest.mark.perf(min_effect="{_percent(own)}")',
            columns,
            "yellow",
        )


def _reason(verdict: Verdict) -> str:
    effect = _effect(verdict)
    assert effect is not None
    telling = [str(note) for note in verdict.notes if note.code in _REASONS]
    if telling:
        return "; ".join(telling)
    if effect.pairs < _FEW:
        return f"only {plural(effect.pairs, 'pair')} fitted into the time: give it more with --time"
    return f"its pairs differ by {_share(deviation(effect))}: measure a longer or steadier piece of it"


def _table(timed: Sequence[Verdict], columns: int) -> Iterator[Line]:
    if not timed:
        return
    headers = ("test", "noise", "would see", "interval", "pairs", "spent", "verdict")
    rows = [_row(verdict) for verdict in timed]
    rest = sum(
        2 + max(len(header) + 2, *(len(row[place]) for row in rows)) for place, header in enumerate(headers[1:], 1)
    )
    for row in rows:
        row[0] = shorten(row[0], max(columns - rest, 24))
    text = table(headers, rows, right=headers[1:-1])
    styles = ["", "", *("" if each.outcome in _HARMLESS else "red" for each in timed)]
    yield from (Line(line, style) for line, style in zip(text.splitlines(), styles, strict=True))
    yield Line("")


def _row(verdict: Verdict) -> list[str]:
    effect = _effect(verdict)
    assert effect is not None
    return [
        _name(verdict),
        _share(deviation(effect)),
        change_text(effect.detectable) if effect.detectable else "",
        f"{change_text(effect.low)} … {change_text(effect.high)}",
        str(effect.pairs),
        "" if effect.seconds is None else render(effect.seconds, Unit.SECONDS),
        str(verdict.outcome),
    ]


def _noisiest_first(verdict: Verdict) -> tuple[bool, float]:
    effect = _effect(verdict)
    return verdict.outcome in _HARMLESS, 0.0 if effect is None else -deviation(effect)


def _name(verdict: Verdict) -> str:
    return f"{verdict.key}" if verdict.metric == "time" else f"{verdict.key} ({verdict.metric})"


def _effect(verdict: Verdict) -> Effect | None:
    """Return the effect of a comparison of times, None for one of counts."""
    effect = verdict.effect
    measurable = effect is not None and effect.pairs and -1 < effect.low < effect.high < math.inf
    return effect if measurable else None


def _margin(verdict: Verdict) -> float:
    effect = _effect(verdict)
    return 0.0 if effect is None else margin_needed(effect)


def _share(fraction: float) -> str:
    return change_text(fraction).removeprefix("+")


def _percent(fraction: float) -> str:
    return f"{fraction * 100:g}%"


def _wrap(text: str, columns: int, style: str = "") -> Iterator[Line]:
    parts = textwrap.wrap(text, max(columns, 40), subsequent_indent="  ", break_on_hyphens=False)
    return (Line(part, style) for part in parts)


def _wait(arguments: Sequence[str]) -> int:
    """Run a command with this one's terminal and return its exit code; what would end us lets it tidy up first."""
    with subprocess.Popen(arguments) as process:  # noqa: S603 - pytest, as the user would start it

        def hand_on(number: int, frame: FrameType | None) -> None:
            process.terminate()

        before = signal.signal(signal.SIGTERM, hand_on)
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has interrupted pytest as well.
            process.wait()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
