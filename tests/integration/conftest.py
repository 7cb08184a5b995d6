"""Inner sessions of pytest, and what their reports say."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import textwrap

import pytest

import pytest_perfguard
from pytest_perfguard.probes.memory.size import SizeProbe

REPORT = "perf.json"

# An inner session in this process drops what it imported. These cannot be imported a second time, or only slowly, and
# values of perfguard that outlive a session must not be of classes that do not.
_KEPT = (
    "git",
    "numpy",
    "psutil",
    "pympler.asizeof",
    "scipy.special",
    "sqlalchemy",
    "sqlite3",
    "tabulate",
    "xdist.dsession",
)
_OWN = [module.name for module in pkgutil.walk_packages(pytest_perfguard.__path__, "pytest_perfguard.")]
for _module in (*_KEPT, *_OWN):
    if not _module.endswith("__main__"):
        importlib.import_module(_module)
_probe = SizeProbe()
_probe.stop(_probe.start(), ())


class Inner:
    """What an inner session did: pytest's own result, and perfguard's report."""

    def __init__(self, result, report):
        self.code = result.ret
        self.result = result
        self.text = result.stdout.str()
        self.report = report

    @property
    def outcomes(self):
        """Return how many tests had which outcome."""
        return {name: count for name, count in self.result.parseoutcomes().items() if name != "warnings"}

    def verdicts(self, test="", metric=None):
        """Return the verdicts on tests whose node id ends like this."""
        return [
            verdict
            for verdict in self.report["verdicts"]
            if verdict["test"].endswith(test) and metric in (None, verdict["metric"])
        ]

    def judged(self, test="", metric=None):
        """Return outcome and whether it fails, of the only verdict of that kind."""
        (verdict,) = self.verdicts(test, metric)
        return verdict["outcome"], verdict["fails"]

    def measured(self, test="", name=""):
        """Return the only measurement of that test and name."""
        (found,) = [
            each for each in self.report["measurements"] if each["test"].endswith(test) and each["name"] == name
        ]
        return found

    def names(self, test=""):
        """Return the names of the measurements of a test."""
        return sorted(each["name"] for each in self.report["measurements"] if each["test"].endswith(test))

    def value(self, metric, test="", name=""):
        """Return the values of a series that has the same one in each round."""
        (value,) = set(self.measured(test, name)["series"][metric]["values"])
        return value

    @property
    def notes(self):
        """Return the codes of the remarks on the run and its baseline."""
        baseline = self.report["baseline"] or {"notes": []}
        return {note["code"] for note in (*self.report["notes"], *self.report["header"]["notes"], *baseline["notes"])}


class Project:
    """A folder with tests, and ways to run them."""

    def __init__(self, pytester, workers):
        self.path = pytester.path
        self.pytester = pytester
        self.workers = workers

    def write(self, **files):
        """Write Python files by their name without suffix; two underscores make a folder."""
        for name, text in files.items():
            path = self.path / (name.replace("___", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_dedent(text), encoding="utf-8")
            # A file that changes twice in a second, at equal size, would be taken from the cache of bytecode.
            for old in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                old.unlink()

    def ini(self, text):
        """Write the ini file."""
        (self.path / "pytest.ini").write_text("[pytest]\n" + _dedent(text), encoding="utf-8")

    def run(self, *args, plugins=(), apart=False, code=None):
        """Run pytest and return what it did; in a process of its own with `apart`, which is what takes long."""
        report = self.path / REPORT
        report.unlink(missing_ok=True)
        result = self.start(
            *self.workers, "--perfguard-target-time=5ms", f"--perfguard-report=json:{report}", *args,
            plugins=plugins, apart=apart,
        )  # fmt: skip
        inner = Inner(result, json.loads(report.read_text("utf-8")) if report.exists() else None)
        if code is not None:
            assert inner.code == code, inner.text
        return inner

    def start(self, *args, plugins=(), apart=False):
        """Run pytest with perfguard and these plugins, and nothing that the settings did not ask for."""
        names = ["perfguard", *(["xdist.plugin"] if "-n" in args else []), *plugins]
        options = [part for name in names for part in ("-p", name)]
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        return run(*options, "-p", "no:cacheprovider", *args)

    def commit(self, subject="change"):
        """Commit all files, in a repository that is made where there is none, and return the SHA."""
        if not (self.path / ".git").exists():
            git(self.path, "init", "-q", "-b", "main")
            (self.path / ".gitignore").write_text(f"__pycache__\n{REPORT}\n*.xml\nstdout\nstderr\n", encoding="utf-8")
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", subject)
        return git(self.path, "rev-parse", "HEAD")

    def stored(self):
        """Return the names of the stored runs."""
        return sorted(path.name for path in (self.path / "baselines" / "runs").rglob("*.jsonl.gz"))

    def leftovers(self):
        """Return the temporary files in the folder."""
        return list(self.path.rglob("*.tmp"))


def git(folder, *command):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _dedent(text):
    return textwrap.dedent(text).lstrip("\n")


@pytest.fixture
def inner_environment(bare_environment, monkeypatch):
    """Let an inner session load the plugins that it names, and no others."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def project(pytester, inner_environment):
    """A folder whose tests run in one process."""
    return Project(pytester, ())


@pytest.fixture(params=[(), ("-n", "2")], ids=["alone", "workers"])
def either(request, pytester, inner_environment):
    """The same, and once more with two workers of pytest-xdist."""
    return Project(pytester, request.param)
