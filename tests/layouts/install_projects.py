"""Small projects that are really built and installed."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write `files` into `folder`, and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return folder


def pure_project(folder: Path, version: str, *, dependencies: tuple[str, ...] = (), build: str = "") -> Path:
    """Write a project "tiny" with a build backend of its own, which needs no index; `build` is code that runs first."""
    return write(
        folder,
        {
            "pyproject.toml": f"""
                [build-system]
                requires = []
                build-backend = "backend"
                backend-path = ["."]

                [project]
                name = "tiny"
                version = "{version}"
                """,
            "tiny/__init__.py": f"VERSION = {version!r}\n",
            "backend.py": _BACKEND.format(version=version, dependencies=dependencies, build=build),
        },
    )


def compiled_project(folder: Path, version: str, *, answer: int, dependency: str) -> Path:
    """Write a project "tinyc": a C extension by setuptools whose `answer()` is `answer`, and a dependency."""
    return write(
        folder,
        {
            "pyproject.toml": f"""
                [build-system]
                requires = ["setuptools>=77"]
                build-backend = "setuptools.build_meta"

                [project]
                name = "tinyc"
                version = "{version}"
                license = "MIT"
                dependencies = ["{dependency}"]
                """,
            "setup.py": """
                from setuptools import Extension, setup

                setup(ext_modules=[Extension("tinyc._native", ["src/tinyc/native.c"])])
                """,
            "src/tinyc/__init__.py": "from tinyc._native import answer\n",
            "src/tinyc/native.c": f"""
                #include <Python.h>

                static PyObject *answer(PyObject *self, PyObject *args) {{ return PyLong_FromLong({answer}); }}
                static PyMethodDef methods[] = {{{{"answer", answer, METH_NOARGS, NULL}}, {{NULL, NULL, 0, NULL}}}};
                static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods}};
                PyMODINIT_FUNC PyInit__native(void) {{ return PyModule_Create(&module); }}
                """,
        },
    )


def ask(python: str, code: str) -> str:
    """Return what `code` prints in the interpreter `python`."""
    return subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


_BACKEND = """
import time, zipfile
from pathlib import Path

VERSION = {version!r}
DEPENDENCIES = {dependencies!r}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open("builds.txt", "a") as log:
        log.write("built\\n")
    {build}
    info = f"tiny-{{VERSION}}.dist-info"
    needs = "".join(f"Requires-Dist: {{each}}\\n" for each in DEPENDENCIES)
    files = {{
        "tiny/__init__.py": Path("tiny/__init__.py").read_text(),
        f"{{info}}/METADATA": f"Metadata-Version: 2.1\\nName: tiny\\nVersion: {{VERSION}}\\n{{needs}}",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: none\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    files[f"{{info}}/RECORD"] = "".join(f"{{name}},,\\n" for name in [*files, f"{{info}}/RECORD"])
    name = f"tiny-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""
