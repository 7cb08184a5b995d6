"""Base's package is what base's tests get, for every way in which a project can be laid out and installed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.layouts.projects import LAYOUTS, REQUIREMENTS, Layout

TOP = Path(__file__).parents[2]
PIN = TOP / "pytest_perfguard/live/pin.py"
UNREACHABLE = ("Temporary failure in name resolution", "NewConnectionError", "ConnectTimeout", "Max retries exceeded")

PREPARE = """
import json, subprocess, sys
from pathlib import Path
from pytest_perfguard.live.packages import find_packages
from pytest_perfguard.live.pinned import prepare
from pytest_perfguard.live.sides import Side

folder, base, head = map(Path, sys.argv[1:])
tracked = {
    tree: subprocess.run(["git", "-C", tree, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    for tree in (head, base)
}
pins = {head: find_packages(head, project=head, tracked=tracked[head])}
names = [name for name, _ in pins[head]]
pins[base] = find_packages(base, project=base, tracked=tracked[base], names=names, other=head)
sides = [
    Side(name=name, tree=tree, root=tree, cwd=tree, python=sys.executable, pins=pins[tree], strict=tree == base,
         foreign=(str(other),))
    for name, tree, other in (("base", base, head), ("head", head, base))
]
print(json.dumps({side.name: prepare(folder / side.name, side, environ={}) for side in sides}))
"""


def bin_of(environment: Path) -> Path:
    return environment / ("Scripts" if os.name == "nt" else "bin")


def python_of(environment: Path) -> str:
    return str(bin_of(environment) / "python")


def site_of(environment: Path) -> Path:
    return next(path for path in environment.rglob("site-packages") if path.is_dir())


def run(command: list[str], **options) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def clean_environ(**more: str) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "GIT_"))}
    return environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | more


def satisfied(text: str) -> bool:
    requirement = Requirement(text)
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def builders(tmp_path_factory):
    """Return the folders with the build backends and pytest, and those with their programs."""
    sites = [entry for entry in sys.path if {"site-packages", "dist-packages"} & set(Path(entry).parts)]
    programs = [str(Path(sys.executable).parent)]
    missing = [requirement for requirement in REQUIREMENTS if not satisfied(requirement)]
    if missing:
        folder = tmp_path_factory.mktemp("builders")
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
        command = [python_of(folder), "-m", "pip", "install", "-q", *missing]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environ())
        if done.returncode and any(sign in done.stderr for sign in UNREACHABLE):
            pytest.skip(f"the package index cannot be reached for {', '.join(missing)}")
        assert done.returncode == 0, done.stderr
        sites.insert(0, str(site_of(folder)))
        programs.insert(0, str(bin_of(folder)))
    return sites, programs


class Workplace:
    """A project in a repository with two commits, head installed, and base in a worktree with head's tests."""

    def __init__(self, layout: Layout, folder: Path, sites: list[str], programs: list[str]) -> None:
        self.layout, self.folder = layout, folder
        self.head, self.base = folder / "head", folder / "base"
        self.environ = clean_environ(PATH=os.pathsep.join([*programs, os.environ["PATH"]]), PIN_MODULE=str(PIN))
        self._commit("base")
        self._commit("head")
        venv.create(folder / "env", with_pip=False, symlinks=os.name != "nt")
        self.python, site = python_of(folder / "env"), site_of(folder / "env")
        (site / "builders.pth").write_text("\n".join(sites))
        write(site, layout.beside)
        if layout.installed:
            run(
                [self.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation",
                 *layout.options, "-e", "."],
                cwd=self.head, env=self.environ,
            )  # fmt: skip
        self._git("worktree", "add", "-q", "--detach", str(self.base), "HEAD^")
        shutil.copytree(self.head / "tests", self.base / "tests", dirs_exist_ok=True)
        trees = [str(folder / "pins"), str(self.base), str(self.head)]
        prepared = run(
            [self.python, "-c", PREPARE, *trees], env=self.environ | {"PYTHONPATH": str(TOP)}, cwd=folder
        )  # fmt: skip
        self.variables = json.loads(prepared.splitlines()[-1])

    def start(self, tree: Path, name: str, *, pinned: bool = True) -> subprocess.Popen[str]:
        """Start pytest in a tree, as one side."""
        environ = self.environ | self.variables[name] | {"SEEN": str(self._seen(name, pinned))}
        if not pinned:
            del environ["PYTHONPATH"]
        return subprocess.Popen(
            [self.python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], cwd=tree, env=environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def seen(self, name: str, process: subprocess.Popen[str], *, pinned: bool = True) -> dict:
        """Return what the tests have seen."""
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
        return json.loads(self._seen(name, pinned).read_text())

    def close(self) -> None:
        self._git("worktree", "remove", "--force", str(self.base))

    def _seen(self, name: str, pinned: bool) -> Path:
        return self.folder / f"{name}-{'pinned' if pinned else 'free'}.json"

    def _commit(self, value: str) -> None:
        self.head.mkdir(exist_ok=True)
        for path in self.head.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write(self.head, {**self.layout.write(value), ".gitignore": "build/\n*.egg-info/\n*.so\n*.pyd\n__pycache__/\n"})
        self._git("init", "-q")
        self._git("add", ".")
        self._git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", value)

    def _git(self, *arguments: str) -> None:
        run(["git", "-C", str(self.head), *arguments], env=self.environ)


def write(folder: Path, files) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_base_gets_its_own_package(layout, builders, tmp_path):
    place = Workplace(layout, tmp_path, *builders)
    base, head = place.start(place.base, "base"), place.start(place.head, "head")
    free = place.start(place.base, "base", pinned=False)
    seen = place.seen("base", base)
    assert (seen["now"], seen["lazy"], seen["child"]) == ("base", "base", "base")
    assert (seen["leaks"], seen["first"]) == ([], "Pin")
    assert Path(seen["file"]).is_relative_to(place.base)
    own = place.seen("head", head)
    assert (own["now"], own["lazy"], own["child"]) == ("head", "head", "head")
    assert (own["leaks"], own["missed"], own["first"]) == ([], [], "Pin")
    unpinned = place.seen("base", free, pinned=False)
    if layout.right:
        assert (unpinned["now"], unpinned["leaks"]) == ("base", [])
    else:  # and the check says so
        assert unpinned["now"] == "head"
        names = {leak.partition(" ")[0] for leak in unpinned["leaks"]}
        assert {layout.package, layout.lazy} <= names
    if layout.native:
        assert own[layout.native] == "head"
        assert "--perfguard-against-install" in seen[layout.native]
        assert [missed.partition(" ")[0] for missed in seen["missed"]] == [layout.native]
    else:
        assert seen["missed"] == []
    for name in layout.others:
        assert (seen[name], own[name]) == ("beside", "beside")
    place.close()
