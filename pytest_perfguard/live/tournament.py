"""All pairs of a comparison: who runs in the next one, until everything is decided or the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pytest_perfguard.live import machine
from pytest_perfguard.live.duel import BASE, HEAD, Block, Duel, Measured, Result, Visit
from pytest_perfguard.live.process import WorkerDiedError
from pytest_perfguard.live.wire import Message
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.pairs import Replicate, Stage, Trial

SENTINEL = Key(test="", name="sentinel")
"""The measurement that is the same on both sides."""

EXACT_PAIRS = 2
"""Pairs in which exact metrics are counted: with two, what depends on the hash seed shows."""

_FAILURES = 3
"""Pairs that cannot start, after which no more are tried."""

LEAST_SECONDS = 60.0
"""What a comparison may take by itself, however few tests there are: starting pairs is most of the cost of few."""

_FATES = {"failed": "failed", "skipped": "was skipped", "missing": "does not exist"}

_START_SECONDS = 1.5
"""What starting a pair is expected to take before one was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A test that takes part."""

    test: str
    body: bool
    """Whether its whole body is measured, because it has no fixture to say what."""
    exact: bool
    """Whether there are metrics that need a pass of their own."""
    margin: float | None = None
    timed: bool = True
    """Whether its time is wanted at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is still wanted for one measurement."""

    stage: Stage | None
    """What further pairs would be for; None where it is decided."""
    urgency: float = 0.0
    """Who comes first where the time is not enough for all: the highest."""
    remaining: int = 0
    """Pairs until it will probably be decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a comparison has come, for a display; seconds."""

    pair: int
    test: str
    place: int
    tests: int
    elapsed: float
    expected: float
    undecided: int


@dataclass(slots=True)
class Findings:
    """Everything that came out of a comparison."""

    trials: dict[Key, Trial] = field(default_factory=dict)
    said: dict[str, list[Message]] = field(default_factory=dict)
    """What base and head said of each test when they ran it first."""
    exact: dict[str, list[list[Message]]] = field(default_factory=dict)
    """What base and head counted for each test, in each pair that counted."""
    head: dict[Key, tuple[int, list[Block]]] = field(default_factory=dict)
    """Calls a block, and all blocks of head."""
    broken: dict[str, str] = field(default_factory=dict)
    """Tests that ended a process, or did not pass again, with the reason."""
    ended_by: dict[str, str] = field(default_factory=dict)
    """Tests that ended a process, with the side that it was of."""
    lone: dict[Key, str] = field(default_factory=dict)
    """Measurements that only one side made, with its name."""
    sentinel: Trial = field(default_factory=lambda: Trial(key=SENTINEL))
    failures: list[str] = field(default_factory=list)
    """Why pairs could not start."""
    pairs: int = 0
    blocks: int = 0
    dropped: int = 0
    seconds: float = 0.0
    steal: float | None = None
    overtime: bool = False
    """Whether the time was over before everything was decided."""


OpenPair = Callable[[int, int | None], AbstractContextManager[Duel]]
"""Starts a pair: its number, and the processor that it is bound to."""

Referee = Callable[[Mapping[Key, Trial]], Mapping[Key, Standing]]
"""Says what is still wanted, of what is known."""


class Tournament:
    """Carries out pair after pair."""

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        open_pair: OpenPair,
        referee: Referee,
        seconds_each: float,
        seconds: float | None = None,
        timeout: float = 300.0,
        cores: Sequence[int] = (),
        progress: Callable[[Progress], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` is for all, or None for `seconds_each` times the number of measurements."""
        self.findings = Findings()
        self._entries = {entry.test: entry for entry in entries}
        self._open_pair = open_pair
        self._referee = referee
        self._seconds_each, self._seconds = seconds_each, seconds
        self._timeout = timeout
        self._cores = tuple(cores)
        self._progress = progress
        self._now = now
        self._begun = now()
        self._lost = 0  # pairs that could not start, since one that could
        self._start_cost = _START_SECONDS
        self._costs: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._iterations: dict[Key, int] = {}
        self._standings: Mapping[Key, Standing] = {}

    def play(self) -> Findings:
        """Return the findings when everything is decided or the time is over.

        Raises `WorkerDiedError` where no pair can start.
        """
        before = machine.stolen()
        tests = list(self._entries)
        while tests and self._lost < _FAILURES:
            self._play_pair(tests)
            self._standings = self._referee(self.findings.trials)
            tests = self._next(self._undecided())
        self.findings.seconds = self._now() - self._begun
        after = machine.stolen()
        if before is not None and after is not None and after[1] > before[1]:
            self.findings.steal = (after[0] - before[0]) / (after[1] - before[1])
        return self.findings

    @property
    def _budget(self) -> float:
        if self._seconds is not None:
            return self._seconds
        trials = self.findings.trials
        measurements = len(trials) + len(self._entries.keys() - {key.test for key in trials})
        return max(self._seconds_each * measurements, LEAST_SECONDS)

    def _undecided(self) -> list[str]:
        """Return the tests of which more is wanted, the most urgent first."""
        urgency: dict[str, float] = {}
        for key, standing in self._standings.items():
            if standing.stage is not None and key.test not in self.findings.broken:
                urgency[key.test] = max(urgency.get(key.test, 0.0), standing.urgency)
        for test, entry in self._entries.items():
            if self._counts(entry) and test in self.findings.exact:
                urgency.setdefault(test, 0.0)
        return sorted(urgency, key=lambda test: -urgency[test])

    def _next(self, undecided: Sequence[str]) -> list[str]:
        """Return the tests of the next pair, in the suite's order: those for which the rest of the time is enough."""
        rest = self._budget - (self._now() - self._begun) - self._start_cost
        chosen = set()
        # Who has had his share waits for the others, lest one slow test take the time of all.
        share = self._budget / len(self._entries)
        hungry = [test for test in undecided if self._spent.get(test, 0.0) < share]
        for test in hungry or undecided:
            cost = self._costs.get(test, 0.0)
            if cost <= rest:
                chosen.add(test)
                rest -= cost
        if undecided and not chosen:
            self.findings.overtime = True
        return [test for test in self._entries if test in chosen]

    def _play_pair(self, tests: Sequence[str]) -> None:
        """Run a pair over `tests`; where one of them ends a process, the others go on in another pair."""
        rest = list(tests)
        while rest:
            self.findings.pairs += 1
            number = self.findings.pairs
            core = self._cores[self.findings.pairs % len(self._cores)] if self._cores else None
            started = self._now()
            try:
                pair = self._open_pair(number, core)
                with pair as duel, machine.aside(core):
                    ready = self._now()
                    rest = self._play_tests(duel, rest, core, self._start_cost / len(rest))
                    done = self._now()
                self._start_cost = ready - started + self._now() - done
                self._lost = 0
            except WorkerDiedError as error:
                if not self.findings.said:
                    raise
                # What was found before stands.
                self.findings.failures.append(str(error))
                self._lost += 1
                if self._lost >= _FAILURES:
                    self.findings.overtime = True
                    return

    def _play_tests(self, duel: Duel, tests: list[str], core: int | None, share: float) -> list[str]:
        """Run tests in one pair and return those that were left when one of them ended it."""
        self._watch(duel, core)
        usual = max(1.0, min((share / 0.1) ** 0.5, 4.0))
        for place, test in enumerate(tests):
            following = tests[place + 1] if place + 1 < len(tests) else None
            if self._progress is not None:
                self._progress(self._state(test, place, len(tests)))
            late = self._now() - self._begun > self._budget
            if place and late and test in self.findings.said:
                return []
            effort = 0.0 if late else usual  # a test is run once in any case, to be reported
            started = self._now()
            try:
                self._visit(duel, self._entries[test], following, core, effort, share)
            except WorkerDiedError as error:
                self.findings.broken[test] = str(error)
                self.findings.ended_by[test] = error.side
                return tests[place + 1 :]
            self._costs[test] = cost = self._now() - started
            self._spent[test] = self._spent.get(test, 0.0) + cost
        return []

    def _visit(
        self, duel: Duel, entry: Entry, following: str | None, core: int | None, effort: float, share: float
    ) -> None:
        known = {key.name: count for key, count in self._iterations.items() if key.test == entry.test}
        visit = Visit(
            test=entry.test, following=following, body=entry.body and entry.timed, iterations=known, effort=effort,
            timeout=self._timeout,
        )  # fmt: skip
        count = self._counts(entry)
        if entry.timed or not entry.exact:
            self._keep(entry, duel.measure(replace(visit, following=entry.test) if count else visit), core, share)
        if self._counts(entry):
            said = duel.exact(visit)
            self.findings.exact.setdefault(entry.test, []).append(said)
            self.findings.said.setdefault(entry.test, said)

    def _counts(self, entry: Entry) -> bool:
        """Return whether a test is still to be run for the instruments that are no clock."""
        known = len(self.findings.exact.get(entry.test, ()))
        return entry.exact and known < EXACT_PAIRS and entry.test not in self.findings.broken

    def _keep(self, entry: Entry, result: Result, core: int | None, share: float) -> None:
        findings = self.findings
        first = entry.test not in findings.said
        findings.said.setdefault(entry.test, result.ran)
        failed = [
            f"{_FATES[said['outcome']]} on {side} ({said.get('why') or 'no reason given'})"
            for side, said in zip(("base", "head"), result.ran, strict=True)
            if said["outcome"] != "passed"
        ]
        if failed:
            again = "" if first else f", in pair {findings.pairs}, after it had passed"
            findings.broken.setdefault(entry.test, f"it {' and '.join(failed)}{again}")
            return
        for name, side in result.lone.items():
            findings.lone.setdefault(Key(test=entry.test, name=name), side)
        for name, measured in result.measured.items():
            key = Key(test=entry.test, name=name)
            self._iterations.setdefault(key, measured.iterations)
            stage = standing.stage if (standing := self._standings.get(key)) is not None else Stage.SEARCH
            trial = findings.trials.get(key) or Trial(key=key, margin=entry.margin)
            if stage is not None:
                replicate = self._replicate(measured, stage, core, (result.seconds + share) / len(result.measured))
                if replicate is not None:
                    trial = replace(trial, replicates=(*trial.replicates, replicate))
            findings.trials[key] = replace(trial, parallel=trial.parallel or measured.parallel)
            findings.head.setdefault(key, (measured.iterations, []))[1].extend(measured.head)

    def _watch(self, duel: Duel, core: int | None) -> None:
        replicate = self._replicate(duel.sentinel(self._timeout), Stage.SEARCH, core, 0.0)
        if replicate is not None:
            sentinel = self.findings.sentinel
            self.findings.sentinel = replace(sentinel, replicates=(*sentinel.replicates, replicate))

    def _replicate(self, measured: Measured, stage: Stage, core: int | None, seconds: float) -> Replicate | None:
        self.findings.blocks += 2 * len(measured.base) + 4 * measured.dropped
        self.findings.dropped += 4 * measured.dropped
        if not measured.base:
            return None
        return Replicate(
            pair=self.findings.pairs,
            stage=stage,
            base=tuple(block.time for block in measured.base),
            head=tuple(block.time for block in measured.head),
            base_cpu=tuple(block.cpu for block in measured.base),
            head_cpu=tuple(block.cpu for block in measured.head),
            dropped=measured.dropped,
            core=None if measured.parallel else core,
            seconds=seconds,
        )

    def _state(self, test: str, place: int, tests: int) -> Progress:
        elapsed = self._now() - self._begun
        wanted = [standing.remaining for standing in self._standings.values() if standing.stage is not None]
        pair = self._start_cost + sum(self._costs.values())
        rest = pair * max(wanted, default=8) if wanted or self.findings.pairs == 1 else pair
        return Progress(
            pair=self.findings.pairs, test=test, place=place, tests=tests, elapsed=elapsed,
            expected=min(elapsed + rest, max(self._budget, elapsed)), undecided=len(wanted) or tests,
        )  # fmt: skip


__all__ = ["BASE", "HEAD", "Entry", "Findings", "Progress", "Standing", "Tournament"]
