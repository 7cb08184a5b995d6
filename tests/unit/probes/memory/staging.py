"""Calls as a runner makes them, until an instrument in stages has its value."""

from __future__ import annotations

from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.memory.retained.probe import RetainedProbe


def measure(call, between=lambda: None):
    """Return the final reading of `retained`, and how many calls it took."""
    probe = RetainedProbe()
    stage = Stage(probe=probe, warmup=probe.warmup, rounds=probe.rounds)
    stages, calls = [], 0
    while True:
        readings = []
        for number in range(stage.warmup + stage.rounds):
            token = stage.probe.start()
            call()
            reading = stage.probe.stop(token)
            calls += 1
            between()
            if number >= stage.warmup:
                readings.append(reading)
        stages.append(readings)
        found = probe.proceed(stages)
        if isinstance(found, Reading):
            return found, calls
        stage = found
