"""The table of settings: every option, ini key and environment variable is declared here, once.

It is imported when pytest starts, guarded tests or not: hence plain named tuples, and no other module of perfguard.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Kind = Literal["flag", "text", "path", "revision", "choice", "time", "ratio", "outcomes", "names", "reports", "lines"]
"""How the text of a setting is read; `config.resolve` has one reader for each."""


class Setting(NamedTuple):
    """One setting, and the places where it can be set; None for a place where it cannot."""

    name: str
    kind: Kind
    default: Any
    """What stands for the setting where nobody set it, written as a user would."""
    help: str
    flag: str | None
    ini: str | None
    environment: str | None
    metavar: str | None = None
    const: str | None = None
    """What the flag alone means, for an option whose argument is optional."""
    low: float | None = None
    """The smallest number that makes sense; for quantities."""
    high: float | None = None
    """The largest number that makes sense; for quantities."""
    choices: tuple[str, ...] = ()
    """The words that can be chosen from."""

    @property
    def dest(self) -> str:
        """Return the name of the option's value among parsed options."""
        return f"perfguard_{self.name}"

    @property
    def ini_type(self) -> Literal["bool", "string", "linelist"]:
        """Return the type of the ini key, in pytest's terms."""
        if self.kind == "flag":
            return "bool"
        return "linelist" if self.kind in ("outcomes", "names", "reports", "lines") else "string"

    def option(self) -> dict[str, Any]:
        """Return keyword arguments for argparse's `add_argument`; the default is None, which means not set."""
        # argparse expands percent signs in help texts
        arguments: dict[str, Any] = {"dest": self.dest, "default": None, "help": self.help.replace("%", "%%")}
        if self.kind == "flag":
            return {**arguments, "action": "store_true"}
        arguments["metavar"] = self.metavar
        if self.const is not None:
            return {**arguments, "nargs": "?", "const": self.const}
        if self.kind in ("reports", "names"):
            return {**arguments, "action": "append"}
        return arguments


def _setting(
    name: str,
    kind: Kind,
    default: Any,
    help: str,  # noqa: A002 - argparse's word for it
    *,
    command_line: bool = True,
    ini: bool = True,
    environment: bool = True,
    **more: Any,
) -> Setting:
    return Setting(
        name=name,
        kind=kind,
        default=default,
        help=help,
        flag=f"--perfguard-{name.replace('_', '-')}" if command_line else None,
        ini=f"perfguard_{name}" if ini else None,
        environment=f"PERFGUARD_{name.upper()}" if environment else None,
        **more,
    )


SETTINGS: tuple[Setting, ...] = (
    _setting("save", "flag", False, "store this run as a baseline of its commit"),
    _setting(
        "compare",
        "revision",
        None,
        "judge against a stored baseline: of REV, from FILE, or without an argument of the nearest commit that has one "
        "(write =REV: a path after a space would be taken for it)",
        metavar="REV|FILE",
        const="auto",
    ),
    _setting(
        "against",
        "revision",
        None,
        "measure REV here and now, in turns with the working tree, and judge by that: a revision, merge-base:REV, the "
        "path of another checkout, release:VERSION, or self",
        metavar="REV",
    ),
    _setting(
        "against_tests",
        "choice",
        "head",
        "whose tests both sides run in a comparison with --perfguard-against: head or base (default: head)",
        metavar="SIDE",
        choices=("head", "base"),
    ),
    _setting(
        "against_install",
        "flag",
        False,
        "build and install each side into an environment of its own, kept for later runs, for --perfguard-against: for "
        "compiled projects and changed dependencies",
    ),
    _setting(
        "against_packages",
        "names",
        (),
        "packages of the project that --perfguard-against does not find: names or NAME=FOLDER, separated by commas",
        metavar="PACKAGES",
    ),
    _setting(
        "against_min_effect",
        "ratio",
        "1 %",
        "smallest change that --perfguard-against may call a regression (default: 1 %)",
        metavar="RATIO",
        low=0.005,
        high=5.0,
    ),
    _setting(
        "against_timeout",
        "time",
        "5 min",
        "longest that a test may take on one side of --perfguard-against before it is given up (default: 5 min)",
        metavar="TIME",
        low=0.1,
    ),
    _setting(
        "against_time",
        "time",
        "5 s",
        "time that --perfguard-against may spend on each measurement, on an average (default: 5 s)",
        metavar="TIME",
        low=0.1,
    ),
    _setting(
        "max_time",
        "time",
        None,
        "time that --perfguard-against may take as a whole (default: --perfguard-against-time for each measurement)",
        metavar="TIME",
        low=1.0,
    ),
    _setting(
        "report",
        "reports",
        (),
        "write a report, to PATH or to the format's usual file; repeatable",
        metavar="FORMAT[:PATH]",
    ),
    _setting("disable", "flag", False, "run every measured call once and measure nothing"),
    _setting("only", "flag", False, "run guarded tests only", ini=False),
    _setting("skip", "flag", False, "skip guarded tests", ini=False),
    _setting(
        "fail_on",
        "outcomes",
        "over budget, regressed",
        "outcomes that fail a test, separated by commas, or none (default: over budget, regressed)",
        metavar="OUTCOMES",
    ),
    _setting(
        "store",
        "path",
        "baselines",
        "folder of the stored baselines, relative to the root folder (default: baselines)",
        metavar="DIR",
    ),
    _setting(
        "machine",
        "text",
        "",
        "name of this class of machines, in place of its hardware; times are compared within a class only",
        metavar="LABEL",
    ),
    _setting(
        "target_time",
        "time",
        "0.4 s",
        "what the rounds of one measurement should take (default: 0.4 s)",
        metavar="TIME",
        low=1e-6,
    ),
    _setting(
        "measurement_time",
        "time",
        "10 s",
        "when one measurement ends, finished or not; a test's own is perf(max_time=) (default: 10 s)",
        metavar="TIME",
        low=1e-6,
    ),
    _setting(
        "min_effect",
        "ratio",
        "10 %",
        "smallest change against a stored baseline that may be called a regression (default: 10 %)",
        metavar="RATIO",
        low=0.0,
        high=5.0,
    ),
    _setting(
        "confidence",
        "ratio",
        "99 %",
        "confidence of the verdicts, over the whole run (default: 99 %)",
        metavar="RATIO",
        low=0.5,
        high=0.999999,
    ),
    _setting("gate_contended", "flag", False, "let times that were measured beside other xdist workers fail tests"),
    _setting("gate_weak", "flag", False, "let weak baselines, and those of another machine or Python, fail tests"),
    _setting(
        "budgets",
        "lines",
        (),
        "budgets for folders, files and tests, one a line: tests/api/*: time=200 ms, queries=20",
        command_line=False,
        environment=False,
    ),
    _setting(
        "queries",
        "flag",
        False,
        "list the tests of the suite, guarded or not, that make most database statements, duplicates and potential N+1",
    ),
    _setting(
        "big_tables",
        "names",
        (),
        "tables that are large in production, with their rows, for unindexed=: orders=1000000, separated by commas",
        metavar="TABLE=ROWS",
    ),
    _setting(
        "small_tables",
        "names",
        (),
        "tables that will always be small, which unindexed= passes over; separated by commas",
        metavar="TABLES",
    ),
    _setting(
        "tolerance",
        "names",
        (),
        "what exact metrics may differ from a baseline: memory=4 MiB, heap=2 %, separated by commas",
        metavar="METRIC=AMOUNT",
    ),
    _setting(
        "metrics",
        "names",
        (),
        "metrics to measure in every guarded test, besides those with a budget; separated by commas",
        metavar="METRICS",
    ),
)
"""Precedence, nearest first: a test's marker, command line, environment, ini file, default."""
