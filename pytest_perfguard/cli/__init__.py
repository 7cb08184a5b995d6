"""The `perfguard` command: work with stored runs and reports, without pytest."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from pytest_perfguard.errors import PerfguardError

_ERROR = 2
_CLOSED_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` and return its exit code: 0 done, 1 found something bad, 2 could not be done."""
    from pytest_perfguard.cli.arguments import build_parser
    from pytest_perfguard.cli.workplace import Workplace

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or pipe of a narrow encoding shows a question mark rather than ending the command.
        sys.stdout.reconfigure(errors="replace")
    arguments = build_parser().parse_args(argv)
    place = Workplace.find(arguments.store)
    try:
        code: int = arguments.command(arguments, place)
        sys.stdout.flush()
        for note in place.notes():
            print(f"perfguard: note: {note}", file=sys.stderr)
    except PerfguardError as error:
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
