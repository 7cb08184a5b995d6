"""What is printed while a measurement takes long, and at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_perfguard.measure.plan import Progress
    from pytest_perfguard.model.note import Note
    from pytest_perfguard.model.run import Run

_PROGRESS_AFTER = 2.0
"""Seconds before a measurement tells that it is still going on."""


class Display:
    """Writes through pytest's terminal reporter, around its output capture."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

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

    def summary(self, reporter: pytest.TerminalReporter, run: Run | None, notes: Sequence[Note]) -> None:
        """Print the verdicts, what changed, and where things went."""
        if run is None and not notes:
            return
        reporter.section("perfguard", sep="-", bold=True)
        if run is not None:
            from pytest_perfguard.report.terminal import summary_lines

            verbose = reporter.verbosity > 0
            width: int = getattr(reporter, "_tw").fullwidth  # noqa: B009 - pytest offers no public width
            for line in summary_lines(run, verbose=verbose, width=width):
                markup: dict[str, Any] = {line.style: True} if line.style else {}
                reporter.write_line(line.text, **markup)
        for note in notes:
            reporter.write_line(str(note))
