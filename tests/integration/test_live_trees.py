"""Base and head on disk: what each kind of base holds, on real repositories."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from pytest_perfguard.errors import ConfigError, LineageError
from pytest_perfguard.live import install
from pytest_perfguard.live.install import Installed
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.preparation import check, prepare
from pytest_perfguard.live.sides import Request

from .conftest import git

PYPROJECT = '[project]\nname = "shop"\nversion = "1"\n'
TEST = "import shop\n\ndef test_it(perf):\n    perf(shop.work)\n"


class Place:
    """A checkout, and sides that are made of it."""

    def __init__(self, top, janitor):
        self.top, self.janitor, self.said = top, janitor, []

    def write(self, files, top=None):
        for name, text in files.items():
            path = (top or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def remove(self, *names):
        for name in names:
            (self.top / name).unlink()

    def commit(self, subject="change"):
        if not (self.top / ".git").exists():
            git(self.top, "init", "-q", "-b", "main")
        git(self.top, "add", "-A")
        git(self.top, "commit", "-q", "--allow-empty", "-m", subject)
        return git(self.top, "rev-parse", "HEAD")

    def prepare(self, against="HEAD", *, root="", cwd="", ini=None, tests="head", files=("tests/test_it.py",), **more):
        request = Request(
            against=against, root=self.top / root, cwd=self.top / cwd, ini=None if ini is None else self.top / ini,
            tests=tests, files=tuple(self.top / file for file in files), **more,
        )  # fmt: skip
        self.before = content(self.top)
        self.sides = prepare(request, self.janitor, self.said.append)
        assert content(self.top) == self.before
        assert self.sides.home == self.top
        return self.sides

    @property
    def base(self):
        return content(self.sides.base.tree)

    @property
    def head(self):
        return content(self.sides.head.tree)

    def note(self, code):
        (found,) = [note for note in self.sides.notes if note.code == code]
        return str(found)


def content(tree):
    """Return what is in a tree, without what git and Python make."""
    return {
        path.relative_to(tree).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in tree.rglob("*")
        if (path.is_symlink() or path.is_file()) and not {".git", "__pycache__"} & {*path.relative_to(tree).parts}
    }


@pytest.fixture
def temp(tmp_path, monkeypatch):
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


@pytest.fixture
def place(tmp_path, temp, inner_environment):
    """A place whose checkout is empty yet; nothing may be left of what was made of it."""
    (tmp_path / "project").mkdir()
    with Janitor() as janitor:
        place = Place(tmp_path / "project", janitor)
        yield place
    assert list(temp.iterdir()) == []
    if (place.top / ".git").is_dir():
        assert len(git(place.top, "worktree", "list").splitlines()) == 1
        assert not (place.top / ".git" / "worktrees").exists()


@pytest.fixture
def shop(place):
    """One whose base is the first commit, and whose head has other code and other tests."""
    place.write(
        {
            "pyproject.toml": PYPROJECT,
            "shop/__init__.py": "SIDE = 'base'\n",
            "shop/old.py": "",
            "tests/test_it.py": "old\n",
            "tests/test_gone.py": "",
            "tests/conftest.py": "",
            "conftest.py": "",
            ".gitignore": "*.log\n_version.py\n",
        }
    )
    place.first = place.commit("first")
    git(place.top, "tag", "v1")
    place.write({"shop/__init__.py": "SIDE = 'head'\n", "tests/test_it.py": TEST, "tests/data/a.txt": "1"})
    place.remove("tests/test_gone.py", "tests/conftest.py", "conftest.py", "shop/old.py")
    place.commit("second")
    place.write({"tests/new.py": "untracked", "tests/x.log": "ignored", "shop/fresh.py": ""})
    return place


@pytest.mark.parametrize(
    ("against", "reason"), [("v1", "v1"), ("HEAD~1", "HEAD~1"), ("merge-base:other", "merge base with other")]
)
def test_a_revision_has_its_own_package_and_the_tests_of_head(shop, against, reason):
    git(shop.top, "branch", "other", "v1")
    sides = shop.prepare(against)
    assert shop.base == {
        "pyproject.toml": PYPROJECT,
        "shop/__init__.py": "SIDE = 'base'\n",
        "shop/old.py": "",
        "tests/test_it.py": TEST,
        "tests/data/a.txt": "1",
        "tests/new.py": "untracked",
        ".gitignore": "*.log\n_version.py\n",
    }
    assert (sides.reason, sides.commit.sha, sides.commit.subject) == (reason, shop.first, "first")
    assert sides.head.tree == shop.top
    assert (sides.base.strict, sides.head.strict) == (True, False)
    assert dict(sides.base.pins)["shop"] == str(sides.base.tree)
    assert dict(sides.head.pins)["shop"] == str(shop.top)
    assert (sides.base.foreign, sides.head.foreign) == ((str(shop.top),), (str(sides.base.tree),))
    assert sides.base.python == sides.head.python == sys.executable
    assert shop.said == [f"base: {reason}, {shop.first[:12]}"]
    assert not sides.base.tree.is_relative_to(shop.top)
    assert sides.notes == ()


def test_tests_of_base_leave_the_users_tree_alone(shop):
    sides = shop.prepare("v1", tests="base")
    assert sides.head.tree != shop.top
    assert shop.base["tests/test_it.py"] == shop.head["tests/test_it.py"] == "old\n"
    assert shop.head["shop/__init__.py"] == "SIDE = 'head'\n"
    assert {"tests/test_gone.py", "tests/conftest.py", "conftest.py", "shop/fresh.py"} <= shop.head.keys()
    assert not {"tests/new.py", "shop/old.py", "tests/x.log"} & shop.head.keys()
    assert sides.base.foreign == (str(shop.top), str(sides.head.tree))
    assert sides.head.foreign == (str(sides.base.tree),)


def test_a_package_that_is_new_is_never_taken_from_head(shop):
    shop.write({"store/__init__.py": ""})
    sides = shop.prepare("v1")
    assert dict(sides.head.pins)["store"] == str(shop.top)
    assert all(Path(folder).is_relative_to(sides.base.tree) for _, folder in sides.base.pins)
    assert "store" in dict(sides.base.pins)


def test_a_layout_that_changed_is_found_on_each_side(place):
    place.write({"pyproject.toml": PYPROJECT, "shop/__init__.py": "", "tests/test_it.py": TEST})
    place.commit()
    (place.top / "src").mkdir()
    (place.top / "shop").rename(place.top / "src" / "shop")
    place.write({"pyproject.toml": PYPROJECT + '[tool.pytest.ini_options]\npythonpath = ["src"]\n'})
    sides = place.prepare("HEAD", ini="pyproject.toml")
    assert dict(sides.base.pins)["shop"] == str(sides.base.tree)
    assert dict(sides.head.pins)["shop"] == str(place.top / "src")
    assert "pythonpath" in place.base["pyproject.toml"]


def test_self_is_the_tree_as_it_stands(shop):
    suffix = EXTENSION_SUFFIXES[0]
    shop.write({"shop/_version.py": "1", f"shop/fast{suffix}": "built", "tests/test_it.py": "changed"})
    shop.write({".gitignore": f"*.log\n_version.py\n*{suffix}\nvenv\n", "venv/lib/a.py": ""})
    sides = shop.prepare("self")
    assert shop.base == {
        name: text for name, text in shop.before.items() if name not in ("tests/x.log", "venv/lib/a.py")
    }
    assert (sides.reason, sides.commit.sha) == ("the same tree", "")
    assert git(sides.base.tree, "rev-parse", "HEAD") == git(shop.top, "rev-parse", "HEAD")
    assert git(sides.base.tree, "status", "--short") == git(shop.top, "status", "--short")


def test_self_needs_neither_git_nor_a_commit(place):
    files = {
        "shop/__init__.py": "",
        "tests/test_it.py": TEST,
        "build/x.py": "",
        "shop/build/x.py": "",
        "v/pyvenv.cfg": "",
    }
    place.write(files)
    kept = {name: text for name, text in files.items() if not name.startswith(("build/", "v/"))}
    place.prepare("self")
    assert place.base == kept


def test_self_before_the_first_commit(place):
    place.write({"shop/__init__.py": "", "tests/test_it.py": TEST})
    git(place.top, "init", "-q")
    place.prepare("self")
    assert place.base == place.before


def test_another_checkout_is_copied_and_left_as_it_is(shop, tmp_path):
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(shop.top), str(other))
    git(other, "checkout", "-q", "v1")
    shop.write({"shop/__init__.py": "SIDE = 'other'\n", "shop/_version.py": "9", "tests/z.log": ""}, top=other)

    def state():
        inside = sorted((other / ".git").iterdir())
        return content(other), git(other, "status", "--short", "--ignored"), inside

    before = state()
    sides = shop.prepare("../other")
    assert state() == before
    assert shop.base["shop/__init__.py"] == "SIDE = 'other'\n"
    assert shop.base["shop/_version.py"] == "9"
    assert shop.base["tests/test_it.py"] == TEST
    assert "tests/test_gone.py" not in shop.base
    assert sides.reason == f"the checkout {other}"
    assert (sides.commit.sha, sides.commit.dirty) == (shop.first, True)
    assert sides.head.foreign == (str(sides.base.tree), str(other))


def test_a_folder_without_git_is_copied_without_caches(shop, tmp_path):
    other = tmp_path / "other"
    shop.write(
        {
            "shop/__init__.py": "SIDE = 'other'\n",
            "tests/conftest.py": "",
            "env/pyvenv.cfg": "",
            "env/lib/x.py": "",
            "node_modules/a.js": "",
            "build/x.py": "",
            "shop.egg-info/PKG-INFO": "",
        },
        top=other,
    )
    (other / "link").symlink_to("shop")
    sides = shop.prepare(str(other))
    assert shop.base.keys() == {"shop/__init__.py", "link", "tests/test_it.py", "tests/new.py", "tests/data/a.txt"}
    assert sides.commit.sha == ""


def test_a_folder_inside_of_the_project_is_no_commit_of_it(shop):
    shop.write({"old/shop/__init__.py": "SIDE = 'old'\n"})
    sides = shop.prepare("./old")
    assert (sides.commit.sha, shop.base["shop/__init__.py"]) == ("", "SIDE = 'old'\n")


def test_a_folder_without_code_is_refused(shop, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="holds no Python file"):
        shop.prepare("../other")


def test_the_same_places_hold_in_a_monorepo(place, tmp_path):
    files = {
        "a/pyproject.toml": PYPROJECT,
        "a/src/shop/__init__.py": "base",
        "a/tests/test_it.py": "",
        "a/tests/conftest.py": "",
        "conftest.py": "top\n",
        "b/b.py": "",
        "b/tests/test_b.py": "old",
    }
    place.write(files)
    place.commit()
    place.write({"a/src/shop/__init__.py": "head", "a/tests/test_it.py": TEST, "b/tests/test_b.py": "new"})
    place.remove("conftest.py")
    (place.top / "a" / "new").mkdir()
    sides = place.prepare(root="a", cwd="a/new", files=("a/tests/test_it.py",), ini="a/pyproject.toml")
    assert sides.base.root == sides.base.tree / "a"
    assert sides.base.cwd == sides.base.tree / "a" / "new"
    assert sides.base.cwd.is_dir()
    assert (sides.head.root, sides.head.cwd) == (place.top / "a", place.top / "a" / "new")
    assert dict(sides.base.pins)["shop"] == str(sides.base.tree / "a" / "src")
    assert place.base == {name: text for name, text in files.items() if name != "conftest.py"} | {
        "a/tests/test_it.py": TEST
    }
    # The project's folder of another checkout stands for the whole of it.
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(place.top), str(other))
    with Janitor() as janitor:
        second = Place(place.top, janitor)
        found = second.prepare(str(other / "a"), root="a", cwd="/", files=("a/tests/test_it.py",))
        assert dict(found.base.pins)["shop"] == str(found.base.tree / "a" / "src")
        assert found.base.cwd == found.head.cwd == Path("/")


def test_links_to_the_project_are_followed(shop, tmp_path):
    (tmp_path / "link").symlink_to(shop.top)
    linked = Place(tmp_path / "link", shop.janitor)
    sides = linked.prepare("v1")
    assert (sides.base.root, sides.head.tree) == (sides.base.tree, tmp_path / "link")
    assert linked.base["tests/test_it.py"] == TEST


@pytest.mark.parametrize(
    ("files", "file", "kept", "laid"),
    [
        # tests inside of the package
        (["shop/tests/test_it.py", "shop/tests/conftest.py"], "shop/tests/test_it.py", ["shop/a.py"], []),
        (["shop/tests/deep/test_it.py", "shop/tests/help.py"], "shop/tests/deep/test_it.py", ["shop/a.py"], []),
        # a package that is called as tests often are
        (["src/perf/tests/test_it.py"], "src/perf/tests/test_it.py", ["src/perf/a.py"], []),
        (["src/bench/test_it.py"], "src/bench/test_it.py", ["src/bench/__init__.py", "src/bench/a.py"], []),
        # other folders
        (["benchmarks/cases/test_it.py", "benchmarks/help.py"], "benchmarks/cases/test_it.py", [], []),
        (["shop/perf/test_it.py", "shop/perf/help.py"], "shop/perf/test_it.py", ["shop/a.py"], []),
        (["shop_tests/test_it.py", "shop_tests/help.py"], "shop_tests/test_it.py", [], []),
        # none: test files alone
        (["test_it.py", "conftest.py", "bench_b.py"], "test_it.py", ["a.py"], []),
        (["shop/test_it.py", "shop/conftest.py", "conftest.py"], "shop/test_it.py", ["shop/a.py"], []),
    ],
)
def test_tests_are_laid_over_and_packages_are_not(place, files, file, kept, laid):
    place.write(dict.fromkeys([*files, *kept], "base"))
    place.commit()
    place.write(dict.fromkeys([*files, *kept], "head"))
    place.prepare(files=(file,))
    assert place.base == dict.fromkeys(files, "head") | dict.fromkeys(kept, "base")


def test_test_files_beside_the_package_that_are_gone_go(place):
    place.write({"shop.py": "base", "test_it.py": "", "test_gone.py": "", "conftest.py": ""})
    place.commit()
    place.write({"shop.py": "head", "test_new.py": ""})
    place.remove("conftest.py", "test_gone.py")
    place.prepare(files=("test_it.py",))
    assert place.base == {"shop.py": "base", "test_it.py": "", "test_new.py": ""}


@pytest.mark.parametrize("tests", ["head", "base"])
def test_the_configuration_comes_with_the_tests(place, tests):
    place.write({"pytest.ini": "[pytest]\n", "shop.py": "", "tests/test_it.py": ""})
    place.commit()
    place.write({"pyproject.toml": "[tool.pytest.ini_options]\n", "pytest.ini": "[pytest]\nmarkers = a\n"})
    place.prepare(ini="pytest.ini", tests=tests)
    assert place.base["pytest.ini"] == place.head["pytest.ini"]
    assert ("markers" in place.base["pytest.ini"]) == (tests == "head")


def test_a_configuration_that_one_side_lacks(place):
    place.write({"tox.ini": "[pytest]\n", "shop.py": "", "tests/test_it.py": "", "setup.cfg": "[tool:pytest]\n"})
    place.commit()
    place.remove("tox.ini", "setup.cfg")
    place.prepare(ini=None)
    assert not {"tox.ini", "setup.cfg"} & place.base.keys()
    place.write({"pytest.ini": "[pytest]\n"})
    with Janitor() as janitor:
        second = Place(place.top, janitor)
        second.prepare(ini="pytest.ini", tests="base")
        assert second.base["pytest.ini"] == second.head["pytest.ini"] == "[pytest]\n"


def test_generated_modules_are_copied_with_a_note(shop):
    shop.write({"shop/_version.py": "2", "venv/shop/_version.py": "", "_version.py": "", "shop/new/_version.py": ""})
    shop.prepare("v1")
    assert shop.base["shop/_version.py"] == "2"
    assert "shop/new/_version.py" not in shop.base
    assert "base uses head's shop/_version.py, which git ignores" in shop.note("generated-files")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shop/fast.pyx": ""}, "shop/fast.pyx"),
        ({"requirements.txt": "numpy"}, "requirements.txt"),
        ({"pyproject.toml": PYPROJECT + 'dependencies = ["six"]\n'}, "pyproject.toml"),
        ({"pyproject.toml": PYPROJECT + "[tool.ruff]\n"}, None),
        ({"setup.cfg": "[options]\ninstall_requires = six\n"}, "setup.cfg"),
        ({"setup.cfg": "[flake8]\n"}, None),
        ({"docs/requirements.txt": "sphinx", "tests/a.c": "", "README.md": ""}, None),
    ],
)
def test_installing_is_advised_where_a_checkout_is_not_enough(shop, change, named):
    shop.write(change)
    shop.prepare("v1")
    if named is None:
        assert shop.sides.notes == ()
    else:
        assert f"base and head differ in {named}" in shop.note("install-advised")
        assert "--perfguard-against-install" in shop.note("install-advised")


def test_submodules_are_filled_from_this_clone_or_named(shop, tmp_path):
    for name in ("lib", "other"):
        module = Place(tmp_path / name, None)
        module.write({f"{name}.py": "old"})
        module.commit()
        git(shop.top, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(module.top), f"shop/{name}")
    first = shop.commit()
    Place(shop.top / "shop" / "lib", None).write({"lib.py": "new"})
    git(shop.top / "shop" / "lib", "commit", "-q", "-a", "-m", "new")
    shop.commit()
    git(shop.top, "submodule", "deinit", "-q", "shop/other")
    shop.prepare(first)
    assert shop.base["shop/lib/lib.py"] == "old"
    assert not any(name.startswith("shop/other/") for name in shop.base)
    assert "submodule shop/other is empty in base" in shop.note("empty-submodule")


def test_pointers_of_git_lfs_are_filled_or_named(shop):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n"
    shop.write(
        {".gitattributes": "*.bin filter=lfs\n", "shop/a.bin": pointer.format(1), "shop/b.bin": pointer.format(2)}
    )
    first = shop.commit()
    # What a checkout with Git LFS looks like: other files than those that git has stored.
    git(shop.top, "update-index", "--assume-unchanged", "shop/a.bin")
    shop.write({"shop/a.bin": "content"})
    shop.prepare(first)
    assert shop.base["shop/a.bin"] == "content"
    assert "only pointers to shop/b.bin," in shop.note("lfs-pointers")


def test_hooks_of_the_user_do_not_run(shop, tmp_path):
    hook = shop.top / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    shop.prepare("v1")
    assert not (tmp_path / "ran").exists()


def test_a_worktree_of_the_user_may_be_head(shop, tmp_path):
    git(shop.top, "worktree", "add", "-q", "--detach", str(tmp_path / "mine"))
    with Janitor() as janitor:
        mine = Place(tmp_path / "mine", janitor)
        mine.prepare("v1")
        assert mine.base["shop/__init__.py"] == "SIDE = 'base'\n"
    assert len(git(shop.top, "worktree", "list").splitlines()) == 2
    git(shop.top, "worktree", "remove", str(tmp_path / "mine"))


def test_a_shallow_clone_is_told_what_to_fetch(shop, tmp_path, temp):
    git(tmp_path, "clone", "-q", "--depth=1", shop.top.as_uri(), str(tmp_path / "clone"))
    with Janitor() as janitor:
        clone = Place(tmp_path / "clone", janitor)
        with pytest.raises(LineageError, match="git fetch --depth=2 origin"):
            clone.prepare("HEAD^1")
        clone.prepare("HEAD")
        assert clone.base["shop/__init__.py"] == "SIDE = 'head'\n"


def test_a_revision_outside_of_git_is_refused(place):
    place.write({"tests/test_it.py": ""})
    for against in ("HEAD", "merge-base:main"):
        with pytest.raises(ConfigError, match="in no git repository"):
            place.prepare(against)


def test_what_base_is_can_be_checked_before(shop, tmp_path):
    for good in ("HEAD", "merge-base:v1", "self", "release:1", "./shop"):
        check(good, root=shop.top, cwd=shop.top)
    with pytest.raises(LineageError):
        check("gone", root=shop.top, cwd=shop.top)
    shop.write({"pyproject.toml": ""})
    with pytest.raises(ConfigError, match="name on the package index"):
        check("release:1", root=shop.top, cwd=shop.top)


class Index:
    """Stands in for environments: what is installed is what lies in a folder, or what a tree holds."""

    def __init__(self, tmp_path):
        self.folder, self.released, self.built = tmp_path / "environments", {}, []

    def install_tree(self, tree, *, key, **_):
        self.built.append((tree, content(tree), git(tree, "describe", "--tags", "--always", "--dirty")))
        return self._installed(key, {name: text for name, text in content(tree).items() if name.startswith("shop")})

    def install_release(self, name, version, **_):
        return self._installed(f"{name}-{version}", self.released[version])

    def _installed(self, name, files):
        packages = self.folder / name / "site-packages"
        Place(packages, None).write(files)
        Place(packages, None).write({"shop-1.dist-info/METADATA": "Name: shop\n"})
        lines = "".join(f"{file},,\n" for file in files)
        Place(packages, None).write({"shop-1.dist-info/RECORD": lines})
        return Installed(python=f"python-{name}", packages_folder=packages)


@pytest.fixture
def index(tmp_path, monkeypatch):
    index = Index(tmp_path)
    monkeypatch.setattr(install, "install_tree", index.install_tree)
    monkeypatch.setattr(install, "install_release", index.install_release)
    monkeypatch.setenv("PERFGUARD_CACHE", str(tmp_path / "cache"))
    return index


def test_both_sides_are_installed_from_what_they_are(shop, index):
    shop.write({"shop/_version.py": "2", "requirements.txt": "six", "shop/__init__.py": "SIDE = 'new'\n"})
    sides = shop.prepare("v1", install=True)
    (_, base, described), (_, head, dirty) = index.built
    assert base["shop/__init__.py"] == "SIDE = 'base'\n"
    assert base["tests/test_it.py"] == "old\n"
    assert head["shop/fresh.py"] == ""
    assert (described, dirty.endswith("-dirty")) == ("v1", True)
    assert sides.notes == ()
    for side in (sides.base, sides.head):
        assert side.strict
        assert side.python.startswith("python-")
        assert Path(dict(side.pins)["shop"]).name == "site-packages"
    assert sides.base.python != sides.head.python
    assert sides.head.tree == shop.top
    assert "shop/_version.py" not in shop.base


def test_a_release_has_no_code_of_head(shop, index):
    index.released["1.2"] = {"shop/__init__.py": "SIDE = 'release'\n", "shop_native.py": ""}
    shop.write({"tools/__init__.py": ""})
    sides = shop.prepare("release:1.2")
    assert not any(name.startswith("shop/") for name in shop.base)
    assert shop.base["tests/test_it.py"] == TEST
    assert sides.base.python == "python-shop-1.2"
    pins = dict(sides.base.pins)
    assert Path(pins["shop"]).name == Path(pins["shop_native"]).name == "site-packages"
    assert (sides.reason, sides.commit.sha) == ("release 1.2", "")
    assert sides.head.python == sys.executable
    assert "release 1.2 does not contain tools, so base uses head's" in shop.note("not-in-release")


def test_a_release_has_no_tests_of_its_own(shop, index):
    with pytest.raises(ConfigError, match="installed without them"):
        shop.prepare("release:1.2", tests="base")


def test_tests_inside_of_an_installed_package_stay_parts_of_it(place, index):
    place.write(
        {"pyproject.toml": PYPROJECT, "shop/__init__.py": "base", "shop/gone.py": "", "shop/tests/test_it.py": "1"}
    )
    place.commit()
    place.write({"shop/__init__.py": "head", "shop/tests/test_it.py": "2", "shop/tests/__init__.py": ""})
    place.remove("shop/gone.py")
    index.released["1"] = {"shop/__init__.py": "release", "shop/tests/test_it.py": "0", "shop/fast.so": "built"}
    tests = {"shop/tests/test_it.py": "2", "shop/tests/__init__.py": ""}

    def packages(tree):
        return {name: text for name, text in content(tree).items() if name.startswith("shop")}

    sides = place.prepare("HEAD", install=True, files=("shop/tests/test_it.py",))
    assert packages(sides.base.tree) == {"shop/__init__.py": "base", "shop/gone.py": "", **tests}
    assert packages(sides.head.tree) == {"shop/__init__.py": "head", **tests}
    assert sides.head.tree != place.top
    assert dict(sides.base.pins)["shop"] == str(sides.base.tree)
    with Janitor() as janitor:
        second = Place(place.top, janitor)
        sides = second.prepare("release:1", files=("shop/tests/test_it.py",))
        assert packages(sides.base.tree) == {"shop/__init__.py": "release", "shop/fast.so": "built", **tests}
        assert dict(sides.base.pins)["shop"] == str(sides.base.tree)
        assert sides.head.tree == place.top


def test_a_release_is_installed_from_the_users_index(shop, tmp_path, monkeypatch):
    parts = {
        "shop/__init__.py": "SIDE = 'release'\n",
        "shop-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.2\n",
        "shop-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "shop-1.2.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(tmp_path / "shop-1.2-py3-none-any.whl", "w") as wheel:
        for name, text in parts.items():
            wheel.writestr(name, text)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PERFGUARD_CACHE", str(tmp_path / "cache"))
    sides = shop.prepare("release:1.2")
    code = "import shop; print(shop.SIDE, shop.__file__)"
    said = subprocess.run([sides.base.python, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    side, file = said.split()
    assert side == "release"
    assert Path(file).parent.parent == Path(dict(sides.base.pins)["shop"])
    assert (tmp_path / "cache") in Path(file).parents


@pytest.mark.parametrize("moment", range(6))
def test_nothing_is_left_of_a_preparation_that_is_killed(shop, temp, tmp_path, moment):
    code = f"""
import sys
from pathlib import Path
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.preparation import prepare
from pytest_perfguard.live.sides import Request
top = Path({str(shop.top)!r})
request = Request(against="v1", root=top, cwd=top, ini=None, tests="base", files=(top / "tests/test_it.py",))
print(flush=True)
with Janitor() as janitor:
    prepare(request, janitor, print)
"""
    ours = {path.name for path in temp.iterdir()}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with process:
        process.stdout.readline()
        time.sleep(0.01 + 0.04 * moment)
        process.kill()
    deadline = time.monotonic() + 10
    while {path.name for path in temp.iterdir()} != ours and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {path.name for path in temp.iterdir()} == ours
    assert not (shop.top / ".git" / "worktrees").exists()
