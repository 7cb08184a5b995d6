"""Counts how many leaks are found, named and located, and how many clean functions fail, in repeated fresh processes.

The cases are those of tests/leaks: functions that leak in known ways, and clean ones that look like them. Each subject
is observed in a process of its own, `--repeats` times, with each Python that is named (default: that of this script).

    found      the value of `retained` is at least what leaks
    named      a line of the explanation names the owner, or the type of what has none
    located    that line also has a path and a line within the owner's code
    failed     clean functions that a budget of 0 would fail
    untold     clean functions that something else disturbs, with a remark instead of a value

Cold is a test whose only budget is on what is retained; warm is one that is timed before. Exit code 1 where a leak is
missed, misnamed or misplaced once, or a clean function fails once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from figures import print_table, read_json, tell, write_json

ROOT = Path(__file__).parents[2]
SUBJECTS = ("state", "runtime", "libraries", "django")
ASPECTS = ("found", "named", "located")
Seen = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Observe, print, and return the exit code."""
    options = parse(arguments)
    records = [record for path in options.read for record in read_json(path)] or measure(options)
    wrong = show(records)
    return 1 if wrong else 0


def measure(options: argparse.Namespace) -> list[Seen]:
    """Return what is said of each case, in each repetition, with each Python."""
    records: list[Seen] = []
    for python in options.pythons:
        for number in range(1, options.repeats + 1):
            for subject in options.subjects:
                for temperature in options.temperatures:
                    tell(f"{python}: {subject}, {temperature}, {number} of {options.repeats}")
                    records += observe(python, subject, temperature)
                    write_json(options.json, records)
    return records


def observe(python: str, subject: str, temperature: str) -> list[Seen]:
    """Return what is said of the cases of a subject, in a process of its own."""
    command = [python, "-m", "tests.leaks.observe", subject, temperature]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True, timeout=900)
    if done.returncode:
        tell(f"{' '.join(command)} ended with {done.returncode}")
    cases: list[Seen] = [_broken(done.returncode)] if done.returncode else json.loads(done.stdout)
    origin = {"python": version(python), "subject": subject, "temperature": temperature}
    return [case | origin for case in cases]


def _broken(code: int) -> Seen:
    """Return what stands for a process that ended otherwise: a failure."""
    name = f"(the process ended with {code})"
    return {
        "name": name,
        "leaks": False,
        "passes": False,
        "excused": False,
        "value": None,
        "notes": [],
        "rows": [],
        "calls": 0,
    }


def version(python: str) -> str:
    """Return the version of an interpreter, "3.12.1"."""
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def show(records: list[Seen]) -> int:
    """Print the sums of each Python and every case that is not always right, and return how many those are."""
    settings = sorted({(each["python"], each["temperature"]) for each in records})
    print_table(
        "All cases, all repetitions",
        ("Python", "", "leaks", *ASPECTS, "clean", "failed", "untold", "calls: median", "most"),
        [_sums(*setting, [each for each in records if _setting(each) == setting]) for setting in settings],
        text=2,
    )
    wrong = Counter(
        (*_setting(each), each["subject"], each["name"], fault, _value(each), _said(each))
        for each in records
        for fault in faults(each)
    )
    rows = [(*key[:6], str(count), key[6]) for key, count in sorted(wrong.items())]
    if rows:
        print_table("Not right", ("Python", "", "subject", "case", "fault", "value", "times", "said"), rows, text=8)
    return len(rows)


def faults(seen: Seen) -> list[str]:
    """Return what is not right about what is said of a case."""
    if not seen["leaks"]:
        return [] if seen["passes"] else ["failed"]
    return next(([f"not {aspect}"] for aspect in ASPECTS if not seen[aspect]), [])


def _setting(seen: Seen) -> tuple[str, str]:
    return seen["python"], seen["temperature"]


def _sums(python: str, temperature: str, records: list[Seen]) -> tuple[str, ...]:
    leaks = [each for each in records if each["leaks"]]
    clean = [each for each in records if not each["leaks"]]
    calls = sorted(each["calls"] for each in records)
    counts = (
        len(leaks),
        *(sum(each[aspect] for each in leaks) for aspect in ASPECTS),
        len(clean),
        sum(not each["passes"] for each in clean),
        sum(each["excused"] for each in clean),
        calls[len(calls) // 2],
        calls[-1],
    )
    return (python, temperature, *map(str, counts))


def _value(seen: Seen) -> str:
    return "-" if seen["value"] is None else f"{seen['value']:g}"


def _said(seen: Seen) -> str:
    codes = ",".join(code for code, _ in seen["notes"])
    return f"{codes:.20} {' / '.join(' '.join(row.split()) for row in seen['rows'][:2])}"[:110]


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", default=[sys.executable], help="interpreters that have what tests need")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="processes for each subject (default: 10)")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--temperatures", nargs="+", choices=("cold", "warm"), default=["cold"])
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything that was said there too")
    parser.add_argument("--read", nargs="+", type=Path, default=[], metavar="PATH", help="measure nothing, show these")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
