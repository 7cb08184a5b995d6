"""Every block of code in the README and the documentation does what the text says of it."""

from __future__ import annotations

import configparser
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_perfguard.config import SETTINGS
from pytest_perfguard.errors import ProbeError
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.probes.memory.heap import HeapProbe
from pytest_perfguard.stats import spread
from pytest_perfguard.stats.location import widen
from tests.docs.blocks import KEYS, Block, commands, loosen, missing, read_blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not {"_build", "generated", "changes"} & set(page.relative_to(ROOT).parts)]
BLOCKS = {page: read_blocks(page) for page in PAGES}

NOT_RUN = {
    r"git clone .*": "needs the network",
    r"(python -m )?pip (install|wheel) .*": "would change the environment of the tests",
    r"python3? -m venv .*|\. \S+/bin/activate": "the tests run in an environment already",
    r"cd pytest-perfguard": "goes with the clone",
    r"make [a-z-]+": "runs these tests, or takes as long as they do",
    r"git (fetch|push|pull) .*": "needs a remote",
    r"python examples/demo\.py": "is run by make demo",
}
"""Commands that are shown and not run, each with the reason."""

TIMEOUT = 240


class Project:
    """The folder in which the blocks of one page are used, one after the other."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._number = 0
        self._done: dict[int, str] = {}
        self.start_anew()

    def start_anew(self) -> None:
        """Go on in an empty folder."""
        self._number += 1
        self.root = self._home / f"project-{self._number}"
        self.root.mkdir()

    def run_up_to(self, block: Block) -> None:
        """Use the blocks of the page up to `block`, those that were not used yet."""
        for each in BLOCKS[block.page]:
            if each.number > block.number:
                break
            if each.number not in self._done:
                self._done[each.number] = self._use(each)
            if self._done[each.number]:
                where = "" if each is block else f"the block in line {each.line}, which this one builds on: "
                pytest.fail(where + self._done[each.number], pytrace=False)

    def _use(self, block: Block) -> str:
        """Use one block and return what is wrong with it, empty for nothing."""
        try:
            use(block, self)
        except AssertionError as error:
            return str(error) or "failed"
        return ""

    def bash(self, script: str) -> tuple[int, str]:
        """Run `script` in the project and return its exit code and all that it printed."""
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.root,
            env=environment(self._home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return done.returncode, done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        target = self.root / path
        assert target.resolve().is_relative_to(self.root), f"{path} is outside of the project"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which only what the pages say decides."""
    foreign = ("PERFGUARD_", "PYTEST_", "GIT_", "GITHUB_", "CI_")
    kept = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith(foreign)}
    others = ("randomly", "asyncio", "benchmark", "rerunfailures", "pytest_repeat", "cacheprovider", "hypothesispytest")
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
        "HOME": str(home),
        "COLUMNS": "100",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": " ".join(f"-p no:{name}" for name in others),
        "PERFGUARD_TARGET_TIME": "0.05 s",
        "PERFGUARD_AGAINST_MIN_EFFECT": "20 %",
        "PERFGUARD_MAX_TIME": "200 s",
        **{f"GIT_{role}_NAME": "Reader" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "reader@example.org" for role in ("AUTHOR", "COMMITTER")},
    }


def use(block: Block, project: Project) -> None:
    """Check one block; raises `AssertionError`."""
    assert block.marks.keys() <= KEYS, f"unknown marks: {sorted(block.marks.keys() - KEYS)}"
    if "new project" in block.marks:
        project.start_anew()
    assert block.language in LANGUAGES, f"nobody checks blocks of the language {block.language!r}"
    LANGUAGES[block.language](block, project)


def use_python(block: Block, project: Project) -> None:
    compile(block.text, str(block.page), "exec")
    path = block.marks.get("file") or f"test_block_{block.number}.py"
    project.write(path, block.text)
    if not Path(path).name.startswith("test_"):
        return
    assert "def test_" in block.text, "a block of Python names its file, or has a test in it"
    if "later" in block.marks:
        assert any(
            re.search(r"^\$ .*pytest", each.text, re.M)
            for each in BLOCKS[block.page]
            if each.number > block.number and each.language == "console"
        ), "no command further down runs this test"
        return
    code, output = project.bash(f"python -m pytest -q {path}")
    expect(block, code, output)


def use_console(block: Block, project: Project) -> None:
    shown = commands(block.text)
    assert shown, "no line begins with '$ '"
    for place, (command, output) in enumerate(shown):
        if any(re.fullmatch(pattern, command) for pattern in NOT_RUN):
            assert not output, f"{command!r} is not run, so nothing can be said of its output"
            continue
        code, real = project.bash(command)
        if place == len(shown) - 1:
            expect(block, code, real)
        else:
            assert code == 0, f"{command!r} ended with {code}:\n{real}"
        lost = missing(output, real)
        assert lost is None, f"{command!r} printed no {lost!r}:\n{real}\n\nwhich reads as\n{loosen(real)}"


def expect(block: Block, code: int, output: str) -> None:
    """Check how a block ended, and what a failing one has to say."""
    wanted = int(block.marks.get("exit", "fails" in block.marks))
    assert code == wanted, f"ended with {code}, not {wanted}:\n{output}"
    if block.marks.get("fails"):
        lost = missing(block.marks["fails"], output)
        assert lost is None, f"printed no {lost!r}:\n{output}"


def use_toml(block: Block, project: Project) -> None:
    parsed = tomllib.loads(block.text)
    known_keys(parsed.get("tool", {}).get("pytest", {}).get("ini_options", {}))
    if "file" in block.marks:
        project.write(block.marks["file"], block.text)


def use_ini(block: Block, project: Project) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block.text)
    for section in parser.sections():
        known_keys(dict(parser[section]))
    if "file" in block.marks:
        project.write(block.marks["file"], block.text)


def known_keys(table: dict[str, object]) -> None:
    unknown = {key for key in table if key.startswith("perfguard_")} - {setting.ini for setting in SETTINGS}
    assert not unknown, f"no setting is called {sorted(unknown)}"


def use_yaml(block: Block, project: Project) -> None:
    # There is no YAML reader among the packages for tests; the options are what goes wrong in such recipes.
    assert "\t" not in block.text
    assert all((len(line) - len(line.lstrip())) % 2 == 0 for line in block.text.splitlines())
    assert "--perfguard" in block.text or "perfguard" in block.text, "what has this to do with perfguard?"
    known_options(block.text)


def use_json(block: Block, project: Project) -> None:
    json.loads(block.text)


def use_text(block: Block, project: Project) -> None:
    """A drawing is for people; anything else in such a block would be a program that nobody runs."""
    assert re.search(r"[→←│├└─]", block.text), "write the language of this block, or draw"


def known_options(text: str) -> None:
    options = set(re.findall(r"--perfguard[a-z-]*", text))
    assert options <= {setting.flag for setting in SETTINGS}, f"no option is called {sorted(options)}"


def leave_to_sphinx(block: Block, project: Project) -> None:
    """A directive: `make docs` fails where it is wrong."""


LANGUAGES: dict[str, Callable[[Block, Project], None]] = {
    "python": use_python,
    "console": use_console,
    "toml": use_toml,
    "ini": use_ini,
    "yaml": use_yaml,
    "json": use_json,
    "text": use_text,
    **dict.fromkeys(("{toctree}", "{eval-rst}", "{include}"), leave_to_sphinx),
}


@functools.cache
def _refusal() -> str:
    """Return why `heap` cannot be measured here, empty where it can."""
    probe = HeapProbe()
    try:
        probe.stop(probe.start())
    except ProbeError as error:
        return str(error)
    return ""


_projects: dict[Path, Project] = {}


@pytest.mark.parametrize("block", [block for blocks in BLOCKS.values() for block in blocks], ids=str)
def test_block(block: Block, tmp_path_factory: pytest.TempPathFactory) -> None:
    refused = _refusal() if block.page.name == "heap.md" else ""
    if refused:
        pytest.skip(refused)
    if block.page not in _projects:
        _projects[block.page] = Project(tmp_path_factory.mktemp(block.page.stem))
    _projects[block.page].run_up_to(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_options_that_exist(page: Path) -> None:
    if page.name != "design.md":  # it also speaks of what is to come
        known_options(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_fence_is_overlooked(page: Path) -> None:
    fences = re.findall(r"^ *`{3,}", page.read_text(encoding="utf-8"), re.M)
    assert len(fences) == 2 * len(BLOCKS[page])


@pytest.mark.parametrize(
    "words",
    [
        f"nothing is known of, {spread.UNKNOWN.deviation:.0%} is assumed".replace("%", " %"),
        f"with the weight of {spread.UNKNOWN.degrees:g} degrees",
        f"to be calmer than {spread.FLOOR * 100:g} %",
        f"for more than {spread.CALMEST_DEGREES:g} degrees of freedom",
        f"by a factor of {widen(1.0, 1.0, spread.UNKNOWN, confidence=Policy().budget_confidence)[1]:.2f} up and down",
        f"by order statistics of {Policy().budget_confidence * 100:g} % confidence",
        f"With a margin of {Policy().margin * 100:g} %",
        f"alarm, {(1 - Policy().confidence) * 100:g} % a run",
    ],
)
def test_numbers_in_the_text_are_those_of_the_code(words: str) -> None:
    assert words in " ".join((ROOT / "docs" / "how-it-decides.md").read_text(encoding="utf-8").split())
