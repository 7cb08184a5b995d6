"""The class of machine that this process runs on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from pytest_perfguard.model import Machine

CPUINFO = Path("/proc/cpuinfo")
_BRAND_FIELDS = ("model name", "Model", "Hardware", "cpu model", "uarch")
"""The names under which Linux tells the processor's brand on x86, ARM boards, MIPS and RISC-V, best first."""


def current_machine(label: str = "") -> Machine:
    """Return the class of this machine: nothing in it changes between two runs, or tells one host from its twin.

    `label` is the user's own name for the class. Never fails: what the system does not tell is an empty string.
    """
    return Machine(
        system=platform.system().lower(),
        architecture=platform.machine().lower(),
        processor=processor_brand(),
        processors=os.cpu_count() or 1,
        implementation=sys.implementation.name,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        label=label,
    )


def processor_brand() -> str:
    """Return the processor's brand as its maker writes it, without its clock rate, or "" where it is not told."""
    if sys.platform == "linux":
        try:
            brand = brand_in_cpuinfo(CPUINFO.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            brand = ""
    elif sys.platform == "darwin":
        brand = _sysctl("machdep.cpu.brand_string")
    else:
        brand = platform.processor()
    return without_clock(brand)


def brand_in_cpuinfo(text: str) -> str:
    """Return the brand in the text of /proc/cpuinfo, or ARM's implementer and part where there is no brand."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    for field in _BRAND_FIELDS:
        if found.get(field):
            return found[field]
    arm = (found.get("CPU implementer", ""), found.get("CPU part", ""))
    return f"ARM {arm[0]} {arm[1]}" if all(arm) else ""


def without_clock(brand: str) -> str:
    """Return `brand` without "@ 2.30GHz" and repeated blanks: hypervisors report different rates for one model."""
    return " ".join(brand.partition("@")[0].removesuffix(" CPU ").split())


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
