"""How pairs of workers are started: their environment, their arguments, and what they must not have imported."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import layout
from pytest_perfguard.live.duel import BASE, HEAD, Duel
from pytest_perfguard.live.process import START_SECONDS, Groups, Launch, start_pair
from pytest_perfguard.live.sides import Side, Sides
from pytest_perfguard.live.wire import Message

WORKER = "pytest_perfguard.plugin.live_worker"
"""The plugin that makes a run of pytest the worker of a comparison."""

_PRIVATE = ("PERFGUARD_AGAINST", "PERFGUARD_LIVE", "COV_CORE_", "COVERAGE_PROCESS_", "PYTEST_XDIST_", "PYTEST_CURRENT_")
"""Beginnings of variables that are the coordinator's own, or would have workers measured by others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how pairs are started."""

    sides: Sides
    arguments: tuple[str, ...]
    """The user's own arguments of pytest."""
    files: tuple[Path, ...]
    """The files to be collected, as paths of head's own tree."""
    folder: Path
    """For everything that is written; somebody else removes it."""
    groups: Groups
    here: bool
    """Whether the folder that pytest is started in is on the import path, as with `python -m pytest`."""
    pin: Callable[[Path, Side], dict[str, str]]
    """Writes what pins a side's imports into a folder and returns the variables for it."""
    home: Path
    """The top of the user's own tree, which paths in `arguments` may name."""
    ini: Path | None
    timeout: float
    caches: bool = True
    """Whether pytest's cache is on, whose folder must be each side's own."""

    @contextlib.contextmanager
    def open_pair(self, number: int, core: int | None) -> Iterator[Duel]:
        """Start a pair that has collected its tests, bound to a processor, and end it; raises `WorkerDiedError`.

        Raises `MeasurementError` where a side imported what belongs to the other.
        """
        launches = _launches(self, number)
        workers = start_pair(launches, self.groups, random.randrange(1 << 30))  # noqa: S311 - no secret
        try:
            for worker in workers:
                worker.send(_hello(self, worker.side))
            for worker in workers:
                said = worker.receive(max(self.timeout, START_SECONDS))
                if worker.side.pins and not said["pinned"]:
                    raise MeasurementError(
                        f"{worker.side.name} could not be kept from importing what belongs to the other side: its "
                        "interpreter loads no sitecustomize; start pytest without -E, -I and -S"
                    )
            for worker in workers:
                worker.ask({"do": "bind", "core": core}, self.timeout)
            duel = Duel(workers, dice=random.Random())  # noqa: S311 - no secret
            yield duel
            duel.finish()
        finally:
            for worker in workers:
                worker.end()
            for launch in launches:
                launch.log.unlink(missing_ok=True)
                shutil.rmtree(self.folder / f"{launch.side.name}-{number}", ignore_errors=True)


def _launches(bench: Bench, number: int) -> list[Launch]:
    """Return how the two workers of a pair are started; they share the seed of hashes, which the next pair does not."""
    seed = str(random.randrange(1, 2**32))  # noqa: S311 - no secret
    flags = interpreter_flags() if bench.here else (*interpreter_flags(), "-P")
    launches = []
    for place, side in enumerate((bench.sides.base, bench.sides.head)):
        folder = bench.folder / f"{side.name}-imports"
        folder.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        environment |= bench.pin(folder, side)
        environment["PATH"] = os.pathsep.join(filter(None, (str(Path(side.python).parent), environment.get("PATH"))))
        environment |= {
            "PYTHONHASHSEED": seed,
            layout.PADDING: "x" * random.randrange(4096),  # noqa: S311 - no secret
            "PERFGUARD_SIDE": side.name,
            "PYTEST_XDIST_WORKER": _worker_id(place),
            "PYTEST_XDIST_WORKER_COUNT": "2",
        }
        launches.append(
            Launch(
                side=side,
                command=(*flags, "-m", "pytest", *_arguments(bench, side, number)),
                environment=environment,
                log=bench.folder / f"{side.name}-{number}.log",
            )
        )
    return launches


def _arguments(bench: Bench, side: Side, number: int) -> list[str]:
    """Return the user's own arguments, as they are in the tree of `side`, and those that keep the sides apart."""
    arguments = [_moved(argument, bench, side) for argument in bench.arguments]
    arguments += [f"--rootdir={side.root}", f"--basetemp={bench.folder / f'{side.name}-{number}'}"]
    arguments += ["-o", f"cache_dir={bench.folder / f'{side.name}-cache'}"] if bench.caches else []
    arguments += ["-p", WORKER]
    if bench.ini is not None:
        arguments += ["-c", _moved(str(bench.ini), bench, side)]
    return arguments


def _hello(bench: Bench, side: Side) -> Message:
    """Return the first message to a worker: what it is to collect, and as what it passes with other plugins."""
    place = BASE if side.name == bench.sides.base.name else HEAD
    identity = {"workerid": _worker_id(place), "workercount": 2, "testrunuid": bench.folder.name, "mainargv": []}
    return {"files": [_moved(str(path), bench, side) for path in bench.files], "workerinput": identity}


def _moved(text: str, bench: Bench, side: Side) -> str:
    if side.tree == bench.home:
        return text
    return re.sub(rf"(?<![\w.\-/]){re.escape(str(bench.home))}(?=$|[/:])", lambda _: str(side.tree), text)


def _worker_id(place: int) -> str:
    """Return the name that plugins and fixtures made for pytest-xdist know a side by."""
    return ("gw1", "gw0")[place]


def interpreter_flags() -> tuple[str, ...]:
    """Return the flags that this interpreter was started with and a worker's must be, too."""
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    return tuple(flag for flag in _args_from_interpreter_flags() if flag not in ("-E", "-I", "-S", "-s"))
