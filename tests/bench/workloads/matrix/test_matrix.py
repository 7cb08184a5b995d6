"""The workloads as a matrix of benchmatrix: one implementation, the workloads as its cases, latency as the metric."""

from __future__ import annotations

import atexit
import contextlib
import tempfile
from pathlib import Path

from bench_subject.size import UNITS
from bench_subject.workloads import WORKLOADS, Work
from benchmatrix import BenchmarkCase, make_benchmark_test

STACK = contextlib.ExitStack()
atexit.register(STACK.close)
FOLDER = Path(STACK.enter_context(tempfile.TemporaryDirectory(prefix="perfguard-bench-")))


def call(work: Work) -> object:
    """Do the work."""
    return work()


test_matrix = make_benchmark_test(
    {"call": call},
    [
        BenchmarkCase.from_values(name, STACK.enter_context(workload(UNITS, FOLDER)))
        for name, workload in WORKLOADS.items()
    ],
    metrics=["single_call_latency"],
)
