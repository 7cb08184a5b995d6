"""The table of sources: what it says of each is what its own module says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_perfguard.probes.queries.sources import SOURCES
from pytest_perfguard.probes.watch.source import Source


@pytest.mark.parametrize("source", SOURCES, ids=[source.name for source in SOURCES])
def test_the_table_repeats_the_sources(source):
    own = source._load()
    assert isinstance(own, Source)
    assert (own.name, own.module) == (source.name, source.module)


def test_no_source_is_loaded_without_its_library():
    script = (
        "import sys; from pytest_perfguard.probes.queries import QueryProbe\n"
        "import sqlite3; probe = QueryProbe(); token = probe.start(); sqlite3.connect(':memory:').execute('SELECT 1')\n"
        "print(probe.stop(token).values)\n"
        "home = 'pytest_perfguard.probes.queries.sources.'\n"
        "print(sorted(name.removeprefix(home) for name in sys.modules if name.startswith(home)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    counts, loaded = done.stdout.splitlines()
    assert counts == "{'queries': 1, 'reads': 1, 'writes': 0}"
    assert (
        loaded == "['sqlite3', 'sqlite3_classes', 'sqlite3_methods', 'sqlite3_open', 'sqlite3_plans', 'sqlite3_trace']"
    )
