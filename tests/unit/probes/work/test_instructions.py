from __future__ import annotations

import errno
import gc
import os
import struct
from pathlib import Path

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes import instructions
from pytest_perfguard.probes.instructions import InstructionProbe
from pytest_perfguard.testing import check_probe


class Counters:
    """Stands in for the kernel: each counter that is opened gives these counts, wanted and running times."""

    def __init__(self, path, *rows):
        self.path = path
        self.rows = rows
        self.asked = []
        self.opened = []

    def __call__(self, attributes):
        self.asked.append(attributes)
        self.path.write_bytes(b"".join(struct.pack("=QQQ", *row) for row in self.rows))
        self.opened.append(os.open(self.path, os.O_RDONLY))
        return self.opened[-1]

    @property
    def closed(self):
        return all(not Path(f"/proc/self/fd/{each}").exists() for each in self.opened)


@pytest.fixture
def counters(tmp_path):
    return lambda *rows: Counters(tmp_path / "counter", *rows)


def read(probe):
    return probe.stop(probe.start())


def test_the_difference_of_two_readings_is_the_value(counters):
    made = counters((1_000, 50, 50), (2_501_000, 9_050, 9_050))
    reading = read(InstructionProbe(made))
    assert reading.values == {"instructions": 2_500_000}
    assert reading.notes == ()
    assert made.closed
    assert gc.isenabled()


def test_a_shared_counter_is_scaled_and_not_trusted(counters):
    reading = read(InstructionProbe(counters((0, 0, 0), (1_000_000, 4_000, 1_000))))
    assert reading.values == {"instructions": 4_000_000}
    (note,) = reading.notes
    assert note.code == "shared-counter"
    assert note.undermines == ("instructions",)
    assert "25%" in note.message


@pytest.mark.parametrize("rows", [((0, 0, 0), (0, 4_000, 0)), ()])
def test_a_counter_that_never_ran_is_no_value(counters, rows):
    made = counters(*rows)
    with pytest.raises(ProbeError, match=r"others use all counters .*nmi_watchdog"):
        read(InstructionProbe(made))
    assert made.closed
    assert gc.isenabled()


def test_user_code_of_this_thread_and_its_children_is_asked_for(counters):
    made = counters((0, 0, 0), (1, 1, 1))
    read(InstructionProbe(made))
    kind, size, config, _, _, format_, flags, *_ = struct.unpack("=IIQQQQQIIQ", made.asked[0])
    assert (kind, size, config, format_) == (0, 64, 1, 3)
    assert flags == 0b1100010  # inherit, exclude_kernel, exclude_hv; not disabled


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "no counter for them, as most virtual machines"),
        (errno.EOPNOTSUPP, "no counter for them"),
        (errno.EACCES, r"not permitted \(kernel.perf_event_paranoid is 3\).*sysctl kernel.perf_event_paranoid=2"),
        (errno.EPERM, "not permitted .*seccomp"),
        (errno.ENOSYS, "does not offer perf_event_open"),
        (errno.EMFILE, "perf_event_open failed: Too many"),
    ],
)
def test_each_refusal_names_its_cause_and_remedy(number, words, tmp_path, monkeypatch):
    (tmp_path / "paranoid").write_text("3\n", encoding="ascii")
    monkeypatch.setattr(instructions, "_PARANOID", tmp_path / "paranoid")

    def refuse(attributes):
        raise OSError(number, os.strerror(number))

    with pytest.raises(ProbeError, match=words) as caught:
        InstructionProbe(refuse).start()
    assert "instead" not in str(caught.value)
    assert "leave out the budget 'instructions' here" in str(caught.value)
    assert gc.isenabled()


def test_a_system_that_does_not_tell_its_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(instructions, "_PARANOID", tmp_path / "missing")

    def refuse(attributes):
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(ProbeError, match="perf_event_paranoid is not told"):
        InstructionProbe(refuse).start()


def test_other_systems_are_refused(monkeypatch):
    monkeypatch.setattr(instructions.platform, "machine", lambda: "sparc64")
    with pytest.raises(ProbeError, match="does not offer perf_event_open"):
        InstructionProbe().start()


def test_the_machine_counts_or_says_why_not():
    """Where there are counters, they follow the work; elsewhere the refusal is a real one."""
    probe = InstructionProbe()
    try:
        probe.stop(probe.start())
    except ProbeError as refusal:
        pytest.skip(str(refusal))
    check_probe(probe)
    values = []
    for count in (100_000, 200_000):
        token = probe.start()
        sum(range(count))
        values.append(probe.stop(token).values["instructions"])
    assert values[1] > 1.5 * values[0]
