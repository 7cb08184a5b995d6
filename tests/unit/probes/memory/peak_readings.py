"""Readings of memory in a fresh process, where no plugin of pytest has threads or sockets."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

_HEADER = """
import json, os, sys, threading, time
from pathlib import Path
from pytest_perfguard.probes.memory.peak import child, probe as peak
from pytest_perfguard.probes.memory.peak.probe import PeakProbe

MIB = 1024 * 1024

def read(call):
    probe = PeakProbe()
    token = probe.start()
    try:
        call()
    except BaseException:
        probe.stop(token)
        raise
    return probe.stop(token)

def show(*readings):
    for reading in readings:
        lines = [line for detail in reading.details for line in detail.lines]
        print(json.dumps({
            "value": reading.values["memory"],
            "reason": lines[0].partition("copy of it: ")[2] if lines else "",
            "notes": [note.code for note in reading.notes],
        }))
"""


def run(code, *, options=(), accept=0):
    """Return what `code` showed of its readings, and the other lines it printed."""
    program = f"{_HEADER}\n{textwrap.dedent(code)}"
    command = [sys.executable, "-W", "error", *options, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == accept, done.stderr
    assert not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in lines if line[:1] == "{"], [line for line in lines if line[:1] != "{"]
