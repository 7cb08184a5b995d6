"""What a project's pytest configuration says, read without pytest."""

from __future__ import annotations

import configparser
import shlex
import tomllib
from pathlib import Path

_SECTIONS = (("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"))


def ini_value(root: Path, key: str) -> str:
    """Return the value of `key` in the pytest configuration at `root`, as text; empty where it is not set or readable.

    The files are looked at in pytest's own order; a list of words becomes one line.
    """
    for name in ("pytest.toml", ".pytest.toml"):
        if value := _from_toml(root / name, ("pytest",), key):
            return value
    for name, section in _SECTIONS[:2]:
        if value := _from_ini(root / name, section, key):
            return value
    for table in (("tool", "pytest", "ini_options"), ("tool", "pytest")):
        if value := _from_toml(root / "pyproject.toml", table, key):
            return value
    return next((value for name, section in _SECTIONS[2:] if (value := _from_ini(root / name, section, key))), "")


def _from_toml(path: Path, table: tuple[str, ...], key: str) -> str:
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        for name in table:
            plain = plain[name]
        value = plain[key]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return ""
    return shlex.join(str(word) for word in value) if isinstance(value, list) else str(value)


def _from_ini(path: Path, section: str, key: str) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return ""
    return parser.get(section, key, fallback="").strip()
