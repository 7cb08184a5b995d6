import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_perfguard.live.pin import Pin
from pytest_perfguard.live.pinned import prepare
from pytest_perfguard.live.sides import Side


@pytest.fixture
def trees(tmp_path):
    """Two trees with a package of the same name, head's on the import path."""
    for side in ("base", "head"):
        write(tmp_path / side / "shop_pinned", {"__init__.py": f"VALUE = {side!r}", "cart.py": f"VALUE = {side!r}"})
    write(tmp_path / "head/shop_pinned", {"fresh.py": "", "_native.py": ""})
    return tmp_path


@pytest.fixture
def pinned(trees, monkeypatch):
    """Make a pin for base in this process, and undo all that it did."""
    known = set(sys.modules)
    path, finders = sys.path[:], sys.meta_path[:]
    sys.path.insert(0, str(trees / "head"))

    def pin(strict=True, pins=(("shop_pinned", "base"),), tracked=("shop_pinned/fresh.py", "shop_pinned/cart.py")):
        file = trees / "pin.json"
        file.write_text(json.dumps({"tracked": {str(trees / "head"): tracked}}))
        made = Pin(
            {
                "side": "base", "strict": strict, "tree": str(trees / "base"), "foreign": [str(trees / "head")],
                "pins": [(name, str(trees / folder)) for name, folder in pins],
            },
            str(file),
        )  # fmt: skip
        sys.meta_path.insert(0, made)
        return made

    yield pin
    sys.path[:], sys.meta_path[:] = path, finders
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def take(name):
    """Import a module by its name."""
    __import__(name)
    return sys.modules[name]


def side(trees, **changes):
    values = {
        "name": "base", "tree": trees / "base", "root": trees / "base", "cwd": trees / "base", "python": sys.executable,
        "pins": (("shop_pinned", str(trees / "base")),), "strict": True, "foreign": (str(trees / "head"),),
    }  # fmt: skip
    return Side(**values | changes)


class TestFinder:
    def test_package_and_its_modules_come_from_the_pinned_folder(self, pinned):
        pin = pinned()
        assert take("shop_pinned").VALUE == "base"
        assert take("shop_pinned.cart").VALUE == "base"
        assert pin.leaks() == []

    def test_other_names_are_left_alone(self, pinned):
        pin = pinned()
        assert pin.find_spec("json") is None
        assert pin.find_spec("shop_pinned_too") is None

    def test_module_that_only_head_has_is_an_error_on_a_strict_side(self, pinned):
        pin = pinned()
        with pytest.raises(
            ModuleNotFoundError, match=r"no module 'shop_pinned.fresh' in base .*it is new there"
        ) as caught:
            take("shop_pinned.fresh")
        assert caught.value.name == "shop_pinned.fresh"
        assert pin.missed() == []

    def test_untracked_module_of_head_is_missed_and_the_remedy_named(self, pinned, trees):
        pin = pinned()
        with pytest.raises(ImportError, match="--perfguard-against-install"):
            take("shop_pinned._native")
        assert pin.missed() == [f"shop_pinned._native ({trees / 'head/shop_pinned/_native.py'})"]

    def test_module_that_nobody_has_is_an_ordinary_error(self, pinned):
        pin = pinned()
        with pytest.raises(ModuleNotFoundError, match=r"No module named 'shop_pinned\.nowhere'"):
            take("shop_pinned.nowhere")
        assert pin.missed() == []

    def test_module_that_only_somebody_else_has_is_taken_where_not_strict(self, pinned, trees):
        pin = pinned(strict=False)
        write(trees / "built", {"_native.py": "VALUE = 'built'"})

        class Redirect:
            def find_spec(self, name, path=None, target=None):
                from importlib.util import spec_from_file_location

                return spec_from_file_location(name, trees / "built/_native.py") if name.endswith("._native") else None

        sys.meta_path.append(Redirect())
        assert take("shop_pinned._native").VALUE == "built"
        assert pin.leaks() == []

    def test_package_that_base_lacks_altogether(self, pinned, trees):
        write(trees / "head", {"new_pinned.py": ""})
        pin = pinned(pins=(("new_pinned", "base"),), tracked=())
        with pytest.raises(ModuleNotFoundError, match=r"no module 'new_pinned' in base"):
            take("new_pinned")
        assert pin.missed() == [f"new_pinned ({trees / 'head/new_pinned.py'})"]

    def test_module_elsewhere_in_the_same_tree_is_its_own(self, pinned, trees):
        write(trees / "base/tests", {"aid_pinned.py": "VALUE = 'base'"})
        pin = pinned(pins=(("aid_pinned", "base"),))
        sys.path.insert(0, str(trees / "base/tests"))
        assert take("aid_pinned").VALUE == "base"
        assert pin.leaks() == []

    def test_namespace_package_keeps_portions_of_others_but_not_of_head(self, pinned, trees):
        write(trees / "base", {"space_pinned/a.py": "VALUE = 'base'", "space_pinned/deep/b.py": "VALUE = 'base'"})
        write(trees / "head", {"space_pinned/a.py": "VALUE = 'head'", "space_pinned/deep/c.py": ""})
        write(trees / "site", {"space_pinned/other.py": "", "space_pinned/a.py": "", "space_pinned/deep/more.py": ""})
        pin = pinned(pins=(("space_pinned", "base"),), tracked=("space_pinned/a.py", "space_pinned/deep/c.py"))
        sys.path.append(str(trees / "site"))
        assert take("space_pinned.a").VALUE == "base"
        assert take("space_pinned.deep.b").VALUE == "base"
        assert take("space_pinned.other").__file__ == str(trees / "site/space_pinned/other.py")
        assert take("space_pinned.deep.more").__file__ == str(trees / "site/space_pinned/deep/more.py")
        with pytest.raises(ModuleNotFoundError, match="it is new there"):
            take("space_pinned.deep.c")
        assert str(trees / "head/space_pinned") not in list(sys.modules["space_pinned"].__path__)
        assert pin.leaks() == []

    def test_namespace_package_sees_a_portion_that_is_added_later(self, pinned, trees):
        write(trees / "base", {"space_pinned/a.py": "VALUE = 'base'"})
        write(trees / "late", {"space_pinned/late.py": ""})
        pinned(pins=(("space_pinned", "base"),))
        assert take("space_pinned.a").VALUE == "base"
        sys.path.append(str(trees / "late"))
        assert take("space_pinned.late")
        assert next(iter(sys.modules["space_pinned"].__path__)) == str(trees / "base/space_pinned")

    def test_namespace_package_with_several_folders_of_its_own(self, pinned, trees):
        write(trees / "base", {"one/space_pinned/a.py": "", "two/space_pinned/b.py": ""})
        pin = pinned(pins=(("space_pinned", "base/one"), ("space_pinned", "base/two")))
        assert take("space_pinned.a")
        assert take("space_pinned.b")
        assert pin.leaks() == []

    def test_assertions_are_rewritten_in_pinned_test_packages(self, pinned, trees):
        class AssertionRewritingHook:
            def find_spec(self, name, path=None, target=None):
                from importlib.machinery import PathFinder

                found = PathFinder.find_spec(name, path)
                if found is not None:
                    found.loader_state = "rewritten"
                return found

        sys.meta_path.insert(0, AssertionRewritingHook())
        pin = pinned()
        assert pin.find_spec("shop_pinned").loader_state == "rewritten"
        assert pin.find_spec("shop_pinned").origin == str(trees / "base/shop_pinned/__init__.py")


class TestLeaks:
    def test_package_loaded_before_the_pin(self, pinned, trees):
        take("shop_pinned.cart")
        pin = pinned(tracked=())
        head = trees / "head/shop_pinned"
        assert set(pin.leaks()) == {f"shop_pinned ({head / '__init__.py'})", f"shop_pinned.cart ({head / 'cart.py'})"}

    def test_tracked_module_that_is_not_pinned(self, pinned, trees):
        write(trees / "head", {"tool_pinned.py": "", "made_pinned.py": ""})
        pin = pinned(tracked=("tool_pinned.py",))
        take("tool_pinned")
        take("made_pinned")
        assert pin.leaks() == [f"tool_pinned ({trees / 'head/tool_pinned.py'})"]

    def test_virtual_environment_in_the_other_tree_is_nobodys(self, pinned, trees):
        write(trees / "head/.venv/lib/site-packages", {"dep_pinned.py": ""})
        sys.path.insert(0, str(trees / "head/.venv/lib/site-packages"))
        pin = pinned(tracked=None)
        take("dep_pinned")
        assert pin.leaks() == []

    def test_without_a_list_of_files_the_whole_other_tree_counts(self, pinned, trees):
        write(trees / "head", {"tool_pinned.py": ""})
        pin = pinned(tracked=None)
        take("tool_pinned")
        assert pin.leaks() == [f"tool_pinned ({trees / 'head/tool_pinned.py'})"]

    def test_files_of_a_submodule(self, pinned, trees):
        write(trees / "head/vendor", {"sub_pinned.py": ""})
        sys.path.insert(0, str(trees / "head/vendor"))
        pin = pinned(tracked=("vendor",))
        take("sub_pinned")
        assert len(pin.leaks()) == 1

    def test_link_to_a_file_of_the_other_tree(self, pinned, trees):
        write(trees / "head", {"tool_pinned.py": ""})
        (trees / "links").mkdir()
        (trees / "links/tool_pinned.py").symlink_to(trees / "head/tool_pinned.py")
        sys.path.insert(0, str(trees / "links"))
        pin = pinned(tracked=("tool_pinned.py",))
        take("tool_pinned")
        assert len(pin.leaks()) == 1

    def test_is_found_again_until_it_is_gone(self, pinned):
        pin = pinned()
        assert pin.leaks() == []
        sys.meta_path.remove(pin)
        take("shop_pinned.cart")
        assert len(pin.leaks()) == 2
        assert len(pin.leaks()) == 2
        del sys.modules["shop_pinned"], sys.modules["shop_pinned.cart"]
        assert pin.leaks() == []

    def test_what_is_known_already_is_not_looked_at_again(self, pinned, monkeypatch):
        pin = pinned()
        pin.leaks()
        looked = []
        monkeypatch.setattr(pin, "_is_leak", lambda name, file: looked.append(name))
        take("shop_pinned.cart")
        pin.leaks()
        assert looked[:1] == ["shop_pinned"]
        assert set(looked) == {"shop_pinned", "shop_pinned.cart"}

    def test_lazy_and_odd_modules_are_not_touched(self, pinned):
        class Odd:
            def __getattr__(self, name):
                raise RuntimeError(name)

        pin = pinned()
        sys.modules["odd_pinned"] = Odd()
        sys.modules["none_pinned"] = None
        assert pin.leaks() == []


class TestProcesses:
    """What `prepare` writes, in real interpreters."""

    def run(self, trees, code, environ=None, *arguments, **changes):
        environ = {"PYTHONPATH": str(trees / "site"), **(environ or {})}
        variables = prepare(trees / "run", side(trees, **changes), tracked={}, environ=environ)
        process = subprocess.run(
            [sys.executable, *arguments, "-c", code], check=False, capture_output=True, text=True, cwd=trees,
            env={**os.environ, **environ, **variables},
        )  # fmt: skip
        assert not process.stderr or "Error" not in process.stderr.splitlines()[0], process.stderr
        return process.stdout.strip()

    def test_child_process_is_pinned(self, trees):
        code = "import sys; sys.path.insert(0, 'head'); import shop_pinned.cart as c; print(c.VALUE)"
        assert self.run(trees, code) == "base"

    def test_grandchild_too(self, trees):
        inner = "import sys; sys.path.insert(0, 'head'); import shop_pinned as s; print(s.VALUE)"
        outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
        assert self.run(trees, outer) == "base"

    def test_sitecustomize_of_the_user_still_runs(self, trees):
        write(trees / "site", {"sitecustomize.py": "import builtins; builtins.USER = 1", "usercustomize.py": ""})
        code = "import builtins, sys, sitecustomize; print(builtins.USER, sitecustomize.__file__, len(sys.path))"
        assert self.run(trees, code).split()[:2] == ["1", str(trees / "site/sitecustomize.py")]

    def test_error_in_the_sitecustomize_of_the_user_is_the_users(self, trees):
        write(trees / "site", {"sitecustomize.py": "import no_such_module_at_all"})
        variables = prepare(trees / "run", side(trees), tracked={}, environ={"PYTHONPATH": str(trees / "site")})
        process = subprocess.run(
            [sys.executable, "-c", "import shop_pinned as s; print(s.VALUE)"],
            check=False, capture_output=True, text=True, env={**os.environ, **variables},
        )  # fmt: skip
        assert "no_such_module_at_all" in process.stderr
        assert process.stdout.strip() == "base"

    def test_files_that_are_gone_are_no_pin_and_no_error(self, trees):
        variables = prepare(trees / "run", side(trees), tracked={}, environ={})
        for file in sorted((trees / "run").rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        process = subprocess.run(
            [sys.executable, "-c", "import sys; print('_perfguard_pin' in sys.modules)"],
            check=False, capture_output=True, text=True, env={**os.environ, **variables},
        )  # fmt: skip
        assert (process.stdout.strip(), process.stderr) == ("False", "")

    def test_start_loads_nothing_that_an_interpreter_has_not(self, trees):
        code = "import sys; print(*sorted(sys.modules))"
        plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        extra = set(self.run(trees, code).split()) - set(plain)
        extra -= {name for name in extra if name.partition(".")[0] in {"importlib", "warnings", "_warnings"}}
        assert extra <= {"__future__", "_perfguard_pin", "sitecustomize"}

    def test_variables(self, trees):
        variables = prepare(trees / "run", side(trees), tracked={}, environ={})
        assert variables == {
            "PYTHONPATH": str(trees / "run"), "PERFGUARD_SIDE": "base", "PERFGUARD_PIN": str(trees / "run/pin.json"),
        }  # fmt: skip

    def test_search_path_moves_to_this_tree_and_drops_an_outer_pin(self, trees):
        entries = [
            "/outer",
            str(trees / "head/src"),
            "relative",
            str(trees / "head/.venv/lib/site-packages"),
            "/elsewhere",
        ]
        environ = {"PYTHONPATH": os.pathsep.join(entries), "PERFGUARD_PIN": "/outer/pin.json"}
        variables = prepare(trees / "run", side(trees), tracked={}, environ=environ)
        assert variables["PYTHONPATH"].split(os.pathsep) == [
            str(trees / "run"), str(trees / "base/src"), "relative", entries[3], "/elsewhere",
        ]  # fmt: skip

    def test_files_of_a_repository_are_known_without_what_it_ignores(self, trees):
        head = trees / "head"
        write(head, {".gitignore": "made.py", "made.py": "", "new.py": "", "notes.txt": ""})
        subprocess.run(["git", "init", "-q", head], check=True)
        prepare(trees / "run", side(trees), environ={})
        files = json.loads((trees / "run/pin.json").read_text())["tracked"][str(head)]
        assert {file for file in files if "/" not in file} == {"new.py"}
        assert "shop_pinned/cart.py" in files

    def test_folder_outside_of_any_repository_has_no_list(self, trees, monkeypatch):
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(trees))
        prepare(trees / "run", side(trees), environ={})
        assert json.loads((trees / "run/pin.json").read_text())["tracked"] == {str(trees / "head"): None}

    def test_reassert_puts_it_in_front_and_starts_it_where_no_site_did(self, trees):
        code = (
            "import sys; from pytest_perfguard.live import pin; pin.reassert(); first = sys.meta_path[0];"
            "sys.meta_path.insert(0, object()); pin.reassert();"
            "print(sys.meta_path[0] is first, type(first).__name__, len(sys.meta_path) - len(set(sys.meta_path)))"
        )
        root = str(Path(__file__).parents[3])
        assert self.run(trees, code, {"PYTHONPATH": root}) == "True Pin 0"
        assert self.run(trees, f"import sys; sys.path.insert(0, {root!r}); {code}", {}, "-S") == "True Pin 0"

    def test_without_a_pin_nothing_is_wrong(self):
        code = "from pytest_perfguard.live import pin; pin.reassert(); print(pin.leaks(), pin.missed(), pin.active())"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PERFGUARD_")}
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
        assert process.stdout.strip() == "[] [] None"
