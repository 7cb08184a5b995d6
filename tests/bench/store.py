"""Builds a store of a large project of synthetic noise, and prints its size and the times of usual questions.

Run it with plain python: `python tests/bench/store.py [--commits 1000] [--tests 1000] [--samples 50]`. It works in a
temporary folder and removes it. Targets for 1,000 x 1,000 x 50: 130 MB, and 50 ms for the history of one test and for
the 20 nearest runs, with the files in the page cache.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from pytest_perfguard.baseline import files
from pytest_perfguard.baseline.folder import FolderStore
from pytest_perfguard.baseline.machine import current_machine
from pytest_perfguard.model import BUILTIN, Commit, Header, Key, Measurement, Series

TIME = BUILTIN["time"]


def main() -> None:
    """Build, measure, print, clean up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--noise", type=float, default=0.01, help="typical relative noise between rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        started = time.perf_counter()
        headers, entropy = build(root, options)
        print(f"built in {time.perf_counter() - started:.0f} s")
        report(root, headers, entropy)


def build(root: Path, options: argparse.Namespace) -> tuple[list[Header], float]:
    """Fill the store; return its headers, oldest first, and the entropy of its samples in bytes."""
    import numpy

    rng = numpy.random.default_rng(1)
    tests = [name_of(number) for number in range(options.tests)]
    # Fast functions are called often enough for a round of 50 us; slow ones once.
    typical = numpy.exp(rng.uniform(math.log(5e4), math.log(5e6), options.tests))
    noise = options.noise * numpy.exp(rng.uniform(-1.0, 1.0, options.tests))
    iterations = [1 if value > 5e5 else 10 ** (number % 4) for number, value in enumerate(typical)]
    store = FolderStore(root)
    headers: list[Header] = []
    machine = current_machine()
    # The time to build is not what is measured here, and a thousand syncs to disk take long.
    with mock.patch.object(files.os, "fsync"), mock.patch.object(FolderStore, "_sweep"):
        for number in range(options.commits):
            drift = numpy.exp(0.01 * rng.standard_normal((options.tests, 1)))
            spread = numpy.exp(noise[:, None] * rng.standard_normal((options.tests, options.samples)))
            values = (typical[:, None] * drift * spread).astype(int).tolist()
            measurements = [
                Measurement(key=Key(test=test), series=(Series(metric=TIME, values=tuple(row), iterations=calls),))
                for test, row, calls in zip(tests, values, iterations, strict=True)
            ]
            headers.append(header_of(number, machine))
            store.save(headers[-1], measurements)
    bits = numpy.log2(typical * noise * math.sqrt(2 * math.pi * math.e)).mean()
    return headers, float(bits) / 8 * options.commits * options.tests * options.samples


def report(root: Path, headers: list[Header], entropy: float) -> None:
    """Print sizes and times."""
    sizes = {
        name: sum(p.stat().st_size for p in (root / name).rglob("*") if p.is_file()) for name in ("runs", "samples")
    }
    for name, size in sizes.items():
        print(f"{name:8} {size / 1e6:7.1f} MB")
    print(f"{'all':8} {sum(sizes.values()) / 1e6:7.1f} MB (entropy of the samples alone: {entropy / 1e6:.1f} MB)")
    nearest = headers[-20:]
    test = FolderStore(root).load(nearest[:1])[0].records[-1].key.test
    machine = headers[0].machine.key
    show("headers of all runs", lambda: FolderStore(root).headers(machine))
    show("history of one test", lambda: FolderStore(root).history(test, "time", machine))
    warm = FolderStore(root)
    warm.headers()
    show("... headers known already", lambda: warm.history(test, "time", machine))
    show("20 nearest runs", lambda: FolderStore(root).load(nearest))
    show("... and all their records", lambda: [list(run.records) for run in FolderStore(root).load(nearest)])
    show("raw samples of one run", lambda: FolderStore(root).samples(nearest[0]))


def show(what: str, ask: Callable[[], Any]) -> None:
    """Print the median time of five calls, after one that fills the page cache."""
    times = []
    for _ in range(6):
        gc.collect()
        started = time.perf_counter()
        ask()
        times.append(time.perf_counter() - started)
    print(f"{what:27} {statistics.median(times[1:]) * 1e3:7.1f} ms")


def header_of(number: int, machine: Any) -> Header:
    """Return a header such as the plugin makes."""
    sha = hashlib.sha1(str(number).encode()).hexdigest()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_700_000_000 + number * 3600))
    commit = Commit(
        sha=sha, tree=hashlib.sha1(sha.encode()).hexdigest(), parents=(hashlib.sha1(b"p").hexdigest(),),
        branch="main", subject=f"Change number {number} of something or other", time=1_700_000_000 + number * 3600,
    )  # fmt: skip
    return Header(
        run_id=f"{created[:19].replace(':', '')}-{sha[30:38]}", created=created, commit=commit, machine=machine,
        versions=(("python", "3.12.1"), ("pytest", "9.0.1"), ("pytest-perfguard", "0.1.0")),
        metrics=tuple(BUILTIN.values()), hash_seed="0",
    )  # fmt: skip


def name_of(number: int) -> str:
    """Return the id of a test: files of 25 tests on one subject each."""
    subject = SUBJECTS[number // 25 % len(SUBJECTS)]
    action = ("creates", "lists", "updates", "deletes", "exports")[number % 5]
    return f"tests/{subject}/test_{subject}_{number // 200}.py::test_{action}_{subject}[{number % 25 // 5}]"


SUBJECTS = ("orders", "invoices", "render", "search", "users", "export", "parser", "cache")

if __name__ == "__main__":
    main()
