from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_perfguard.baseline.folder import FolderStore, load_file
from pytest_perfguard.baseline.layout import run_path, samples_path
from pytest_perfguard.errors import StoreError, StoreFormatError
from pytest_perfguard.model import Key, Record, Series
from pytest_perfguard.model.protocols import Store
from tests.unit.baseline.examples import MACHINE, TIME, header, measurement

OTHER = replace(MACHINE, python="3.13")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "baselines")


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_what_was_saved_is_read_by_another_process_as_it_was(store):
    items = [measurement(f"t{n}", 1000 + n, 999, 1003, iterations=2) for n in range(100)]
    where = store.save(header(), items)
    again = FolderStore(store.path)
    assert isinstance(again, Store)
    assert again.headers() == [header()]
    [run] = again.load([header()])
    assert run.records == tuple(sorted((Record.of(item) for item in items), key=lambda record: record.key))
    assert again.samples(header())[Key(test="t7")] == (Series(metric=TIME, values=(1007, 999, 1003), iterations=2),)
    assert load_file(Path(where)) == run
    assert again.notes == []


def test_headers_are_newest_first_and_of_one_class_where_asked(store):
    runs = [header("old", hour=1), header("new", hour=40), header("other", hour=20, machine=OTHER)]
    for run in runs:
        store.save(run, [])
    assert [run.run_id for run in store.headers()] == ["new", "other", "old"]
    assert [run.run_id for run in store.headers(OTHER.key)] == ["other"]
    assert store.headers("none-such") == []
    assert [run.header.run_id for run in store.load([runs[0], runs[1]])] == ["old", "new"]


def test_history_is_oldest_first_with_each_measurement_of_the_test_alone(store):
    for hour in (2, 1, 3):
        items = [measurement(f"t{n:03d}", 1000 * hour) for n in range(100)]
        items += [measurement("t050", 7, name="inner"), measurement("t050[x]", 9), measurement("t05", 9)]
        store.save(header(f"r{hour}", hour=hour), items)
    fresh = FolderStore(store.path).history("t050", "time", MACHINE.key)
    assert [(run.run_id, key.name, round(value * 1e9)) for run, key, value in fresh] == [
        ("r1", "", 1000), ("r1", "inner", 7), ("r2", "", 2000), ("r2", "inner", 7),
        ("r3", "", 3000), ("r3", "inner", 7),
    ]  # fmt: skip
    store.headers()
    assert store.history("t050", "time", MACHINE.key) == fresh
    for test in ("", "t0", "zzz"):
        assert store.history(test, "time") == []
    assert [value for _, _, value in store.history("t000", "queries")] == [3.0] * 3


@pytest.mark.parametrize("ask", [FolderStore.headers, lambda s: s.load([header()]), lambda s: s.samples(header())])
def test_reading_makes_nothing(store, ask):
    assert not ask(store)
    assert not store.path.exists()


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (header("r"), f"aa/{'a' * 12}-r"),
        (header("r", dirty=True, dirty_tree="0123456789"), f"aa/{'a' * 12}-dirty-01234567-r"),
        (header("r", sha=""), "no/nocommit-r"),
    ],
)
def test_a_run_is_where_the_layout_says(run, name):
    assert run_path(run) == f"runs/{MACHINE.key}/{name}.jsonl.gz"
    assert samples_path(run) == f"samples/{MACHINE.key}/{name}.pgs"


def test_a_run_id_cannot_leave_the_store_nor_clash(store):
    names = {run_path(header(run_id)) for run_id in ("../../x", "..-..-x", "../..-x", "x" * 300)}
    assert len(names) == 4
    assert all(len(Path(name).name) < 120 and ".." not in Path(name).parts for name in names)


def test_a_damaged_run_is_left_out_and_noted_and_the_others_are_read(store):
    for name in ("good", "bad", "empty"):
        store.save(header(name), [measurement("t", 5, 6)])
    for name, content in (("bad", b"\x1f\x8bnonsense"), ("empty", b"")):
        (store.path / run_path(header(name))).write_bytes(content)
    (store.path / samples_path(header("good"))).write_bytes(b"x")
    again = FolderStore(store.path)
    assert [run.run_id for run in again.headers()] == ["good"]
    assert len(again.load([header("bad"), header("good")])) == 1
    assert again.samples(header("good")) == {}
    assert [value for _, _, value in again.history("t", "queries")] == [3.0]
    assert {note.code for note in again.notes} == {"damaged-run", "unreadable-run", "damaged-samples"}
    assert all("git" in note.remedy for note in again.notes)


def test_a_damaged_block_costs_its_measurements_only_and_is_noted(store):
    path = Path(store.save(header(), [measurement(f"t{n:03d}", 5) for n in range(100)]))
    data = bytearray(path.read_bytes())
    data[-40] ^= 0xFF
    path.write_bytes(data)
    [run] = FolderStore(store.path).load([header()])
    assert len(run.records) == 96
    again = FolderStore(store.path)
    assert again.history("t099", "time") == []
    assert len(again.history("t000", "time")) == 1
    assert again.notes[0].code == "damaged-records"


def test_a_newer_store_is_neither_read_nor_written(store):
    store.path.mkdir()
    (store.path / "store.json").write_text('{"format": "perfguard", "version": 99}')
    for ask in (store.headers, lambda: store.save(header(), []), lambda: store.delete([header()])):
        with pytest.raises(StoreFormatError, match="upgrade pytest-perfguard"):
            ask()


def test_a_run_must_define_its_metrics(store):
    with pytest.raises(StoreError, match="does not define its metrics queries, time"):
        store.save(replace(header(), metrics=()), [measurement("t", 5)])
    assert not store.path.exists()


def test_deleting_frees_bytes_and_leaves_the_rest(store):
    for name in ("a", "b"):
        store.save(header(name), [measurement("t", 5, 6)])
    before = sum(map(len, tree(store.path).values()))
    freed = store.delete([header("a")], samples_only=True)
    assert freed > 0
    assert store.samples(header("a")) == {}
    assert len(store.headers()) == 2
    freed += store.delete([header("a"), header("none")])
    assert [run.run_id for run in store.headers()] == ["b"]
    assert before - sum(map(len, tree(store.path).values())) == freed


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a superuser may write anywhere")
def test_a_read_only_folder_can_be_read_and_says_so_when_written(store):
    store.save(header(), [])
    folders = [store.path, *(path for path in store.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert FolderStore(store.path).headers() == [header()]
        with pytest.raises(StoreError, match="read-only"):
            store.save(header("r2"), [])
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_leftovers_are_ignored_and_removed_when_they_are_old(store):
    store.save(header("a"), [measurement("t", 5)])
    folder = (store.path / run_path(header("a"))).parent
    old, young = folder / ".x.jsonl.gz.1-ab.tmp", folder / ".y.jsonl.gz.1-ab.tmp"
    orphan = store.path / "samples" / MACHINE.key / "aa" / "orphan.pgs"
    for path in (old, young, orphan):
        path.write_bytes(b"half")
    for path in (old, orphan, store.path / samples_path(header("a"))):
        os.utime(path, (1, 1))
    assert FolderStore(store.path).headers() == [header("a")]
    store.save(header("b"), [])
    assert [path.exists() for path in (old, young, orphan)] == [False, True, False]
    assert store.samples(header("a"))


WRITER = textwrap.dedent(
    """
    import sys
    from pytest_perfguard.baseline.folder import FolderStore
    from tests.unit.baseline.examples import header, measurement
    root, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    items = [measurement(f"t{n}", *range(n, n + 50)) for n in range(40)]
    print("ready", flush=True)
    for number in range(count):
        FolderStore(root).save(header(f"{who}-{number}"), items)
        print(number, flush=True)
    """
)


def writer(root: Path, who: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), who, str(count)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_eight_processes_write_at_once_and_nothing_is_lost(store):
    processes = [writer(store.path, f"w{n}", 5) for n in range(8)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    headers = store.headers()
    assert {run.run_id for run in headers} == {f"w{n}-{k}" for n in range(8) for k in range(5)}
    assert all(len(run.records) == 40 for run in store.load(headers))
    assert all(len(store.samples(run)) == 40 for run in headers)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_writer_that_is_killed_loses_nothing_that_was_stored(store):
    reported: set[str] = set()
    rng = random.Random(1)
    for attempt in range(6):
        process = writer(store.path, f"w{attempt}", 10_000)
        assert process.stdout is not None
        for _ in range(rng.randint(2, 12)):
            line = process.stdout.readline().strip()
            if line != "ready":
                reported.add(f"w{attempt}-{line}")
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        reported.update(f"w{attempt}-{line}" for line in rest.split("\n")[:-1])
    headers = store.headers()
    assert reported <= {run.run_id for run in headers}
    assert all(len(run.records) == 40 for run in store.load(headers))
    assert all(len(store.samples(run)) == 40 for run in headers)
    assert store.notes == []


def test_a_damaged_run_is_noted_once_with_one_remedy(store):
    path = Path(store.save(header(), [measurement("t", 5)]))
    path.write_bytes(b"garbage")
    again = FolderStore(store.path)
    assert again.headers() == []
    [note] = again.notes
    assert str(path) in note.message
    assert str(note).count("restore it from git") == 1


def test_a_file_in_place_of_the_store_is_said_by_every_reader(tmp_path):
    (tmp_path / "baselines").write_text("")
    for read in (lambda store: store.headers(), lambda store: store.load([header()])):
        with pytest.raises(StoreError, match="baselines is a file where the folder"):
            read(FolderStore(tmp_path / "baselines"))
