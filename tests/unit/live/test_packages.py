import importlib.machinery
import sys

import pytest

from pytest_perfguard.errors import ConfigError
from pytest_perfguard.live.packages import find_packages
from pytest_perfguard.live.roots import read_configuration


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """An environment with nothing installed but what a test writes into this folder."""
    folder = tmp_path / "env/lib/site-packages"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(folder), *(entry for entry in sys.path if "-packages" not in entry)])
    return folder


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def distribution(environment, name, files=(), **texts):
    """Install a distribution with these files (name to text) and metadata files."""
    info = f"{name.replace('-', '_')}-1.dist-info"
    write(environment, dict(files))
    write(environment / info, {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n", **texts})
    write(environment / info, {"RECORD": "".join(f"{file},,\n" for file in [*dict(files), f"{info}/METADATA"])})


def editable(tree):
    return {"direct_url.json": f'{{"url": "file://{tree}", "dir_info": {{"editable": true}}}}'}


def find(tree, *tracked, project="", **more):
    """Return the pins with folders relative to the tree."""
    found = find_packages(tree, project=tree / project, tracked=tracked, **more)
    return {name: place.removeprefix(str(tree)).lstrip("/") for name, place in found}


class TestScan:
    def test_flat(self, tree):
        assert find(tree, "shop/__init__.py", "shop/cart.py", "setup.py") == {"shop": ""}

    def test_src(self, tree):
        assert find(tree, "src/shop/__init__.py", "docs/conf.py") == {"shop": "src"}

    def test_single_module(self, tree):
        assert find(tree, "shop.py", "conftest.py", "test_shop.py") == {"shop": ""}

    def test_package_of_tests_too(self, tree):
        assert find(tree, "src/shop/__init__.py", "tests/__init__.py", "tests/test_a.py") == {
            "shop": "src",
            "tests": "",
        }

    def test_namespace_package_below_src(self, tree):
        assert find(tree, "src/corner/shop/__init__.py", "scripts/run.py") == {"corner": "src"}

    def test_namespace_package_with_portions_in_two_folders(self, tree):
        found = find_packages(tree, project=tree, tracked=["src/corner/shop/__init__.py", "lib/corner/bank.py"])
        assert found == (("corner", str(tree / "src")), ("corner", str(tree / "lib")))

    def test_folder_named_as_a_package_of_others(self, tree, environment):
        """A folder `docker/` with a script in it must not stand in for the package of that name."""
        assert find(tree, "shop/__init__.py", "docker/prepare.py") == {"shop": ""}

    def test_package_named_as_one_of_another_distribution(self, tree, environment):
        write(tree, {"pyproject.toml": "[project]\nname = 'shop'\n"})
        distribution(environment, "alembic", {"alembic/__init__.py": ""})
        assert find(tree, "shop/__init__.py", "alembic/__init__.py") == {"shop": ""}

    def test_package_that_is_installed_as_a_copy(self, tree, environment):
        write(tree, {"pyproject.toml": "[project]\nname = 'my.shop'\n"})
        distribution(environment, "my-shop", {"shop/__init__.py": ""})
        assert find(tree, "shop/__init__.py") == {"shop": ""}

    def test_names_of_the_standard_library_are_left_alone(self, tree):
        assert find(tree, "email/__init__.py", "shop/__init__.py", "platform.py") == {"shop": ""}

    def test_module_that_tests_have_their_own_of(self, tree):
        files = ("helpers.py", "tests/helpers.py", "tests/test_a.py", "shop/__init__.py")
        assert find(tree, *files) == {"shop": ""}

    def test_mirror_of_the_package_below_tests(self, tree):
        files = ("src/shop/__init__.py", "tests/shop/__init__.py", "tests/shop/test_a.py")
        assert find(tree, *files) == {"shop": "src"}

    def test_project_in_a_folder_of_the_repository(self, tree):
        files = ("services/till/src/till/__init__.py", "services/other/src/other/__init__.py", "common/__init__.py")
        assert find(tree, *files, project="services/till") == {"till": "services/till/src", "common": ""}

    def test_nothing(self, tree):
        assert find(tree) == {}


class TestConfiguration:
    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = ['code']"),
            ("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = 'code other'"),
            ("pyproject.toml", "[tool.pytest]\npythonpath = ['code']"),
            ("pytest.toml", "[pytest]\npythonpath = ['code']"),
            ("pytest.ini", "[pytest]\npythonpath = code"),
            ("tox.ini", "[pytest]\npythonpath =\n  code\n  other"),
            ("setup.cfg", "[tool:pytest]\npythonpath = ./code/"),
            ("pyproject.toml", "[tool.setuptools.packages.find]\nwhere = ['code']"),
            ("pyproject.toml", "[tool.setuptools.package-dir]\n'' = 'code'"),
            (
                "pyproject.toml",
                "[tool.setuptools]\npackages = ['shop']\n[tool.setuptools.package-dir]\nshop = 'code/shop'",
            ),
            ("pyproject.toml", "[tool.hatch.build.targets.wheel]\npackages = ['code/shop']"),
            ("pyproject.toml", "[tool.hatch.build]\nsources = ['code']"),
            ("pyproject.toml", "[tool.hatch.build]\ndev-mode-dirs = ['code']"),
            ("pyproject.toml", "[tool.poetry]\npackages = [{include = 'shop', from = 'code'}]"),
            ("pyproject.toml", "[tool.pdm.build]\npackage-dir = 'code'"),
            ("pyproject.toml", "[tool.scikit-build.wheel]\npackages = ['code/shop']"),
            ("pyproject.toml", "[tool.scikit-build.wheel.packages]\n'shop' = 'code/shop'"),
            ("pyproject.toml", "[tool.uv.build-backend]\nmodule-root = 'code'"),
            ("pyproject.toml", "[tool.maturin]\npython-source = 'code'"),
            ("setup.cfg", "[options]\npackage_dir =\n  = code"),
            ("setup.cfg", "[options.packages.find]\nwhere = code"),
            ("setup.py", "from setuptools import setup, find_packages\nsetup(packages=find_packages(where='code'))"),
            ("setup.py", "from setuptools import setup\nsetup(package_dir={'': 'code'}, name=NAME)"),
        ],
    )
    def test_folder_that_holds_the_packages(self, tree, file, text):
        write(tree, {file: text})
        assert find(tree, "code/shop/__init__.py")["shop"] == "code"

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("pyproject.toml", "[project]\nname = 'my-shop'"),
            ("pyproject.toml", "[tool.poetry]\nname = 'my-shop'"),
            ("setup.cfg", "[metadata]\nname = my-shop"),
            ("setup.py", "setup(name='my-shop')"),
        ],
    )
    def test_name_of_the_project(self, tree, file, text):
        write(tree, {file: text})
        assert read_configuration(tree).project == "my-shop"

    @pytest.mark.parametrize("text", ["[broken", "[tool]\nsetuptools = 1\npytest = 'x'\n", "\xff"])
    @pytest.mark.parametrize("file", ["pyproject.toml", "setup.cfg", "setup.py", "pytest.ini"])
    def test_files_that_make_no_sense_say_nothing(self, tree, file, text):
        (tree / file).write_bytes(text.encode("latin-1"))
        assert find(tree, "shop/__init__.py") == {"shop": ""}

    def test_folders_outside_of_the_project_are_no_roots(self, tree):
        write(tree, {"pytest.ini": "[pytest]\npythonpath = ../else /abs code"})
        assert read_configuration(tree).roots == ("code",)


class TestInstalled:
    def test_path_file_of_an_editable_install(self, tree, environment):
        distribution(environment, "shop", {"_shop.pth": f"{tree}/deep/code\nimport os\n"}, **editable(tree))
        assert find(tree, "deep/code/shop/__init__.py") == {"shop": "deep/code"}

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            (
                "__editable___shop_1_finder.py",
                "MAPPING: dict = {{'shop': '{tree}/deep/code/shop'}}\nNAMESPACES = {{}}\n",
            ),
            ("_editable_impl_shop.py", "F.map_module('shop', '{tree}/deep/code/shop/__init__.py')\n"),
            ("_shop_editable.py", "install({{'shop': '{tree}/deep/code/shop/__init__.py'}}, {{}}, None)\n"),
            ("_shop_editable_loader.py", "install('shop', {{'shop'}}, ['ninja'], '{tree}/deep/code/x')\n"),
        ],
    )
    def test_finder_of_an_editable_install(self, tree, environment, file, text):
        distribution(environment, "shop", {file: text.format(tree=tree)}, **editable(tree))
        assert find(tree, "deep/code/shop/__init__.py") == {"shop": "deep/code"}

    def test_compiled_module_that_has_no_python_source(self, tree, environment):
        distribution(environment, "shop", {}, **editable(tree), **{"top_level.txt": "_fast\nshop\n"})
        found = find_packages(tree, project=tree, tracked=["src/shop/__init__.py"])
        assert dict(found)["shop"] == str(tree / "src")
        assert {place for name, place in found if name == "_fast"} == {
            str(tree / part) for part in ("src", "lib", "python", "")
        }

    def test_files_of_an_ordinary_install(self, tree, environment):
        write(tree, {"pyproject.toml": "[project]\nname = 'shop'"})
        files = {"shop/__init__.py": "", "shop_core.cpython-311.so": "", "../../../bin/shop": ""}
        distribution(environment, "shop", files)
        assert set(find(tree, "src/shop/__init__.py")) == {"shop", "shop_core"}

    def test_other_distributions_say_nothing(self, tree, environment, tmp_path):
        distribution(environment, "bank", {"bank.py": ""}, **editable(tmp_path / "elsewhere"))
        assert find(tree, "shop/__init__.py") == {"shop": ""}

    def test_metadata_left_by_a_build(self, tree, monkeypatch):
        write(tree, {"shop.egg-info/PKG-INFO": "Name: shop\n", "shop.egg-info/SOURCES.txt": "deep/shop/__init__.py\n",
                     "shop.egg-info/top_level.txt": "corner\n"})  # fmt: skip
        monkeypatch.setattr(sys, "path", [str(tree), *sys.path])
        assert find(tree, "corner/shop.py") == {"corner": ""}

    def test_vendored_distributions_in_the_tree_are_not_the_projects(self, tree, monkeypatch):
        distribution(tree / "libs", "requests", {"requests/__init__.py": ""}, **{"top_level.txt": "requests\n"})
        monkeypatch.setattr(sys, "path", [str(tree / "libs"), *sys.path])
        assert find(tree, "shop/__init__.py") == {"shop": ""}


class TestLoaded:
    def loaded(self, tree, **files):
        return [(name, str(tree / file)) for name, file in files.items()]

    def test_module_that_is_loaded_from_a_tracked_file(self, tree):
        loaded = self.loaded(tree, shop="odd/place/shop/__init__.py", helpers="tests/helpers.py", corner="odd/corner")
        files = ("odd/place/shop/__init__.py", "tests/helpers.py", "odd/corner/a.py")
        assert find(tree, *files, loaded=loaded) == {"shop": "odd/place", "helpers": "tests", "corner": "odd"}

    def test_it_decides_between_several(self, tree):
        files = ("helpers.py", "tests/helpers.py", "tests/test_a.py")
        assert find(tree, *files, loaded=self.loaded(tree, helpers="tests/helpers.py")) == {"helpers": "tests"}

    def test_what_is_not_tracked_or_elsewhere_is_left_alone(self, tree):
        loaded = self.loaded(
            tree, requests=".venv/lib/site-packages/requests/__init__.py", made="made.py", conftest="tests/conftest.py",
            test_a="tests/test_a.py", json="/usr/lib/python3/json/__init__.py",
        )  # fmt: skip
        assert find(tree, "tests/conftest.py", "tests/test_a.py", loaded=loaded) == {}

    def test_compiled_module_built_in_place(self, tree):
        suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
        found = find_packages(tree, project=tree, tracked=[], loaded=self.loaded(tree, _fast=f"src/_fast{suffix}"))
        assert found[0] == ("_fast", str(tree / "src"))


class TestOtherTree:
    """Base, where what is loaded and installed is head's."""

    def test_moved_from_flat_to_src(self, tree, tmp_path, environment):
        head = tmp_path / "head"
        distribution(environment, "shop", {"shop.pth": f"{head}/src\n"}, **editable(head))
        loaded = [("shop", str(head / "src/shop/__init__.py"))]
        assert find(tree, "shop/__init__.py", names=("shop",), loaded=loaded, other=head) == {"shop": ""}

    def test_place_of_head_is_looked_at_first(self, tree, tmp_path):
        loaded = [("shop", str(tmp_path / "head/odd/shop.py"))]
        assert find(tree, "odd/shop.py", names=("shop",), loaded=loaded, other=tmp_path / "head") == {"shop": "odd"}

    def test_name_that_it_lacks_is_pinned_to_all_folders(self, tree):
        found = find_packages(tree, project=tree, tracked=["src/shop/__init__.py"], names=("shop", "fresh"))
        assert {place for name, place in found if name == "fresh"} == {
            str(tree / part) for part in ("src", "lib", "python", "")
        }


class TestOverride:
    def test_name_alone_is_searched_for(self, tree):
        assert find(tree, "corner/a.py", override=("corner",)) == {"corner": ""}

    @pytest.mark.parametrize("folder", ["odd/place", "odd/place/", "odd/place/shop", "./odd/place"])
    def test_folder(self, tree, folder):
        assert find(tree, "odd/place/shop/__init__.py", override=(f"shop={folder}",)) == {"shop": "odd/place"}

    def test_absolute_folder_of_head(self, tree, tmp_path):
        override = (f"shop={tmp_path / 'head/odd'}",)
        assert find(tree, "odd/shop.py", override=override, other=tmp_path / "head", names=("shop",)) == {"shop": "odd"}

    def test_it_wins_over_what_is_found(self, tree):
        files = ("src/shop/__init__.py", "new/shop/__init__.py")
        assert find(tree, *files, override=("shop=new",)) == {"shop": "new"}

    def test_name_that_is_nowhere(self, tree):
        with pytest.raises(ConfigError, match=r"'bank' is in none of .*: write bank=FOLDER"):
            find(tree, "shop/__init__.py", override=("bank",))

    @pytest.mark.parametrize("entry", ["", "a.b", "a-b", "=src", "1"])
    def test_what_is_no_name(self, tree, entry):
        with pytest.raises(ConfigError, match="is no package: write NAME or NAME=FOLDER"):
            find(tree, override=(entry,))
