from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import commands, identity, install, layers
from pytest_perfguard.live.identity import Parent
from pytest_perfguard.live.locks import Lock

PARENT = Parent(python="python", identity="3.11", folders=("/packages",), held={"six": "1.16", "my-project": "2"})


def digest(project="My.Project", content=("key",), parent=PARENT, environ=None, now=0.0):
    return identity.digest(project, content, parent, environ=environ or {}, now=now)


class TestCacheFolder:
    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="they have other places")
    def test_follows_the_desktop_convention(self):
        assert install.cache_folder({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/pytest-perfguard")
        assert install.cache_folder({}) == Path.home() / ".cache" / "pytest-perfguard"


class TestDigest:
    def test_the_same_for_the_same(self):
        assert digest() == digest()

    @pytest.mark.parametrize(
        "changed",
        [
            {"content": ("other",)},
            {"project": "another"},
            {"parent": Parent(python="p", identity="3.12", folders=("/packages",), held=PARENT.held)},
            {"parent": Parent(python="p", identity="3.11", folders=("/others",), held=PARENT.held)},
            {"parent": Parent(python="p", identity="3.11", folders=("/packages",), held={"six": "1.17"})},
            {"environ": {"CFLAGS": "-O0"}},
            {"now": 8 * 86400.0},
        ],
    )
    def test_another_for_whatever_changes_the_result(self, changed):
        assert digest(**changed) != digest()

    def test_neither_the_spelling_nor_the_installed_project_nor_other_variables_matter(self):
        below = Parent(python="p", identity="3.11", folders=("/packages",), held={"six": "1.16", "my-project": "3"})
        assert digest(project="my_project", parent=below, environ={"HOME": "/root"}, now=60.0) == digest()


class TestTree:
    def test_the_name_is_read_where_it_is_declared(self, tmp_path):
        file = tmp_path / "pyproject.toml"
        assert identity.declared_name(tmp_path) == ""
        for text, name in (
            ("[project]\nname = 'a'", "a"),
            ("[tool.poetry]\nname = 'b'", "b"),
            ("[tool.ruff]", ""),
            ("[project]\nname = 1", ""),
            ("no toml", ""),
        ):
            file.write_text(text)
            assert identity.declared_name(tmp_path) == name

    def test_build_files_count_by_content(self, tmp_path):
        (tmp_path / "code.py").write_text("1")
        assert identity.build_files(tmp_path) == []
        (tmp_path / "uv.lock").write_text("1")
        (tmp_path / "setup.py").write_text("1")
        first = identity.build_files(tmp_path)
        assert [line.split()[0] for line in first] == ["setup.py", "uv.lock"]
        (tmp_path / "uv.lock").write_text("2")
        assert identity.build_files(tmp_path) != first


class TestEnvironment:
    def test_the_users_indexes_stay_and_what_leads_elsewhere_goes(self):
        given = {
            "PIP_INDEX_URL": "u",
            "CFLAGS": "-O2",
            "PIP_TARGET": "/x",
            "PYTHONPATH": "/y",
            "GIT_DIR": "/z",
            "PIP_USER": "1",
        }
        assert commands.environment(given) == {
            "PIP_INDEX_URL": "u",
            "CFLAGS": "-O2",
            "PIP_USER": "0",
            "PYTHONIOENCODING": "utf-8",
        }


class TestMessages:
    def test_a_failure_shows_the_command_the_last_lines_and_the_way_out(self):
        output = "\n".join(f"line {number}" for number in range(100))
        message = commands.failure("base", ["pip", "install", "a b"], 2, output, Path("/log"))
        assert "base could not be installed: `pip install 'a b'` ended with 2:" in message
        assert "    line 99\n" in message
        assert "line 74" not in message
        assert "/log" in message

    def test_remarks_on_dependencies(self):
        said = "a 1 requires six>=2, but you have six 1.15 which is incompatible.\nSuccessfully installed"
        own, conflict = install._remarks("base", {"six": "1.15", "new": "1"}, {"six": "1.16"}, said)
        assert "new 1 (running environment: none), six 1.15 (running environment: 1.16)" in own.message
        assert "a 1 requires six>=2, but you have six 1.15" in conflict.message
        assert list(install._remarks("base", {}, {}, "")) == []


class TestLayer:
    @pytest.fixture
    def layered(self, tmp_path, monkeypatch):
        below, packages = tmp_path / "below", tmp_path / "own"
        info = below / "proj_x-1.dist-info"
        info.mkdir(parents=True)
        packages.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Proj.X\nVersion: 1\n")
        (info / "RECORD").write_text("proj_x.pth,,\nproj_x-1.dist-info/METADATA,,\n")
        for name in ("proj_x", "other"):
            (below / f"{name}.pth").write_text(f"{tmp_path / name}\n")
            (tmp_path / name).mkdir()
        monkeypatch.setattr(sys, "path", ["first"])
        parent = Parent(python="p", identity="", folders=(str(below), str(tmp_path / "gone")), held={})
        return below, packages, parent

    def extend(self, packages):
        namespace = {}
        exec((packages / "_perfguard_layer.py").read_text(), namespace)
        namespace["extend"]()

    def test_puts_the_lower_packages_behind_with_their_pth_files(self, layered, tmp_path):
        below, packages, parent = layered
        layers.write_layer(packages, parent.folders, set())
        self.extend(packages)
        assert sys.path == [
            "first",
            str(below),
            str(tmp_path / "other"),
            str(tmp_path / "proj_x"),
            str(tmp_path / "gone"),
        ]

    def test_leaves_out_the_pth_files_of_what_it_holds_itself(self, layered, tmp_path):
        _, packages, parent = layered
        layers.write_layer(packages, parent.folders, {"proj-x"})
        self.extend(packages)
        assert str(tmp_path / "other") in sys.path
        assert str(tmp_path / "proj_x") not in sys.path

    def test_adds_them_again_for_the_isolated_builds_of_pip(self, layered):
        below, packages, parent = layered
        layers.write_layer(packages, parent.folders, set())
        self.extend(packages)
        self.extend(packages)
        assert sys.path.count(str(below)) == 2

    def test_only_the_first_of_a_name_counts(self, layered, tmp_path):
        below, packages, _ = layered
        assert {name: each.version for name, each in layers.distributions([packages, below, below]).items()} == {
            "proj-x": "1"
        }
        assert isinstance(layers.distributions([below])["proj-x"], importlib.metadata.Distribution)


class TestPip:
    def run_of(self, *working):
        asked = []

        def run(*command, trying=False):
            asked.append(command)
            return "" if any(word in command for word in working) else None

        return run, asked

    def test_comes_from_python_itself(self, monkeypatch):
        run, asked = self.run_of("ensurepip")
        install._add_pip("py", run)
        assert asked == [("py", "-P", "-m", "ensurepip")]

    def test_comes_from_uv_otherwise(self, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
        run, asked = self.run_of("/bin/uv")
        install._add_pip("py", run)
        assert asked[-1] == ("/bin/uv", "pip", "install", "--python", "py", "pip")

    @pytest.mark.parametrize("uv", [None, "/bin/uv"])
    def test_is_asked_for_where_it_cannot_be_had(self, monkeypatch, uv):
        monkeypatch.setattr("shutil.which", lambda name: uv)
        run, _ = self.run_of()
        with pytest.raises(MeasurementError, match="install pip into it"):
            install._add_pip("py", run)


class TestPrune:
    @pytest.fixture
    def environments(self, tmp_path):
        for number in range(4):
            folder = tmp_path / f"project-{number}"
            folder.mkdir()
            (folder / "perfguard-complete.json").write_text("{}")
            os.utime(folder / "perfguard-complete.json", (1000 + number, 1000 + number))
            (tmp_path / f"project-{number}.lock").touch()
        (tmp_path / "project-unfinished").mkdir()
        (tmp_path / "last-failure.log").touch()
        return tmp_path

    def names(self, folder):
        return sorted(path.name for path in folder.iterdir())

    def test_the_least_recently_used_go_and_those_that_were_never_completed(self, environments):
        install._prune(environments, kept=2)
        assert self.names(environments) == [
            "last-failure.log",
            "project-2",
            "project-2.lock",
            "project-3",
            "project-3.lock",
        ]

    def test_never_one_that_is_in_use(self, environments):
        lock = Lock(environments / "project-0")
        assert lock.acquire(exclusive=False)
        building = Lock(environments / "project-unfinished")
        assert building.acquire(exclusive=True)
        install._prune(environments, kept=2)
        assert {"project-0", "project-0.lock", "project-unfinished"} <= {*self.names(environments)}
        assert "project-1" not in self.names(environments)
        lock.release()
        building.release()
        install._prune(environments, kept=2)
        assert "project-0" not in self.names(environments)


class TestLock:
    def test_is_shared_by_users_and_exclusive_for_builders(self, tmp_path):
        first, second = Lock(tmp_path / "a"), Lock(tmp_path / "a")
        assert first.acquire(exclusive=False)
        assert second.acquire(exclusive=False)
        assert not second.acquire(exclusive=True, wait=False)
        first.release()
        assert second.acquire(exclusive=True, wait=False)
        assert not first.acquire(exclusive=False, wait=False)
        second.release()
        first.release()

    def test_a_file_that_was_removed_meanwhile_does_not_count(self, tmp_path):
        first, second = Lock(tmp_path / "a"), Lock(tmp_path / "a")
        assert first.acquire(exclusive=True)
        first.remove()
        assert second.acquire(exclusive=True, wait=False)
        assert first.acquire(exclusive=True, wait=False) is False
        first.release()
        second.release()
