"""Small projects, one for each way in which a project's package can come to be importable."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

REQUIREMENTS = (
    "pip>=24.1",
    "setuptools>=77",
    "hatchling>=1.27",
    "editables>=0.5",
    "pdm-backend>=2.4",
    "scikit-build-core>=0.11",
    "meson-python>=0.18",
    "cmake>=3.26",
    "ninja>=1.11",
)
"""What builds them."""

NATIVE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, NULL};
PyMODINIT_FUNC PyInit__native(void) {
    PyObject *made = PyModule_Create(&module);
    if (made) PyModule_AddStringConstant(made, "VALUE", "%s");
    return made;
}
"""

TESTS = """
import importlib
import json
import os
import subprocess
import sys

import {package} as package


def test_values():
    seen = {{"now": package.VALUE, "file": package.__file__}}
    seen["lazy"] = importlib.import_module("{lazy}").VALUE
    child = [sys.executable, "-c", "import {package} as package; print(package.VALUE)"]
    seen["child"] = subprocess.run(child, capture_output=True, text=True).stdout.strip()
    for name in {others}:
        try:
            seen[name] = importlib.import_module(name).VALUE
        except ImportError as error:
            seen[name] = f"{{type(error).__name__}}: {{error}}"
    from conftest_pin import pin
    seen |= {{"leaks": pin.leaks(), "missed": pin.missed(), "first": type(sys.meta_path[0]).__name__}}
    with open(os.environ["SEEN"], "w") as file:
        json.dump(seen, file)
"""

CONFTEST = """
import importlib.util
import os
import sys


class Rude:
    def find_spec(self, name, path=None, target=None):
        return None


sys.meta_path.insert(0, Rude())
pin = sys.modules.get("_perfguard_pin")
if pin is None:  # imports are left alone, and only the check is made
    spec = importlib.util.spec_from_file_location("checker", os.environ["PIN_MODULE"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pin = module.Pin(module.read(os.environ["PERFGUARD_PIN"]), os.environ["PERFGUARD_PIN"])
else:
    pin.reassert()
sys.modules["conftest_pin"] = sys.modules[__name__]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A project in two versions, as files whose `VALUE`s say which version they are of."""

    name: str
    files: Mapping[str, str]
    """Of the project itself; `{value}` in them is "base" or "head"."""
    before: Mapping[str, str] | None = None
    """Of base, where its layout is another."""
    tests: Mapping[str, str] = field(default_factory=dict)
    """Beside the test file, where there is more."""
    package: str = "shop"
    lazy: str = "shop.lazy"
    native: str = ""
    """Its compiled module."""
    others: tuple[str, ...] = ()
    """What else is imported."""
    installed: bool = True
    options: tuple[str, ...] = ()
    """For pip."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Files of another distribution in the same environment."""
    right: bool = False
    """Whether base's tests see base's package without the pin."""

    def write(self, value: str) -> dict[str, str]:
        """Return all files of a version, with its tests."""
        chosen = self.before if value == "base" and self.before is not None else self.files
        files = {name: textwrap.dedent(text).lstrip().replace("{value}", value) for name, text in chosen.items()}
        others = tuple(filter(None, (self.native, *self.others)))
        test = TESTS.format(package=self.package, lazy=self.lazy, others=others)
        tests = {"tests/test_values.py": test, "tests/conftest.py": CONFTEST, **self.tests}
        return files | (
            tests if value == "head" else dict.fromkeys(tests, "raise RuntimeError('base has other tests')\n")
        )


def _package(folder: str = "", name: str = "shop") -> dict[str, str]:
    return {f"{folder}{name}/__init__.py": "VALUE = '{value}'\n", f"{folder}{name}/lazy.py": "VALUE = '{value}'\n"}


def _pyproject(backend: str, requires: str, more: str = "", name: str = "shop-layout") -> dict[str, str]:
    head = f"""\
        [build-system]
        requires = ["{requires}"]
        build-backend = "{backend}"

        [project]
        name = "{name}"
        version = "1"
        """
    return {"pyproject.toml": textwrap.dedent(head) + "\n" + textwrap.dedent(more)}


def _setuptools(more: str = "") -> dict[str, str]:
    return _pyproject("setuptools.build_meta", "setuptools", more)


_HATCH = """
    [tool.hatch.build.targets.wheel]
    packages = ["src/shop"]
    """

_EXACT = """
    [tool.hatch.build]
    dev-mode-exact = true
    """

_FLAT_PACKAGES = """
    [tool.setuptools]
    packages = ["shop"]
    """

_SCIKIT = """
    [tool.scikit-build]
    wheel.packages = ["src/shop"]
    """

_CMAKE = """
    cmake_minimum_required(VERSION 3.26)
    project(shop LANGUAGES C)
    find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
    python_add_library(_native MODULE src/shop/_native.c WITH_SOABI)
    install(TARGETS _native DESTINATION shop)
    """

_MESON = """
    project('shop', 'c')
    py = import('python').find_installation(pure: false)
    py.install_sources(['shop/__init__.py', 'shop/lazy.py'], subdir: 'shop')
    py.extension_module('_native', 'shop/_native.c', install: true, subdir: 'shop')
    """

_SETUP = """
    from setuptools import Extension, setup

    setup(ext_modules=[Extension("shop._native", ["src/shop/_native.c"])])
    """

_SRC_CONFTEST = """
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent / "src"))
    """

_NATIVE = NATIVE % "{value}"

LAYOUTS = (
    Layout(name="flat", files=_package(), tests={"tests/__init__.py": ""}, installed=False, right=True),
    Layout(
        name="src", files={**_package("src/"), "conftest.py": _SRC_CONFTEST}, installed=False, right=True,
    ),
    Layout(
        name="pythonpath", installed=False, right=True,
        files={**_package("code/"), "pytest.ini": "[pytest]\npythonpath = code\n"},
    ),
    Layout(
        name="importlib",
        files={**_package("src/"), **_setuptools("[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\n")},
    ),
    Layout(name="setuptools-path", files={**_package("src/"), **_setuptools()}),
    Layout(name="setuptools-finder", files={**_package(), **_setuptools(_FLAT_PACKAGES)}),
    Layout(
        name="setuptools-compat", files={**_package(), **_setuptools(_FLAT_PACKAGES)},
        options=("--config-settings=editable_mode=compat",),
    ),
    Layout(
        name="setuptools-strict", files={**_package(), **_setuptools(_FLAT_PACKAGES)},
        options=("--config-settings=editable_mode=strict",),
    ),
    Layout(name="hatchling-path", files={**_package("src/"), **_pyproject("hatchling.build", "hatchling", _HATCH)}),
    Layout(
        name="hatchling-exact",
        files={
            **_package("src/"),
            **_pyproject("hatchling.build", "hatchling", _HATCH + _EXACT),
        },
    ),
    Layout(name="pdm-backend", files={**_package("src/"), **_pyproject("pdm.backend", "pdm-backend")}),
    Layout(
        name="pdm-backend-editables",
        files={
            **_package("src/"),
            **_pyproject("pdm.backend", "pdm-backend", "[tool.pdm.build]\neditable-backend = 'editables'\n"),
        },
    ),
    Layout(
        name="scikit-build-core", native="shop._native",
        files={
            **_package("src/"), "src/shop/_native.c": _NATIVE, "CMakeLists.txt": _CMAKE,
            **_pyproject("scikit_build_core.build", "scikit-build-core", _SCIKIT),
        },
    ),
    Layout(
        name="meson-python", native="shop._native",
        files={
            **_package(), "shop/_native.c": _NATIVE, "meson.build": _MESON,
            **_pyproject("mesonpy", "meson-python"),
        },
    ),
    Layout(
        name="setuptools-extension", native="shop._native",
        files={**_package("src/"), "src/shop/_native.c": _NATIVE, "setup.py": _SETUP, **_setuptools()},
    ),
    Layout(
        name="namespace", package="corner.shop", lazy="corner.shop.lazy", others=("corner.bakery",),
        files={**_package("src/corner/"), **_setuptools()},
        beside={"corner/bakery.py": "VALUE = 'beside'\n"},
    ),
    Layout(
        name="namespace-finder", package="corner.shop", lazy="corner.shop.lazy", others=("corner.bakery",),
        files={**_package("corner/"), **_setuptools("[tool.setuptools]\npackages = ['corner.shop']\n")},
        beside={"corner/bakery.py": "VALUE = 'beside'\n"},
    ),
    Layout(
        name="modules", lazy="shop_lazy",
        files={
            "shop.py": "VALUE = '{value}'\n", "shop_lazy.py": "VALUE = '{value}'\n",
            **_setuptools("[tool.setuptools]\npy-modules = ['shop', 'shop_lazy']\n"),
        },
    ),
    Layout(
        name="moved-to-src", before={**_package(), **_setuptools(_FLAT_PACKAGES)},
        files={**_package("src/"), **_setuptools()},
    ),
)  # fmt: skip
