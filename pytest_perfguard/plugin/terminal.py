"""What is printed while a measurement takes long, and at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_perfguard.live.tournament import Progress as LiveProgress
    from pytest_perfguard.measure.plan import Progress
    from pytest_perfguard.model.measurement import Measurement
    from pytest_perfguard.model.note import Note
    from pytest_perfguard.model.run import Run

_PROGRESS_AFTER = 2.0
"""Seconds before a measurement tells that it is still going on."""

_TELL_SECONDS = 30.0
"""How often a comparison tells how far it has come, where lines cannot be overwritten."""

_QUIET = -1
"""Below this verbosity, as with -qq, only the line with the verdicts and what went wrong are printed."""

_NEWS = frozenset({"saved", "report"})
"""Remarks that things went as asked."""


class Display:
    """Writes through pytest's terminal reporter, around its output capture."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._told = 0.0

    def progress(self, progress: Progress) -> None:
        """Tell how far a long measurement has come; on a terminal only, where a line can be overwritten."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if progress.elapsed < _PROGRESS_AFTER or reporter is None or not reporter.isatty:
            return
        text = f" [{progress.elapsed:.0f} of about {progress.expected:.0f} s, {progress.rounds} rounds] {progress.key}"
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            reporter.rewrite(text, erase=True)
            return
        with capture.global_and_fixture_disabled():
            reporter.rewrite(text, erase=True)

    def say(self, text: str) -> None:
        """Print a line about what is being made ready."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.verbosity >= 0:
            reporter.ensure_newline()
            reporter.write_line(f"perfguard: {text}")

    def live(self, progress: LiveProgress) -> None:
        """Tell how far a comparison has come: in place on a terminal, otherwise a line every half minute."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or reporter.verbosity < 0:
            return
        rest = max(progress.expected - progress.elapsed, 0.0)
        text = (
            f"perfguard: pair {progress.pair}, test {progress.place + 1} of {progress.tests}, {progress.undecided} "
            f"undecided, {_clock(progress.elapsed)}, about {_clock(rest)} more"
        )
        if reporter.isatty:
            reporter.rewrite(text, erase=True)
        elif progress.elapsed - self._told >= _TELL_SECONDS:
            self._told = progress.elapsed
            reporter.ensure_newline()
            reporter.write_line(text)

    def survey(self, reporter: pytest.TerminalReporter, measurements: Sequence[Measurement]) -> None:
        """Print which tests ask most of databases."""
        if self._config.option.collectonly or reporter.verbosity < _QUIET:
            return
        from pytest_perfguard.report.survey import survey_lines
        from pytest_perfguard.report.terminal import plain

        encoding = getattr(getattr(getattr(reporter, "_tw"), "_file", None), "encoding", None) or "utf-8"  # noqa: B009
        reporter.section("perfguard: database statements", sep="-", bold=True)
        for line in survey_lines(_queries(measurements), everything=reporter.verbosity > 0):
            reporter.write_line(plain(line, encoding))

    def summary(self, reporter: pytest.TerminalReporter, run: Run | None, notes: Sequence[Note]) -> None:
        """Print the verdicts, what changed, and where things went."""
        if (run is None and not notes) or self._config.option.collectonly:
            return
        from pytest_perfguard.report.terminal import plain, summary_lines

        writer = getattr(reporter, "_tw")  # noqa: B009 - pytest offers neither width nor encoding in public
        encoding = getattr(getattr(writer, "_file", None), "encoding", None) or "utf-8"
        quiet = reporter.verbosity < _QUIET
        if quiet:
            notes = [note for note in notes if note.code not in _NEWS]
        else:
            reporter.section("perfguard", sep="-", bold=True)
        if run is not None:
            verbose = reporter.verbosity > 0
            lines = summary_lines(run, verbose=verbose, width=writer.fullwidth)
            if quiet:
                lines = [line for line in lines if line.text][:1]
            for line in lines:
                markup: dict[str, Any] = {line.style: True} if line.style else {}
                reporter.write_line(plain(line.text, encoding), **markup)
        for note in notes:
            reporter.write_line(plain(str(note) if note.code in _NEWS else f"note: {note}", encoding))


def _queries(measurements: Sequence[Measurement]) -> list[Measurement]:
    return [measurement for measurement in measurements if measurement.queries is not None]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
