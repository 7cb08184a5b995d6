"""What is measured: names, units and how values of a metric are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pytest_perfguard.quantity import Unit


class Nature(StrEnum):
    """How the values of a metric behave when the code does not change."""

    TIMED = "timed"
    """They vary from call to call and from process to process: judged statistically."""
    EXACT = "exact"
    """They are the same in every run, up to a stated tolerance: compared exactly."""


class Better(StrEnum):
    """Which direction is an improvement."""

    LOWER = "lower"
    HIGHER = "higher"


class Reduce(StrEnum):
    """How the rounds of one process become its one value."""

    LOW = "low"
    """The 10 % quantile: noise only ever adds time, and one lucky round must not decide."""
    MINIMUM = "minimum"
    MEDIAN = "median"
    MAXIMUM = "maximum"
    SLOPE = "slope"
    """What the values grow by from one to the next: the median of all slopes between two of them (Theil-Sen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The difference that an exact metric may show without a change of the code."""

    absolute: float = 0.0
    relative: float = 0.0

    def around(self, value: float) -> float:
        """Return the tolerated difference from `value`, in its unit."""
        return max(self.absolute, self.relative * abs(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The definition of one measured quantity; stored values are integers of `scale` base units."""

    name: str
    unit: Unit
    nature: Nature
    description: str
    better: Better = Better.LOWER
    reduce: Reduce = Reduce.MAXIMUM
    scale: float = 1.0
    tolerance: Tolerance = field(default_factory=Tolerance)
    samples: bool = False
    """Whether raw samples are kept beside the summary."""
    compared: bool = True
    """Whether it is compared with baselines; False for what is recorded beside another metric."""


_NS = 1e-9

TIME = Metric(
    name="time", unit=Unit.SECONDS, nature=Nature.TIMED, reduce=Reduce.LOW, scale=_NS, samples=True,
    description="wall time of a call, less the time its thread waited for a processor (Linux); elsewhere wall time",
)  # fmt: skip
WALL = Metric(
    name="wall", unit=Unit.SECONDS, nature=Nature.TIMED, reduce=Reduce.LOW, scale=_NS, compared=False,
    description="wall time of a call as the clock on the wall shows it",
)  # fmt: skip
CPU = Metric(
    name="cpu", unit=Unit.SECONDS, nature=Nature.TIMED, reduce=Reduce.LOW, scale=_NS, compared=False,
    description="processor time that the calling thread used in a call",
)  # fmt: skip
REFERENCE = Metric(
    name="reference", unit=Unit.SECONDS, nature=Nature.TIMED, reduce=Reduce.LOW, scale=_NS, samples=True,
    compared=False,
    description="time of a fixed piece of work run beside each round: how fast the machine was then",
)  # fmt: skip
MEMORY = Metric(
    name="memory", unit=Unit.BYTES, nature=Nature.EXACT, reduce=Reduce.MEDIAN,
    tolerance=Tolerance(absolute=2 * 1024 * 1024, relative=0.05),
    description="peak of the process's resident memory during a call, above what it had before",
)  # fmt: skip
RETAINED = Metric(
    name="retained", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MINIMUM,
    description="memory blocks that a call leaves allocated, every time it is called",
)  # fmt: skip
RESULT_SIZE = Metric(
    name="result_size", unit=Unit.BYTES, nature=Nature.EXACT, tolerance=Tolerance(relative=0.01),
    description="size of what a call returns, with everything that it refers to",
)  # fmt: skip
RSS = Metric(
    name="rss", unit=Unit.BYTES, nature=Nature.EXACT, reduce=Reduce.MAXIMUM, compared=False,
    description="resident memory of the process at its highest during a call, with all that it had before",
)  # fmt: skip
RSS_GROWTH = Metric(
    name="rss_growth", unit=Unit.BYTES, nature=Nature.EXACT, reduce=Reduce.SLOPE, compared=False,
    tolerance=Tolerance(absolute=24 * 1024),  # over all calls: what memory that settles comes to
    description="bytes by which the process's resident memory, without pages of files, grows with each of many calls",
)  # fmt: skip
HEAP = Metric(
    name="heap", unit=Unit.BYTES, nature=Nature.EXACT, reduce=Reduce.MEDIAN, tolerance=Tolerance(relative=0.01),
    description="peak of what is allocated during a call, Python's objects and C's blocks (extra memray)",
)  # fmt: skip
ALLOCATIONS = Metric(
    name="allocations", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MEDIAN, tolerance=Tolerance(relative=0.01),
    description="allocations that a call makes, Python's and C's (extra memray)",
)  # fmt: skip
ALLOCATED = Metric(
    name="allocated", unit=Unit.BYTES, nature=Nature.EXACT, reduce=Reduce.MEDIAN, tolerance=Tolerance(relative=0.01),
    description="bytes that a call allocates in all, whether or not it frees them (extra memray)",
)  # fmt: skip
GC_COLLECTIONS = Metric(
    name="gc_collections", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MEDIAN, compared=False,
    description="garbage collections during a call",
)  # fmt: skip
GC_PAUSE = Metric(
    name="gc_pause", unit=Unit.SECONDS, nature=Nature.TIMED, reduce=Reduce.MEDIAN, scale=_NS, compared=False,
    description="time of the longest garbage collection during a call",
)  # fmt: skip


def _left(name: str, description: str) -> Metric:
    return Metric(
        name=name, unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MINIMUM, compared=False, description=description
    )


LEAKED = _left("leaked", "threads, tasks, files, sockets, processes and temporary files that a call leaves")
LEAKED_THREADS = _left("leaked_threads", "threads that a call leaves running")
LEAKED_TASKS = _left("leaked_tasks", "asyncio tasks that a call leaves pending")
LEAKED_FILES = _left("leaked_files", "file descriptors, other than sockets, that a call leaves open")
LEAKED_SOCKETS = _left("leaked_sockets", "sockets that a call leaves open")
LEAKED_PROCESSES = _left("leaked_processes", "child processes that a call leaves running")
LEAKED_TEMPORARY = _left("leaked_temporary", "files and folders that a call leaves in the folder for temporary ones")
QUERIES = Metric(
    name="queries", unit=Unit.COUNT, nature=Nature.EXACT, description="database statements that read or write",
)  # fmt: skip
READS = Metric(
    name="reads", unit=Unit.COUNT, nature=Nature.EXACT, description="database statements that read",
)  # fmt: skip
WRITES = Metric(
    name="writes", unit=Unit.COUNT, nature=Nature.EXACT, description="database statements that write",
)  # fmt: skip


def _beside_queries(name: str, description: str, unit: Unit = Unit.COUNT, nature: Nature = Nature.EXACT) -> Metric:
    """Return the definition of what follows from the statements of a call: it has budgets, and no baseline of its own.

    When the statements change, their number or their list says so; one cause should not be several regressions.
    """
    scale = _NS if unit is Unit.SECONDS else 1.0
    reduce = Reduce.MEDIAN if nature is Nature.TIMED else Reduce.MAXIMUM
    return Metric(
        name=name, unit=unit, nature=nature, description=description, reduce=reduce, scale=scale, compared=False
    )


ROUND_TRIPS = _beside_queries("round_trips", "times a database was asked and waited for; a batch or pipeline is one")
DUPLICATES = _beside_queries("duplicates", "reads made again with the same parameters, with no write in between")
N_PLUS_ONE = _beside_queries("n_plus_one", "places that read once for each of 3 or more parameter sets in a loop")
BATCHABLE = _beside_queries("batchable", "places that write once for each of 3 or more parameter sets in a loop")
SELECT_STAR = _beside_queries("select_star", "statements that select all columns of a table with *")
ROWS = _beside_queries("rows", "rows that databases gave back")
UNINDEXED = _beside_queries("unindexed", "different statements with a filter or join that no index can serve")
CONNECTIONS_OPENED = _beside_queries("connections_opened", "database connections opened")
CONNECTIONS_LEAKED = _beside_queries("connections_leaked", "connections left open, or not given back to their pool")
POOL_IN_USE = _beside_queries("pool_in_use", "most connections that pools had lent at one time")
SCALING = _beside_queries("scaling", "different statements whose number grows with the data")
QUERY_P95 = _beside_queries("query_p95", "time that 95 % of statements stay within", Unit.SECONDS, Nature.TIMED)
SLOWEST_QUERY = _beside_queries("slowest_query", "time of the slowest statement", Unit.SECONDS, Nature.TIMED)
DB_TIME = _beside_queries("db_time", "time of all statements together", Unit.SECONDS, Nature.TIMED)
POOL_WAIT_P95 = _beside_queries(
    "pool_wait_p95", "time that 95 % of waits for a connection of a pool stay within", Unit.SECONDS, Nature.TIMED
)
HTTP_CALLS = Metric(
    name="http_calls", unit=Unit.COUNT, nature=Nature.EXACT, description="outgoing calls over HTTP",
)  # fmt: skip
CALLS = Metric(
    name="calls", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MINIMUM,
    description="calls of Python and built-in functions",
)  # fmt: skip
WORK = Metric(
    name="work", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MINIMUM,
    description="steps of the interpreter: functions entered, calls made, branches and jumps taken (Python 3.12)",
)  # fmt: skip
INSTRUCTIONS = Metric(
    name="instructions", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MINIMUM,
    tolerance=Tolerance(relative=0.01),
    description="machine instructions of the calling thread, and of threads and processes that it starts (Linux)",
)  # fmt: skip
CALLGRIND = Metric(
    name="callgrind", unit=Unit.COUNT, nature=Nature.EXACT, reduce=Reduce.MINIMUM,
    tolerance=Tolerance(relative=0.01),
    description="machine instructions as valgrind simulates them, in a further run of the test (Linux on x86-64)",
)  # fmt: skip

BUILTIN: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(TIME, WALL, CPU, REFERENCE),
        *(MEMORY, RETAINED, RESULT_SIZE),
        *(RSS, RSS_GROWTH, HEAP, ALLOCATIONS, ALLOCATED, GC_COLLECTIONS, GC_PAUSE),
        *(LEAKED, LEAKED_THREADS, LEAKED_TASKS, LEAKED_FILES, LEAKED_SOCKETS, LEAKED_PROCESSES, LEAKED_TEMPORARY),
        *(QUERIES, READS, WRITES),
        *(ROUND_TRIPS, DUPLICATES, N_PLUS_ONE, BATCHABLE, SELECT_STAR, ROWS, UNINDEXED, SCALING),
        *(QUERY_P95, SLOWEST_QUERY, DB_TIME),
        *(CONNECTIONS_OPENED, CONNECTIONS_LEAKED, POOL_IN_USE, POOL_WAIT_P95),
        *(HTTP_CALLS,),
        *(CALLS, WORK, INSTRUCTIONS, CALLGRIND),
    )
}

OF_CLOCK = frozenset(metric.name for metric in (TIME, WALL, CPU, REFERENCE))
"""Metrics that the clock reads."""

OF_QUERIES = frozenset(
    metric.name
    for metric in (
        *(QUERIES, READS, WRITES, ROUND_TRIPS, DUPLICATES, N_PLUS_ONE, BATCHABLE, SELECT_STAR, ROWS, UNINDEXED),
        *(QUERY_P95, SLOWEST_QUERY, DB_TIME, CONNECTIONS_OPENED, CONNECTIONS_LEAKED, POOL_IN_USE, POOL_WAIT_P95),
    )
)
"""Metrics read off the statements and connections of a call."""

OF_LEFT = frozenset(
    metric.name
    for metric in (
        *(LEAKED, LEAKED_THREADS, LEAKED_TASKS, LEAKED_FILES, LEAKED_SOCKETS, LEAKED_PROCESSES, LEAKED_TEMPORARY),
    )
)
"""Metrics of what a call leaves behind beside memory."""

OF_TABLES = frozenset({"queries", "reads", "writes"})
"""Metrics that can be limited for single tables."""

OF_ONE_PYTHON = frozenset(
    {"calls", "work", "instructions", "callgrind", "retained", "heap", "allocations", "allocated"}
)
"""Metrics whose values mean something else with another version of Python."""


def custom(name: str, unit: Unit, *, better: Better = Better.LOWER) -> Metric:
    """Return the definition of a user's own metric, held in steps of 1e-9 of its unit."""
    return Metric(
        name=name, unit=unit, nature=Nature.EXACT, better=better, reduce=Reduce.MEDIAN, scale=_NS,
        description=f"custom metric {name}",
    )  # fmt: skip
