"""What the command line accepts; each command's module is imported only when it is run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

from pytest_perfguard import __version__
from pytest_perfguard.cli.workplace import Workplace

Command = Callable[[argparse.Namespace, Workplace], int]

_MACHINE = "only runs of this machine class: its name, a part of it, or 'this' for the machine at hand"
_RUN = "a run id or its beginning, a commit's SHA, or any git revision"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; parsing sets `command` to the function that runs the chosen command."""
    parser = argparse.ArgumentParser(
        prog="perfguard",
        description="Look at, compare and tidy the runs that pytest-perfguard stored, and check a machine and a suite.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-perfguard {__version__}")
    common = _CommandParser(add_help=False)
    common.add_argument(
        "--store", metavar="PATH", help="where runs are kept (default: PERFGUARD_STORE, or 'baselines' of the project)"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_CommandParser)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(command=_late(name))
        return command

    command = add("list", "list the stored runs, newest first")
    command.add_argument("--machine", metavar="CLASS", help=_MACHINE)
    command.add_argument("--all", action="store_true", help="all runs, not only the newest 20")
    command.add_argument("--json", action="store_true", help="as JSON")

    command = add("show", "show the records of a run")
    command.add_argument("run", metavar="RUN", nargs="?", help=f"{_RUN} (default: the newest run)")
    command.add_argument("--machine", metavar="CLASS", help=_MACHINE)
    command.add_argument("--all", action="store_true", help="also the metrics that are recorded beside others")

    command = add("history", "show how a metric of a test developed from commit to commit")
    command.add_argument("test", metavar="TEST", help="a node id or a part of one that names a single test")
    command.add_argument("--metric", default="time", help="the metric (default: time)")
    command.add_argument("--machine", metavar="CLASS", help=_MACHINE)

    command = add("compare", "judge the stored runs of A against those of B; exit code 1 if something regressed")
    command.add_argument("head", metavar="A", help=f"what is judged: {_RUN}, or the path of a JSON report or run file")
    command.add_argument("base", metavar="B", help="what it is judged against, named in the same way")
    command.add_argument("--machine", metavar="CLASS", help=_MACHINE)
    command.add_argument("-v", "--verbose", action="store_true", help="a row for every verdict")

    command = add("report", "render a JSON report, written by --perfguard-report=json:PATH, in another format")
    command.add_argument("file", metavar="FILE", help="the JSON report")
    command.add_argument("--format", choices=("json", "markdown", "terminal"), default="markdown")
    command.add_argument("-o", "--output", metavar="PATH", help="where to write it (default: standard output)")

    command = add("prune", "remove old runs, and raw samples earlier than summaries")
    command.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    command.add_argument("--samples-keep", type=_count, metavar="N", help="runs per class that keep raw samples")
    command.add_argument("--summaries-keep", type=_count, metavar="N", help="runs per class that are kept at all")

    command = add(
        "aa",
        "compare a suite with itself, side by side: its noise, what a gate would see; exit code 1 on a false alarm",
    )
    command.add_argument("--time", metavar="TIME", help="time to spend on each measurement (default: that of the gate)")
    command.add_argument("--max-time", metavar="TIME", help="time to spend as a whole")
    command.add_argument(
        "arguments", metavar="PATH", nargs="*", help="what pytest is to run; after --, any arguments for pytest"
    )

    add("doctor", "say what on this machine makes measurements noisy or impossible, and what to do about it")
    return parser


class _CommandParser(argparse.ArgumentParser):
    """Reads the options of one command; what follows "--" are its `arguments` as they stand, where it takes some."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # argparse itself fills a list of positional arguments in one go, and calls what comes after an option unknown.
        given = list(args)
        if "--" not in given or all(action.dest != "arguments" for action in self._actions):
            return super().parse_known_args(given, namespace)
        end = given.index("--")
        namespace, unknown = super().parse_known_args(given[:end], namespace)
        namespace.arguments = [*namespace.arguments, *given[end + 1 :]]
        return namespace, unknown


def _late(name: str) -> Command:
    def run(arguments: argparse.Namespace, place: Workplace) -> int:
        module = "listing" if name == "list" else name
        command: Command = import_module(f"pytest_perfguard.cli.{module}").run
        return command(arguments, place)

    return run


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write how many runs to keep") from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number
