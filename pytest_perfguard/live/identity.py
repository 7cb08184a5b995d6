"""What decides the content of an environment: what is below it, what is built, and how."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live.commands import environment
from pytest_perfguard.live.layers import distributions, normal_name

_LAYOUT = 1
"""Part of each key: to be raised whenever environments are built in another way."""
_RENEWED = 7 * 86400
"""Seconds after which all are built anew: compilers, build requirements and dependencies change with time, and base and
head must have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The environment below: its interpreter, what that is, its folders of packages, and what they hold."""

    python: str
    identity: str
    folders: tuple[str, ...]
    held: Mapping[str, str]


_INSPECT = """
import json, platform, site, sys, sysconfig
print()
print(json.dumps({
    "identity": [sys.version, sys.implementation.cache_tag, sysconfig.get_config_var("SOABI"), platform.platform(),
                 sys.base_prefix, getattr(sys, "_base_executable", "")],
    "folders": [*([site.getusersitepackages()] if site.ENABLE_USER_SITE else []), *site.getsitepackages()],
}))
"""


def inspect(python: str) -> Parent:
    """Return what `python` tells of its environment; raises `MeasurementError` where it does not run."""
    ended = subprocess.run(  # noqa: S603
        [python, "-P", "-c", _INSPECT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(os.environ),
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise MeasurementError(f"{python} cannot be used for environments of base and head: {last}; check that it runs")
    told = json.loads(ended.stdout.strip().splitlines()[-1])
    folders = tuple(dict.fromkeys(folder for folder in told["folders"] if Path(folder).is_dir()))
    held = {name: each.version for name, each in distributions(folders).items()}
    return Parent(python=python, identity=json.dumps(told["identity"]), folders=folders, held=held)


_SHAPING = (
    *(
        "CC",
        "CXX",
        "CFLAGS",
        "CXXFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "ARCHFLAGS",
        "MACOSX_DEPLOYMENT_TARGET",
        "RUSTFLAGS",
        "CMAKE_ARGS",
    ),
    *("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PIP_NO_BINARY", "PIP_ONLY_BINARY", "PIP_PRE", "PIP_CONFIG_SETTINGS"),
)


def digest(project: str, content: Iterable[str], parent: Parent, *, environ: Mapping[str, str], now: float) -> str:
    """Return the key of an environment: all that decides what is in it, and the week that it was built in."""
    held = {name: version for name, version in parent.held.items() if name != normal_name(project)}
    compiler = shutil.which(shlex.split(environ.get("CC") or "cc")[0])
    decisive = (
        _LAYOUT,
        normal_name(project),
        list(content),
        parent.identity,
        parent.folders,
        sorted(held.items()),
        [environ.get(name) for name in _SHAPING],
        [os.path.realpath(compiler), Path(compiler).stat().st_mtime_ns] if compiler else None,
        int(now // _RENEWED),
    )
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:20]


def build_files(tree: Path) -> list[str]:
    """Return the digests of the files in `tree` that say how it is built and what it needs."""
    patterns = ("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "*.lock", "pylock*.toml")
    files = sorted({file for pattern in patterns for file in tree.glob(pattern) if file.is_file()})
    return [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]


def declared_name(tree: Path) -> str:
    """Return the name in pyproject.toml; empty if it has none or cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        document = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
        tool = document.get("tool", {})
        name = document.get("project", {}).get("name") or tool.get("poetry", {}).get("name")
        return name if isinstance(name, str) else ""
    return ""
