"""The `perfguard` command: work with stored runs and reports, without pytest."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_perfguard.errors import PerfguardError

if TYPE_CHECKING:
    from pytest_perfguard.cli.workplace import Workplace

_ERROR = 2
_CLOSED_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` and return its exit code: 0 done, 1 found something bad, 2 could not be done."""
    from pytest_perfguard.cli.arguments import build_parser
    from pytest_perfguard.cli.output import prepare_streams
    from pytest_perfguard.cli.workplace import Workplace

    prepare_streams()
    arguments = build_parser().parse_args(argv)
    place = Workplace.find(arguments.store)
    try:
        code: int = arguments.command(arguments, place)
        sys.stdout.flush()
        _print_notes(place)
    except PerfguardError as error:
        # They may hold the cause: a store is as good as empty where all its files are damaged.
        _print_notes(place)
        print(f"perfguard: error: {error}", file=sys.stderr)
        return _ERROR
    except BrokenPipeError:
        # The interpreter flushes once more on its way out; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        place.close()
    return code


def _print_notes(place: Workplace) -> None:
    for note in place.notes():
        print(f"perfguard: note: {note}", file=sys.stderr)
