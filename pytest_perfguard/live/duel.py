"""One pair of workers: both run the same tests in lockstep and are measured in turns, ABBA or BAAB."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_perfguard.live.process import Worker
from pytest_perfguard.live.wire import Message

BASE, HEAD = 0, 1
"""Places of the two sides in everything that has one entry for each."""

HARD_QUADS = 3
"""Quads are made again where they had to be dropped, up to so many times the number that is wanted."""

SPOILT = 8.0
"""A short block that took so many times longer on the wall than it ran is left out, with its quad."""

LONG_BLOCK = 0.005
"""Seconds of a block that the system hardly ever lets anybody run at a stretch where others wait: having waited says
nothing of it."""

USUAL_BLOCK = 0.002
"""Seconds of a block, where a call is short enough."""

STEADY_QUADS = 4
"""Quads of blocks of the usual length in one pair, where starting a pair is cheap against measuring in it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Seconds that one block of calls took, a call."""

    time: float
    wall: float
    cpu: float

    @property
    def waiting(self) -> float:
        """How many times longer it took on the wall than it ran."""
        return self.wall / max(self.time, 1e-12)


@dataclass(slots=True)
class Measured:
    """What a pair found out about one measurement: blocks of base and of head, equally many."""

    base: list[Block] = field(default_factory=list)
    head: list[Block] = field(default_factory=list)
    iterations: int = 1
    dropped: int = 0
    parallel: bool = False


@dataclass(slots=True)
class Result:
    """What a pair found out about one test."""

    measured: dict[str, Measured] = field(default_factory=dict)
    """By the name of the measurement; "" is the test's body."""
    ran: list[Message] = field(default_factory=lambda: [{}, {}])
    """The last thing that either side said of the test: its reports, and what it recorded by itself."""
    lone: dict[str, str] = field(default_factory=dict)
    """Measurements that only one side made, with the name of that side."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What is wanted of a pair for one test."""

    test: str
    following: str | None = None
    """The test that this pair runs after it."""
    body: bool = False
    """Whether the whole body is measured: it is run again, with its fixtures, for each block."""
    iterations: Mapping[str, int] = field(default_factory=dict)
    """Calls a block, for the measurements where they are known already."""
    effort: float = 1.0
    """How much longer than usual to measure: more where starting a pair is expensive against measuring in it."""
    timeout: float = 300.0


class Duel:
    """A pair of workers that have collected their tests; it knows nothing of what the times mean."""

    def __init__(
        self, workers: Sequence[Worker], *, dice: random.Random, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._dice = dice
        self._now = now

    def measure(self, visit: Visit) -> Result:
        """Run a test on both sides and measure all that it measures; raises `WorkerDiedError`."""
        started = self._now()
        result = Result()
        if visit.body:
            self._repeat(visit, result, fresh=True)
        else:
            self._measure_calls(visit, result)
        result.seconds = self._now() - started
        return result

    def exact(self, visit: Visit) -> list[Message]:
        """Run a test once more on each side for the instruments that would disturb times; raises `WorkerDiedError`."""
        order = {"do": "exact", "test": visit.test, "following": visit.following}
        return [worker.ask(order, visit.timeout) for worker in self._workers]

    def sentinel(self, timeout: float) -> Measured:
        """Measure a piece of work that is the same on both sides; raises `WorkerDiedError`."""
        result = Result()
        self._lockstep({"do": "sentinel"}, Visit(test="", timeout=timeout), result)
        return result.measured.get("sentinel", Measured())

    def finish(self) -> None:
        """Let both sides end."""
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.finish()

    def _measure_calls(self, visit: Visit, result: Result) -> None:
        self._lockstep(_order(visit, last=True), visit, result)
        once = [set(said.get("times", {})) - result.measured.keys() for said in result.ran]
        for place, names in enumerate(once):
            result.lone.update(dict.fromkeys(names - once[1 - place], self._workers[place].side.name))
        if once[BASE] & once[HEAD] and _passed(result):
            self._repeat(visit, result, fresh=False)

    def _lockstep(self, order: Message, visit: Visit, result: Result) -> None:
        """Give both sides the same order and measure wherever both stand ready for the same measurement."""
        said: list[Message] = [{}, {}]
        for place in self._either_order():
            said[place] = self._workers[place].ask(order, visit.timeout)
        while any(message["at"] == "ready" for message in said):
            names = {message.get("name") for message in said}
            together = len(names) == 1 and all(message["at"] == "ready" for message in said)
            if together:
                name = said[BASE]["name"]
                measured = result.measured.setdefault(name, Measured())
                self._measure_blocks(said, measured, visit)
            for place in self._either_order():
                if said[place]["at"] == "ready":
                    if not together:
                        result.lone[said[place]["name"]] = self._workers[place].side.name
                    said[place] = self._workers[place].ask({"do": "go"}, visit.timeout)
        result.ran = said

    def _measure_blocks(self, said: list[Message], measured: Measured, visit: Visit) -> None:
        """Measure quads of blocks; where a side's call raises in one, what it then said is left in `said`."""
        limit = min(message["limit"] for message in said)
        wanted = round((said[BASE]["iterations"] * said[HEAD]["iterations"]) ** 0.5)
        measured.iterations = iterations = max(1, min(wanted, limit))
        measured.parallel = any(message["parallel"] for message in said)
        seconds = sum(message["seconds"] for message in said) / 2 * iterations
        order = {"do": "block", "iterations": iterations, "free": measured.parallel}
        wanted = quads_wanted(seconds, visit.effort)
        for _ in range(HARD_QUADS * wanted):
            quad: list[list[Block]] = [[], []]
            first = self._dice.randrange(2)
            for place in (first, 1 - first, 1 - first, first):
                answer = self._workers[place].ask(order, visit.timeout)
                if answer["at"] != "block":
                    said[place] = answer
                    return
                quad[place].append(_block(answer, iterations))
            if _keep(quad, measured) == wanted:
                return

    def _repeat(self, visit: Visit, result: Result, *, fresh: bool) -> None:
        """Run the whole test again and again, in turns, and collect what it timed once in each run.

        The first run of each side warms up and is not counted.
        """
        if fresh:
            for place in self._either_order():
                result.ran[place] = self._run(place, visit)
        tried, done, wanted = 0, 0, 1
        while done < wanted and tried < HARD_QUADS * wanted and _passed(result):
            begun = self._now()
            runs = self._run_quad(visit, result)
            if runs is None:
                break
            tried += 1
            wanted = quads_wanted((self._now() - begun) / 4, visit.effort, most=HARD_QUADS * STEADY_QUADS)
            for name in set.intersection(*(set(answer["times"]) for side in runs for answer in side)):
                quad = [[_block(answer["times"][name], 1) for answer in side] for side in runs]
                measured = result.measured.setdefault(name, Measured())
                measured.parallel |= any(answer.get("parallel", False) for side in runs for answer in side)
                done = max(done, _keep(quad, measured))
        for place, worker in enumerate(self._workers):
            left = worker.ask({"do": "leave", "following": visit.following}, visit.timeout)
            if left.get("reports"):  # a fixture of a wider scope raised when it was torn down
                result.ran[place]["reports"] = [*result.ran[place].get("reports", ()), *left["reports"]]

    def _run_quad(self, visit: Visit, result: Result) -> list[list[Message]] | None:
        """Return what the four runs of a quad said, None where one did not pass, which is then in `result`."""
        runs: list[list[Message]] = [[], []]
        first = self._dice.randrange(2)
        for place in (first, 1 - first, 1 - first, first):
            answer = self._run(place, visit)
            if answer["outcome"] != "passed":
                result.ran[place] = answer
                return None
            runs[place].append(answer)
        return runs

    def _run(self, place: int, visit: Visit) -> Message:
        """Run a test on one side without measuring what could be repeated within; its fixtures stay for another run."""
        said = self._workers[place].ask(_order(visit, last=False), visit.timeout)
        while said["at"] == "ready":
            said = self._workers[place].ask({"do": "go"}, visit.timeout)
        return said

    def _either_order(self) -> tuple[int, int]:
        first = self._dice.randrange(2)
        return first, 1 - first


def quads_wanted(block: float, effort: float, most: int = 24) -> int:
    """Return how many quads a measurement is given whose blocks take `block` seconds.

    Shorter blocks are noisier and cost less, so that there are more of them; of longer ones there are only somewhat
    fewer, since a second quad is worth more than what it costs beside warming up.
    """
    share = USUAL_BLOCK / max(block, 1e-9)
    factor = min(math.sqrt(share), 3.0) if share > 1 else share**0.25
    return max(1, min(round(STEADY_QUADS * factor * effort), most))


def _order(visit: Visit, *, last: bool) -> Message:
    known = dict(visit.iterations) if last else {}
    return {"do": "run", "test": visit.test, "following": visit.following, "last": last, "iterations": known}


def _passed(result: Result) -> bool:
    return all(said.get("outcome") == "passed" for said in result.ran)


def _keep(quad: list[list[Block]], measured: Measured) -> int:
    """Add a quad that is not spoilt, and return how many there are now."""
    waiting = max(block.waiting for side in quad for block in side)
    short = max(block.time for side in quad for block in side) * measured.iterations < LONG_BLOCK
    if short and waiting > SPOILT:
        measured.dropped += 1
    else:
        measured.base.extend(quad[BASE])
        measured.head.extend(quad[HEAD])
    return len(measured.base) // 2


def _block(answer: Mapping[str, Any], iterations: int) -> Block:
    factor = 1e-9 / iterations
    return Block(time=answer["time"] * factor, wall=answer["wall"] * factor, cpu=answer["cpu"] * factor)
