"""Environments of their own, on projects that are really built and installed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live.install import install_release, install_tree
from tests.layouts.install_projects import ask, compiled_project, pure_project, write

INSTALL = """
import sys
from pathlib import Path
from pytest_perfguard.live.install import install_tree
print(install_tree(Path(sys.argv[1]), key="1", python=sys.executable, cache=Path(sys.argv[2]), progress=print).python)
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Need the package index."""
    target = tmp_path_factory.mktemp("downloads")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--retries=0",
        "-d",
        str(target),
        "six==1.15.0",
    ]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("the package index cannot be reached")


@pytest.fixture(scope="module")
def compiled(index, tmp_path_factory):
    """Install two revisions of a project whose C code and dependency differ."""
    folder = tmp_path_factory.mktemp("compiled")
    revisions = (("base", "1.0", 1, "six==1.15.0"), ("head", "2.0", 2, "six>=1.16"))
    return {
        name: install_tree(
            compiled_project(folder / name, version, answer=answer, dependency=dependency),
            key=name,
            python=sys.executable,
            cache=folder / "cache",
            progress=lambda _: None,
        )
        for name, version, answer, dependency in revisions
    }


def test_each_revision_runs_its_own_compiled_code(compiled):
    answers = {}
    for name, installed in compiled.items():
        answer, extension = ask(installed.python, "import tinyc._native as n; print(n.answer(), n.__file__)").split(
            " ", 1
        )
        answers[name] = int(answer)
        assert extension.startswith(str(installed.packages_folder))
    assert answers == {"base": 1, "head": 2}


def test_each_revision_sees_its_own_version_and_dependencies(compiled):
    code = (
        "from importlib.metadata import version; import six; print(version('tinyc'), version('six'), six.__version__)"
    )
    base, head = (ask(compiled[name].python, code).split() for name in ("base", "head"))
    assert base == ["1.0", "1.15.0", "1.15.0"]
    assert head[0] == "2.0"
    assert head[1] == head[2] >= "1.16"


def test_dependencies_of_its_own_are_told(compiled):
    (note,) = (note for note in compiled["base"].notes if note.code == "own-dependencies")
    assert "six 1.15.0" in note.message


def test_all_else_is_that_of_the_running_environment(compiled):
    code = "import pytest, pytest_perfguard, psutil; print(pytest.__file__, pytest_perfguard.__file__, psutil.__file__)"
    assert ask(compiled["base"].python, code) == ask(sys.executable, code)


def test_two_releases_even_one_that_is_installed_already(index, tmp_path):
    running = importlib.metadata.version("tabulate")
    for version in ("0.9.0", running):
        installed = install_release("tabulate", version, python=sys.executable, cache=tmp_path, progress=lambda _: None)
        code = "import tabulate, importlib.metadata as m; print(m.version('tabulate'), tabulate.__file__)"
        found, file = ask(installed.python, code).split(" ", 1)
        assert found == version
        assert file.startswith(str(installed.packages_folder))


def test_a_release_that_does_not_exist(index, tmp_path):
    with pytest.raises(
        MeasurementError, match=r"(?s)tabulate 0\.0\.77 could not be installed: .*No matching distribution"
    ):
        install_release("tabulate", "0.0.77", python=sys.executable, cache=tmp_path, progress=lambda _: None)


def test_what_the_measuring_needs_is_not_replaced(index, tmp_path):
    tree = pure_project(tmp_path / "tree", "1.0", dependencies=("pluggy<1",))
    with pytest.raises(MeasurementError, match=r"(?s)pluggy.*conflict"):
        install_tree(tree, key="1", python=sys.executable, cache=tmp_path / "cache", progress=lambda _: None)


def test_the_second_call_builds_nothing(tmp_path):
    tree = pure_project(tmp_path / "tree", "1.0")
    told = []
    first, second = (
        install_tree(tree, key="1", python=sys.executable, cache=tmp_path / "cache", progress=told.append)
        for _ in range(2)
    )
    assert first == second
    assert (tree / "builds.txt").read_text() == "built\n"
    assert told[0] == "tiny (1): being installed into an environment of its own"
    assert told[1].startswith("tiny (1): installed in ")
    assert told[2:] == ["tiny (1): its environment is in the cache"]
    install_tree(tree, key="2", python=sys.executable, cache=tmp_path / "cache", progress=told.append)
    assert (tree / "builds.txt").read_text() == "built\n" * 2


def test_an_editable_install_of_head_below_does_not_win(tmp_path):
    parent = tmp_path / "parent"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(parent)], check=True)
    (packages,) = parent.glob("lib/python*/site-packages") if os.name != "nt" else [parent / "Lib" / "site-packages"]
    head = pure_project(tmp_path / "head", "2.0")
    write(
        packages,
        {
            "running.pth": f"{importlib.metadata.distribution('pip').locate_file('')}\n",
            "tiny-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 2.0\n",
            "tiny-2.0.dist-info/RECORD": "tiny-2.0.dist-info/METADATA,,\n_tiny_editable.pth,,\n",
            "_tiny_editable.pth": "import _tiny_editable\n",
            "_tiny_editable.py": f"""
                import sys
                from importlib.machinery import PathFinder

                class Finder:
                    def find_spec(name, path=None, target=None):
                        return PathFinder.find_spec(name, [{str(head)!r}]) if name == "tiny" else None

                sys.meta_path.insert(0, Finder)
                """,
        },
    )
    python = str(parent / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    code = "import tiny, importlib.metadata as m; print(tiny.VERSION, m.version('tiny'))"
    assert ask(python, code) == "2.0 2.0"
    base = pure_project(tmp_path / "base", "1.0")
    installed = install_tree(base, key="1", python=python, cache=tmp_path / "cache", progress=lambda _: None)
    assert ask(installed.python, code) == "1.0 1.0"
    assert ask(python, code) == "2.0 2.0"


def test_two_runs_at_once_build_once(tmp_path):
    tree = pure_project(tmp_path / "tree", "1.0", build="time.sleep(0.5)")
    command = [sys.executable, "-P", "-c", INSTALL, str(tree), str(tmp_path / "cache")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate(timeout=60)[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert (tree / "builds.txt").read_text() == "built\n"
    assert outputs[0][-1] == outputs[1][-1]
    assert ask(outputs[0][-1], "import tiny; print(tiny.VERSION)") == "1.0"


def test_a_build_that_fails(tmp_path):
    tree = pure_project(tmp_path / "tree", "1.0", build="raise SystemExit('needs a header that is not there')")
    cache = tmp_path / "cache"
    with pytest.raises(MeasurementError) as caught:
        install_tree(tree, key="1", python=sys.executable, cache=cache, progress=lambda _: None)
    message = str(caught.value)
    assert message.startswith("tiny (1) could not be installed: `")
    assert "pip install" in message
    assert "needs a header that is not there" in message
    assert "leave --perfguard-against-install out" in message
    log = cache / "environments" / "last-failure.log"
    assert str(log) in message
    assert "needs a header that is not there" in log.read_text()
    assert [path for path in log.parent.iterdir() if path.is_dir()] == []
    pure_project(tree, "1.0")
    installed = install_tree(tree, key="1", python=sys.executable, cache=cache, progress=lambda _: None)
    assert ask(installed.python, "import tiny; print(tiny.VERSION)") == "1.0"


def test_a_project_without_modules(tmp_path):
    tree = pure_project(tmp_path / "tree", "1.0")
    backend = (tree / "backend.py").read_text()
    (tree / "backend.py").write_text(backend.replace('"tiny/__init__.py": ', '"tiny-1.0.dist-info/NOTICE": '))
    with pytest.raises(MeasurementError, match="installs no module"):
        install_tree(tree, key="1", python=sys.executable, cache=tmp_path / "cache", progress=lambda _: None)


def _running(text):
    """Return whether a process has `text` among its arguments or is in that folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(text in part for part in (*process.cmdline(), process.cwd())):
                return True
    return False


def _wait(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_while_it_builds_leaves_no_process(tmp_path, number):
    tree = pure_project(tmp_path / "tree", "1.0", build="time.sleep(60)")
    code = INSTALL.replace("progress=print", "progress=print, janitor=Janitor()")
    run = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-c",
            f"from pytest_perfguard.live.janitor import Janitor\n{code}",
            str(tree),
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait((tree / "builds.txt").exists)
    assert _running(str(tmp_path))
    run.send_signal(number)
    run.wait(timeout=20)
    _wait(lambda: not _running(str(tmp_path)))


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_run_killed_while_it_builds_leaves_nothing_that_counts(tmp_path):
    tree = pure_project(tmp_path / "tree", "1.0", build="time.sleep(1.0)")
    cache = tmp_path / "cache"
    run = subprocess.Popen(
        [sys.executable, "-P", "-c", INSTALL, str(tree), str(cache)], stdout=subprocess.DEVNULL, text=True
    )
    _wait((tree / "builds.txt").exists)
    run.send_signal(signal.SIGKILL)
    run.wait()
    (environment,) = (path for path in (cache / "environments").iterdir() if path.is_dir())
    assert not (environment / "perfguard-complete.json").exists()
    told = []
    installed = install_tree(tree, key="1", python=sys.executable, cache=cache, progress=told.append)
    assert told[0] == "tiny (1): waits for another run that is installing it"  # the killed run's pip goes on
    assert (tree / "builds.txt").read_text() == "built\n" * 2
    assert installed.python == str(environment / "bin" / "python")
    assert ask(installed.python, "import tiny; print(tiny.VERSION)") == "1.0"
