"""Where a project says that its packages are: the configuration of its build backend and of pytest."""

from __future__ import annotations

import ast
import configparser
import posixpath
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PYTEST_FILES = (
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is said somewhere of a project's packages."""

    project: str = ""
    """The project's name as a distribution."""
    roots: tuple[str, ...] = ()
    """Folders that hold top-level packages, relative, with `/`."""
    names: tuple[str, ...] = ()
    """Top-level names."""


def read_configuration(project: Path) -> Declared:
    """Return what the configuration files of a project say; the folders are relative to the project."""
    name, roots, names = "", list[str](), list[str]()
    pyproject = _toml(project / "pyproject.toml")
    for said in (
        _pytest(project, pyproject),
        _standard(pyproject),
        _setuptools(_table(pyproject, "tool", "setuptools")),
        _backends(_table(pyproject, "tool")),
        _setup_cfg(project / "setup.cfg"),
        _setup_py(project / "setup.py"),
    ):
        name = name or said.project
        roots += said.roots
        names += said.names
    clean = (posixpath.normpath(root.replace("\\", "/")) for root in roots)
    inside = dict.fromkeys("" if root == "." else root for root in clean if not root.startswith(("..", "/")))
    return Declared(
        project=name,
        roots=tuple(inside),
        names=tuple(dict.fromkeys(name.partition(".")[0] for name in names)),
    )


def _pytest(project: Path, pyproject: Mapping[str, Any]) -> Declared:
    values = [
        _table(pyproject, "tool", "pytest", "ini_options").get("pythonpath"),
        _table(pyproject, "tool", "pytest").get("pythonpath"),
        _toml(project / "pytest.toml").get("pytest", {}).get("pythonpath"),
        *(_ini(project / file).get(section, {}).get("pythonpath") for file, section in _PYTEST_FILES),
    ]
    return Declared(roots=tuple(entry for value in values for entry in _strings(value)))


def _standard(pyproject: Mapping[str, Any]) -> Declared:
    name = _table(pyproject, "project").get("name") or _table(pyproject, "tool", "poetry").get("name") or ""
    return Declared(project=str(name))


def _setuptools(table: Mapping[str, Any]) -> Declared:
    packages = table.get("packages")
    names, roots = list(_strings(table.get("py-modules"))), list[str]()
    if isinstance(packages, Mapping):
        roots += _strings(_table(packages, "find").get("where"))
    else:
        names += _strings(packages)
    for package, folder in _table(table, "package-dir").items():
        roots += _holder(package, str(folder))
    return Declared(roots=tuple(roots), names=tuple(names))


def _backends(tool: Mapping[str, Any]) -> Declared:
    """Return what the other build backends are told."""
    roots, paths, names = list[str](), list[str](), list[str]()
    for hatch in (
        _table(tool, "hatch", "build"),
        _table(tool, "hatch", "build", "targets", "wheel"),
        _table(tool, "hatch", "build", "targets", "editable"),
    ):
        paths += [*_strings(hatch.get("packages")), *_strings(hatch.get("only-include"))]
        roots += [*_strings(hatch.get("sources")), *_strings(hatch.get("dev-mode-dirs"))]
    for package in _table(tool, "poetry").get("packages", []):
        if isinstance(package, Mapping):
            roots += _strings(package.get("from"))
            names += [part.partition("/")[0] for part in _strings(package.get("include"))]
    roots += _strings(_table(tool, "pdm", "build").get("package-dir"))
    paths += _strings(_table(tool, "pdm", "build").get("includes"))
    paths += _strings(_table(tool, "scikit-build", "wheel").get("packages"))
    names += _strings(_table(tool, "flit", "module").get("name"))
    uv = _table(tool, "uv", "build-backend")
    roots += _strings(uv.get("module-root"))
    names += _strings(uv.get("module-name"))
    roots += _strings(_table(tool, "maturin").get("python-source"))
    names += _strings(_table(tool, "maturin").get("module-name"))
    for path in paths:
        folder, name = posixpath.split(path.rstrip("/"))
        if "*" not in path:
            roots.append(folder)
            names.append(name.removesuffix(".py"))
    return Declared(roots=tuple(roots), names=tuple(names))


def _setup_cfg(file: Path) -> Declared:
    sections = _ini(file)
    options = sections.get("options", {})
    roots = list(_strings(sections.get("options.packages.find", {}).get("where")))
    for line in options.get("package_dir", "").splitlines():
        package, _, folder = line.partition("=")
        roots += _holder(package.strip(), folder.strip())
    names = [
        name
        for key in ("packages", "py_modules")
        for name in options.get(key, "").replace(",", " ").split()
        if name.replace(".", "").isidentifier()
    ]
    return Declared(project=sections.get("metadata", {}).get("name", ""), roots=tuple(roots), names=tuple(names))


def _setup_py(file: Path) -> Declared:
    """Return what stands in a `setup.py` as it is: nothing of it is run."""
    try:
        program = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return Declared()
    name, roots, names = "", list[str](), list[str]()
    for call in ast.walk(program):
        for keyword in call.keywords if isinstance(call, ast.Call) else []:
            try:
                value = ast.literal_eval(keyword.value)
            except (ValueError, TypeError):
                continue
            if keyword.arg == "name" and isinstance(value, str):
                name = name or value
            elif keyword.arg == "where":
                roots += _strings(value)
            elif keyword.arg in {"packages", "py_modules"}:
                names += _strings(value)
            elif keyword.arg == "package_dir" and isinstance(value, dict):
                for package, folder in value.items():
                    roots += _holder(str(package), str(folder))
    return Declared(project=name, roots=tuple(roots), names=tuple(names))


def _holder(package: str, folder: str) -> Iterator[str]:
    """Yield the folder that holds a package whose own folder is `folder`, where the folder has the package's name."""
    if not package:
        yield folder
    else:
        suffix = package.replace(".", "/")
        if folder == suffix or folder.endswith(f"/{suffix}"):
            yield folder.removesuffix(suffix).rstrip("/")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, Mapping):
        yield from (part for part in (*value.keys(), *value.values()) if isinstance(part, str) and part)
    elif isinstance(value, Iterable):
        yield from (part for part in value if isinstance(part, str))


def _table(table: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = table.get(key)
        table = value if isinstance(value, Mapping) else {}
    return table


def _toml(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _ini(file: Path) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(file.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    return {section: dict(parser.items(section)) for section in parser.sections()}
