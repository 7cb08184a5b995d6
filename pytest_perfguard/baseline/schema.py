"""The format of run files, version 1, and how other versions are met.

A run file is gzip of text, so `zcat` shows it. Its first line is about the run, its second about what seldom changes
from run to run, and each further line is one measurement (see `records`), sorted by key.

    {"format":"perfguard-run","version":1,"records":N,"sizes":[bytes, …],
     "run":{run_id, created, commit, hash_seed, workers, notes}}
    {"machine":{…},"versions":[[name, version], …],"metrics":[{…}, …],"blocks":[[first test, records], …]}
    ["tests/test_a.py::test_x","",[["time",50,8,7912345,12034.4,60221,240112]]]

The gzip stream has several members: each of the first two lines is one, and every 32 lines of measurements are one (a
"block"). The compressed sizes of the second line and of the blocks stand in the first line. So one test of a run is
found without unpacking the others, each block has a checksum of its own, a file that was cut short is noticed, and
damage costs no more than its block.

`store.json` at the top of a store says `{"format": "perfguard", "version": 1}`.

History of the format: 1, the first. Within it statements lost their lines, which age, and gained their drivers; readers
do without either.
"""

from __future__ import annotations

import functools
import itertools
import json
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_perfguard.baseline.records import Plain, encode_record, is_record, scales_of
from pytest_perfguard.errors import StoreFormatError
from pytest_perfguard.model import Commit, Header, Machine, Metric, Note, Record
from pytest_perfguard.model.codec import from_plain, to_plain

FORMAT, RUN_FORMAT, VERSION = "perfguard", "perfguard-run", 1
SUFFIX = ".jsonl.gz"
BLOCK = 32
"""Measurements a block: smaller ones are quicker to unpack, larger ones compress better."""

_GZIP = 31
"""zlib's name for the gzip container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """How the parsed lines of one version become those of the next."""

    run: Callable[[dict[str, Any]], dict[str, Any]]
    definitions: Callable[[dict[str, Any]], dict[str, Any]]
    record: Callable[[Plain], Plain]


MIGRATIONS: dict[int, Migration] = {}
"""The step from each older version to the one after it; version 1 has none before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The first member of a run file, and where its blocks are."""

    header: Header
    version: int
    firsts: tuple[str, ...]
    """The first test of each block."""
    bounds: tuple[int, ...]
    """Where in the file each block begins, and where the last one ends."""
    counts: tuple[int, ...]
    scales: Mapping[str, float]
    """The scale of each metric by name."""

    @property
    def records(self) -> int:
        """Return how many measurements the file should hold."""
        return sum(self.counts)

    def around(self, test: str) -> range:
        """Return the places of the blocks that may hold `test`."""
        return range(max(0, bisect_left(self.firsts, test) - 1), bisect_right(self.firsts, test))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Definitions:
    """The second line."""

    machine: Machine
    versions: tuple[tuple[str, str], ...]
    metrics: tuple[Metric, ...]
    firsts: tuple[str, ...]
    counts: tuple[int, ...]
    scales: Mapping[str, float]


def encode_store() -> bytes:
    """Return the content of `store.json`."""
    return (json.dumps({"format": FORMAT, "version": VERSION}) + "\n").encode()


def check_store(data: bytes, where: str) -> None:
    """Raise `StoreFormatError` unless `data`, the content of `store.json` at `where`, is of a version we know."""
    try:
        plain = json.loads(data)
        known = plain["format"] == FORMAT
        version = int(plain["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreFormatError(f"{where} is damaged ({error}); restore it from git") from error
    if not known:
        raise StoreFormatError(f"{where} does not belong to pytest-perfguard; choose another folder for baselines")
    check_version(version, where)


def check_version(version: int, where: str) -> None:
    """Raise `StoreFormatError` for a version that this code cannot read."""
    if version > VERSION:
        raise StoreFormatError(
            f"{where} has format {version} and this pytest-perfguard reads up to {VERSION}; upgrade pytest-perfguard"
        )
    if version < 1 or any(step not in MIGRATIONS for step in range(version, VERSION)):
        raise StoreFormatError(f"{where} has format {version}, which never existed; restore it from git")


def encode_run(header: Header, records: Iterable[Record]) -> bytes:
    """Return the run file of `header` and `records`; the header defines every metric that the records name."""
    ordered = sorted(records, key=lambda record: record.key)
    scales = scales_of(header.metrics)
    blocks: list[bytes] = []
    directory: list[tuple[str, int]] = []
    for group in _batched(ordered):
        blocks.append(_member([encode_record(record, scales) for record in group]))
        directory.append((group[0].key.test, len(group)))
    plain = to_plain(header)
    definitions = {name: plain.pop(name) for name in ("machine", "versions", "metrics")}
    second = _member([_dumps({**definitions, "blocks": directory})])
    first = {
        "format": RUN_FORMAT,
        "version": VERSION,
        "records": len(ordered),
        "sizes": [len(second), *map(len, blocks)],
        "run": plain,
    }
    return _member([_dumps(first)]) + second + b"".join(blocks)


def decode_front(data: bytes, where: str) -> Front | None:
    """Return the front of the run file that begins with `data`, None where more of it is needed.

    Raises `StoreFormatError`, naming `where`, for a file that is damaged or newer than this code.
    """
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = unpacker.decompress(data)
    except zlib.error as error:
        raise StoreFormatError(f"{where} is damaged ({error}); delete it, or restore it from git") from error
    if not unpacker.eof:
        return None
    rest = unpacker.unused_data
    try:
        first = json.loads(text)
        if first["format"] != RUN_FORMAT:
            raise ValueError(f"its format is {first['format']!r:.40}")
        version = int(first["version"])
        check_version(version, where)
        run = first["run"]
        for step in range(version, VERSION):
            run = MIGRATIONS[step].run(run)
        sizes = first["sizes"]
        if len(rest) < sizes[0]:
            return None
        known = _definitions(rest[: sizes[0]], version)
        notes = tuple(from_plain(Note, note) for note in run["notes"])
        header = Header(
            run_id=run["run_id"], created=run["created"], commit=_commit(run["commit"]), machine=known.machine,
            versions=known.versions, metrics=known.metrics, hash_seed=run["hash_seed"], workers=run["workers"],
            notes=notes,
        )  # fmt: skip
        bounds = itertools.accumulate(sizes, initial=len(data) - len(rest))
        front = Front(
            header=header,
            version=version,
            firsts=known.firsts,
            bounds=tuple(bounds)[1:],
            counts=known.counts,
            scales=known.scales,
        )
        if front.records != first["records"] or len(front.bounds) != len(front.firsts) + 1:
            raise ValueError("its blocks and its number of records disagree")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, zlib.error) as error:
        raise StoreFormatError(f"{where} cannot be read ({error}); delete it, or restore it from git") from error
    return front


def unpack_block(data: bytes) -> bytes | None:
    """Return the lines of a block, None where it is damaged or cut short."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = unpacker.decompress(data)
    except zlib.error:
        return None
    return text if unpacker.eof else None


def parse_lines(text: bytes, version: int) -> list[Plain]:
    """Return the measurements in the lines of a block as JSON has them; lines of another shape are left out."""
    lines = text.splitlines()
    try:
        parsed = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        parsed = [_parse_line(line) for line in lines]
    for step in range(version, VERSION):
        parsed = [MIGRATIONS[step].record(line) for line in parsed if line is not None]
    return [line for line in parsed if is_record(line)]


def line_start(test: str) -> bytes:
    """Return the bytes with which every line of `test` begins."""
    return f"[{json.dumps(test)},".encode()


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _batched(records: list[Record]) -> Iterable[tuple[Record, ...]]:
    return (tuple(records[place : place + BLOCK]) for place in range(0, len(records), BLOCK))


def _dumps(plain: Any) -> str:
    return json.dumps(plain, separators=(",", ":"))


def _member(lines: list[str]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    return packer.compress("".join(f"{line}\n" for line in lines).encode()) + packer.flush()


def _commit(plain: dict[str, Any]) -> Commit:
    # By hand: the general decoder would take half of the time of listing a thousand runs.
    return Commit(
        sha=plain["sha"], tree=plain["tree"], parents=tuple(plain["parents"]), branch=plain["branch"],
        subject=plain["subject"], time=plain["time"], dirty=plain["dirty"], dirty_tree=plain["dirty_tree"],
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _definitions(member: bytes, version: int) -> _Definitions:
    plain = json.loads(zlib.decompress(member, _GZIP))
    for step in range(version, VERSION):
        plain = MIGRATIONS[step].definitions(plain)
    versions = tuple((str(name), str(number)) for name, number in plain["versions"])
    metrics = tuple(from_plain(Metric, metric) for metric in plain["metrics"])
    return _Definitions(
        machine=from_plain(Machine, plain["machine"]),
        versions=versions,
        metrics=metrics,
        firsts=tuple(str(first) for first, _ in plain["blocks"]),
        counts=tuple(int(count) for _, count in plain["blocks"]),
        scales=scales_of(metrics),
    )
