"""`perfguard report`: a stored JSON report in another format, such as for a comment that a later job writes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_perfguard.cli.output import width
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import StoreError
from pytest_perfguard.model import Run
from pytest_perfguard.model.protocols import Reporter
from pytest_perfguard.report.json import JsonReporter, parse
from pytest_perfguard.report.markdown import MarkdownReporter
from pytest_perfguard.report.terminal import TerminalReporter
from pytest_perfguard.report.write import write_report


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print or write the report in the format asked for."""
    reporters: dict[str, Reporter] = {
        reporter.name: reporter for reporter in (JsonReporter(), MarkdownReporter(), TerminalReporter(width=width()))
    }
    text = reporters[arguments.format].render(read(arguments.file))
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        write_report(arguments.output, text)
    return 0


def read(path: str) -> Run:
    """Return the run in the JSON report at `path`; raises `StoreError`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"cannot read the report {path}: {reason}; name a file from --perfguard-report=json:PATH"
        ) from error
    return parse(text, origin=path)
