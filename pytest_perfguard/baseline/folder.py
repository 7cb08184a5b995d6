"""A store in a folder: one file a run, so that writers need no locks and branches merge without conflicts."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_perfguard.baseline import columnar, schema
from pytest_perfguard.baseline.files import TEMPORARY, is_stale, listed, read_trouble, remove, write_atomically
from pytest_perfguard.baseline.layout import run_of, run_path, samples_path
from pytest_perfguard.baseline.records import Plain, Records, decode_record, scales_of
from pytest_perfguard.errors import StoreError, StoreFormatError
from pytest_perfguard.model import Header, Key, Measurement, Note, Record, Series, StoredRun
from pytest_perfguard.model.codec import to_plain

_GZIP_MAGIC = b"\x1f\x8b"
_FRONT = 4096
"""Bytes that nearly always hold the first two lines of a run."""
_RESTORE = "delete the file, or restore it from git"


class FolderStore:
    """The runs in a folder, as `model.protocols.Store` describes; reading makes no files and needs no permission to.

    What was left out of an answer because it is damaged stands in `notes`, once each. Run files never change after
    they were written, so their headers are read once in the life of this object.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._root = str(path)
        self.notes: list[Note] = []
        self._fronts: dict[str, schema.Front | None] = {}
        self._unreadable: set[str] = set()
        """Paths of runs of which a note says more than that they are damaged."""
        self._checked = False

    def __repr__(self) -> str:
        return f"FolderStore({str(self.path)!r})"

    def headers(self, machine: str | None = None) -> Sequence[Header]:
        """Return the headers of all runs, or of those of one machine class, newest first."""
        return [front.header for _, front in reversed(self._all(machine))]

    def load(self, headers: Iterable[Header]) -> Sequence[StoredRun]:
        """Return the runs with these headers, in their order; damaged ones are left out and noted.

        Their records are decoded when they are first used.
        """
        self._check()
        loaded = (self._load(run_path(header)) for header in headers)
        return [run for run in loaded if run is not None]

    def samples(self, header: Header) -> dict[Key, tuple[Series, ...]]:
        """Return the raw samples of a run, empty where they were pruned or are damaged."""
        self._check()
        path = self.path / samples_path(header)
        try:
            return columnar.decode_samples(path.read_bytes(), str(path))
        except FileNotFoundError:
            return {}
        except StoreFormatError as error:
            self._note("damaged-samples", str(error))
            return {}
        except OSError as error:
            raise StoreError(read_trouble(path, error)) from error

    def history(self, test: str, metric: str, machine: str | None = None) -> Sequence[tuple[Header, Key, float]]:
        """Return the values of `metric` in every run, oldest first, for each measurement of `test`."""
        self._check()
        start = schema.line_start(test)
        found: list[tuple[Header, Key, float]] = []
        for path in self._paths(machine):
            # One reading of the file for its front and its block: opening it takes as long as either.
            data = None if path in self._fronts else self._read(path, 0, None)
            front = self._front(path, data)
            if front is None:
                continue
            for line in self._lines_of(path, front, test, start, data):
                try:
                    wanted = [*line[:2], [item for item in line[2] if item[0] == metric]]
                    record = decode_record(wanted, front.scales)
                except (StoreFormatError, IndexError, TypeError) as error:
                    self._note("damaged-record", f"{self.path / path}: {error}")
                    continue
                found.extend((front.header, record.key, summary.value) for summary in record.summaries)
        return sorted(found, key=lambda item: (item[0].created, item[0].run_id, item[1]))

    def save(self, header: Header, measurements: Sequence[Measurement]) -> str:
        """Keep a run, whole or not at all, and return the path of its file.

        Any number of processes may save at once. Leftovers of writers that were killed are removed on the way.
        """
        self._check()
        defined = {metric.name for metric in header.metrics}
        used = {series.metric.name: series.metric for item in measurements for series in item.series if series.values}
        missing = sorted(used.keys() - defined)
        if missing:
            raise StoreError(
                f"the run {header.run_id} does not define its metrics {', '.join(missing)}; list them there"
            )
        if any(scales_of(header.metrics)[name] != metric.scale for name, metric in used.items()):
            raise StoreError(f"the run {header.run_id} defines a metric with another scale than its values have")
        self._prepare(header)
        samples = [
            (item.key, series)
            for item in measurements
            for series in item.series
            if series.metric.samples and series.values
        ]
        # The samples first: a run is in the store as soon as its run file is.
        if samples:
            write_atomically(self.path / samples_path(header), columnar.encode_samples(samples))
        path = run_path(header)
        write_atomically(self.path / path, schema.encode_run(header, map(Record.of, measurements)))
        self._fronts.pop(path, None)
        return str(self.path / path)

    def delete(self, headers: Iterable[Header], *, samples_only: bool = False) -> int:
        """Remove runs, or only their raw samples; return the bytes freed."""
        self._check()
        freed = 0
        for header in headers:
            # The run file first: a killed deletion leaves samples without a run, which the next save removes.
            for name in [samples_path(header)] if samples_only else [run_path(header), samples_path(header)]:
                freed += remove(self.path / name)
                self._fronts.pop(name, None)
        return freed

    def _check(self) -> None:
        if not self._checked:
            path = self.path / "store.json"
            try:
                schema.check_store(path.read_bytes(), str(path))
            except FileNotFoundError:
                return
            except NotADirectoryError as error:
                raise StoreError(
                    f"{self.path} is a file where the folder of baselines should be; move it away, or choose another "
                    "folder for baselines"
                ) from error
            except OSError as error:
                raise StoreError(read_trouble(path, error)) from error
            self._checked = True

    def _prepare(self, header: Header) -> None:
        if not self._checked:
            write_atomically(self.path / "store.json", schema.encode_store())
        machine = self.path / "machines" / f"{header.machine.key}.json"
        if not machine.exists():
            write_atomically(machine, (json.dumps(to_plain(header.machine), indent=1) + "\n").encode())
        self._sweep()

    def _sweep(self) -> None:
        """Remove what killed writers and deleters left: old temporary files, and old samples without a run."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = Path(folder, name)
                leftover = name.startswith(".") and name.endswith(TEMPORARY)
                if not leftover and name.endswith(columnar.SUFFIX):
                    relative = path.relative_to(self.path / "samples") if "samples" in path.parts else None
                    leftover = relative is not None and not run_of(self.path, relative).exists()
                if leftover and is_stale(path):
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _all(self, machine: str | None) -> list[tuple[str, schema.Front]]:
        """Return path and front of every readable run, oldest first."""
        self._check()
        found = [(path, self._front(path)) for path in self._paths(machine)]
        return sorted(
            [(path, front) for path, front in found if front is not None],
            key=lambda item: (item[1].header.created, item[1].header.run_id),
        )

    def _paths(self, machine: str | None) -> Iterator[str]:
        root = self._root
        classes = listed(f"{root}/runs") if machine is None else [machine]
        for name in classes:
            for prefix in listed(f"{root}/runs/{name}"):
                folder = f"runs/{name}/{prefix}"
                for file in listed(f"{root}/{folder}"):
                    if file.endswith(schema.SUFFIX) and not file.startswith("."):
                        yield f"{folder}/{file}"

    def _front(self, path: str, data: bytes | None = None) -> schema.Front | None:
        if path not in self._fronts:
            data = self._read(path, 0, _FRONT) if data is None else data
            front = self._decode_front(path, data)
            if front is None and data is not None and len(data) == _FRONT:
                front = self._decode_front(path, self._read(path, 0, None))
            if front is None and data is not None and path not in self._unreadable:
                self._note("damaged-run", f"{self.path / path} is damaged or cut short, and was left out")
            self._fronts[path] = front
        return self._fronts[path]

    def _decode_front(self, path: str, data: bytes | None) -> schema.Front | None:
        if data is None:
            return None
        try:
            return schema.decode_front(data, f"{self._root}/{path}")
        except StoreFormatError as error:
            self._unreadable.add(path)
            self._note("unreadable-run", str(error))
            return None

    def _load(self, path: str) -> StoredRun | None:
        front = self._front(path)
        if front is None:
            return None
        data = self._read(path, 0, None)
        if data is None:
            return None
        lines = list(_all_lines(data, front))
        if len(lines) != front.records:
            self._note(
                "damaged-records",
                f"{self.path / path}: {front.records - len(lines)} of {front.records} measurements are damaged",
            )
        return StoredRun(header=front.header, records=_lazily(lines, front))

    def _lines_of(
        self, path: str, front: schema.Front, test: str, start: bytes, whole: bytes | None
    ) -> Iterator[Plain]:
        places = front.around(test)
        if not places:
            return
        first, last = front.bounds[places[0]], front.bounds[places[-1] + 1]
        data = self._read(path, first, last - first) if whole is None else whole[first:last]
        for place in places:
            block = (data or b"")[front.bounds[place] - first : front.bounds[place + 1] - first]
            text = schema.unpack_block(block)
            if text is None:
                self._note("damaged-records", f"{self.path / path}: a block of measurements is damaged")
                continue
            begin = 0 if text.startswith(start) else text.find(b"\n" + start) + 1
            if begin or text.startswith(start):
                # Lines are sorted by test, so those of one test follow one another.
                end = text.find(b"\n", text.rfind(b"\n" + start) + 1 or begin)
                yield from schema.parse_lines(text[begin : end + 1], front.version)

    def _read(self, path: str, start: int, length: int | None) -> bytes | None:
        """Return a part of a file; None where it is gone, as after a prune by another process."""
        try:
            descriptor = os.open(f"{self._root}/{path}", os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                wanted = os.fstat(descriptor).st_size if length is None else length
                if start:
                    os.lseek(descriptor, start, os.SEEK_SET)
                data = os.read(descriptor, wanted)
                while len(data) < wanted and (more := os.read(descriptor, wanted - len(data))):
                    data += more
                return data
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(read_trouble(self.path / path, error)) from error

    def _note(self, code: str, message: str) -> None:
        what, _, remedy = message.rpartition("; ")
        note = Note(code=code, message=what or message, remedy=remedy if what else _RESTORE)
        if note not in self.notes:
            self.notes.append(note)


def load_file(path: Path) -> StoredRun:
    """Return the run in a run file anywhere; raises `StoreError` where it cannot be read whole."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(read_trouble(path, error)) from error
    if not data.startswith(_GZIP_MAGIC):
        raise StoreFormatError(f"{path} is not a run file; name a revision, or a {schema.SUFFIX} file of a store")
    try:
        front = schema.decode_front(data, str(path))
    except StoreFormatError as error:
        # Who names a file is not to be told to delete it.
        raise StoreFormatError(str(error).replace("; delete it, or restore it", "; restore it", 1)) from error
    lines = [] if front is None else list(_all_lines(data, front))
    if front is None or len(lines) != front.records:
        raise StoreFormatError(f"{path} is damaged or cut short; restore it from git, or name another file")
    return StoredRun(header=front.header, records=_lazily(lines, front))


def _all_lines(data: bytes, front: schema.Front) -> Iterator[Plain]:
    for start, end in itertools.pairwise(front.bounds):
        text = schema.unpack_block(data[start:end])
        if text is not None:
            yield from schema.parse_lines(text, front.version)


def _lazily(lines: list[Plain], front: schema.Front) -> Sequence[Record]:
    return Records(lines, front.scales)
