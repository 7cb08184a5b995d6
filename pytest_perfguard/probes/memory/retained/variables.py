"""Variables of the functions that are running, in all threads."""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
from pathlib import Path

from pytest_perfguard.probes.memory.retained import places
from pytest_perfguard.probes.memory.retained.chain import Owner

_RUNNERS = frozenset({"_pytest", "pluggy", "pytest", "xdist", "execnet", "runpy"})
_OUR_FOLDER = str(Path(__file__).parents[2])


def is_ours(module: str) -> bool:
    """Return whether a module is of this package."""
    return module.partition(".")[0] == "pytest_perfguard"


def is_runners(module: str) -> bool:
    """Return whether a module is of what runs the tests."""
    return module.partition(".")[0] in _RUNNERS


def is_users(module: str) -> bool:
    """Return whether a module is neither of the standard library nor of a package that is installed."""
    if module in ("__main__", "__mp_main__"):
        return True
    path = places.file_of(module)
    return bool(path) and not path.startswith(_libraries()) and not path.startswith(_OUR_FOLDER)


def variables() -> dict[int, Owner]:
    """Return who holds the objects that variables of running functions are bound to, by the objects' ids."""
    found: dict[int, Owner] = {}
    for frame in sys._current_frames().values():
        each: types.FrameType | None = frame
        while each is not None:
            module = str(each.f_globals.get("__name__", ""))
            code = each.f_code
            if not (is_ours(module) or is_runners(module) or code.co_name == "<module>"):
                users = is_users(module)
                for name, value in each.f_locals.items():
                    text = f"{module}:{code.co_qualname}: {name}"
                    owner = Owner(name=text, place=places.of_code(code), users=users)
                    if id(value) not in found or (users and not found[id(value)].users):
                        found[id(value)] = owner
            each = each.f_back
    return found


@functools.cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    names = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib") if name in paths}
    names.update(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    return tuple(name + "/" for name in names)
