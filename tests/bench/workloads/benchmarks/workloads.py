"""The workloads as one parametrised benchmark of asv."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from bench_subject.size import UNITS
from bench_subject.workloads import WORKLOADS


class Suite:
    """Each workload in a process of its own, as asv does by default."""

    params = tuple(WORKLOADS)
    param_names = ("name",)

    def setup(self, name: str) -> None:
        self.stack = contextlib.ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="perfguard-bench-")))
        self.work = self.stack.enter_context(WORKLOADS[name](UNITS, folder))

    def teardown(self, name: str) -> None:
        self.stack.close()

    def time_workload(self, name: str) -> None:
        self.work()
