"""Where owners are defined: `path:line`, found without importing or compiling anything."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

from pytest_perfguard.probes.memory.retained.sight import class_dict, globals_of, is_module, module_of, qualname_of

_MOST_BYTES = 4_000_000


def of_code(code: types.CodeType) -> str:
    """Return where a function is defined."""
    return f"{_shown(code.co_filename)}:{code.co_firstlineno}"


def of_class(kind: type) -> str:
    """Return where a class is defined, empty where that is not in a file of Python's."""
    path = file_of(module_of(kind))
    if not path:
        return ""
    names = class_dict(kind)
    line = names.get("__firstlineno__")  # Python 3.13
    if type(line) is int:
        return f"{_shown(path)}:{line}"
    methods = (value.__code__ for value in names.values() if type(value) is types.FunctionType)
    first = min((code.co_firstlineno for code in methods if code.co_filename == path), default=None)
    name = qualname_of(kind).rpartition(".")[2]
    line = _last_line(path, rf"[ \t]*class[ \t]+{re.escape(name)}\b", first)
    return f"{_shown(path)}:{line or first or 1}"


def of_global(module: str, name: str) -> str:
    """Return where a name of a module is bound for the first time."""
    path = file_of(module)
    if not path:
        return ""
    line = _first_line(path, rf"{re.escape(name)}[ \t]*(?::[^=\n]*)?=") if name else None
    return f"{_shown(path)}:{line or 1}"


def file_of(module: str) -> str:
    """Return the path of a module's file, empty where it is written in C or has none."""
    found = sys.modules.get(module)
    path = globals_of(found).get("__file__") if found is not None and is_module(found) else None
    return path if type(path) is str and path.endswith(".py") else ""


def _shown(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def _text(path: str) -> str:
    try:
        file = Path(path)
        return file.read_text(encoding="utf-8", errors="replace") if file.stat().st_size < _MOST_BYTES else ""
    except OSError:
        return ""


def _first_line(path: str, pattern: str) -> int | None:
    text = _text(path)
    found = re.search(f"^{pattern}", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _last_line(path: str, pattern: str, limit: int | None) -> int | None:
    """Return the last line that matches, not below `limit`: where a class of that name begins, with that method."""
    text = _text(path)
    lines = [text.count("\n", 0, found.start()) + 1 for found in re.finditer(f"^{pattern}", text, re.MULTILINE)]
    above = [line for line in lines if limit is None or line <= limit]
    return above[-1] if above else None
