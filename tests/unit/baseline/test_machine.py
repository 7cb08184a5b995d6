from __future__ import annotations

import platform

import pytest

from pytest_perfguard.baseline import machine

X86 = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU E5-2673 v4 @ 2.30GHz\ncpu MHz\t\t: 2294.6\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
PI = ARM + "\nModel\t\t: Raspberry Pi 4\n"


@pytest.mark.parametrize(
    ("text", "brand"),
    [(X86, "Intel(R) Xeon(R) CPU E5-2673 v4"), (ARM, "ARM 0x41 0xd0c"), (PI, "Raspberry Pi 4"), ("", "")],
)
def test_the_brand_is_read_without_its_clock_rate(text, brand):
    assert machine.without_clock(machine.brand_in_cpuinfo(text)) == brand


def test_this_machine_is_described_without_its_name(monkeypatch):
    first = machine.current_machine()
    monkeypatch.setattr(platform, "node", lambda: "other-host")
    assert machine.current_machine() == first
    assert first.processors >= 1
    assert first.python == ".".join(platform.python_version_tuple()[:2])
    assert machine.current_machine("runner").key != first.key


def test_a_system_that_tells_nothing_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    assert machine.current_machine().processor == ""
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    assert machine.current_machine().processor == ""
