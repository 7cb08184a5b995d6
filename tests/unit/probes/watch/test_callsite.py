from __future__ import annotations

import json
import sys
from pathlib import Path

from pytest_perfguard.probes.watch.callsite import describe, locate

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).relative_to(ROOT).as_posix()


def test_innermost_frame_of_own_code_past_library_frames():
    found = []

    class Spy:
        def __init__(self):
            found.append(locate(sys._getframe()))

    line = sys._getframe().f_lineno + 1
    json.loads("{}", object_hook=lambda _: found.append(locate(sys._getframe(1))))
    Spy()
    name = "test_innermost_frame_of_own_code_past_library_frames"
    assert describe(found[0], ROOT) == (f"{HERE}:{name}", line)
    assert describe(found[1], ROOT)[0] == f"{HERE}:{name}.<locals>.Spy.__init__"


def test_comprehension_belongs_to_its_function():
    [[place]] = [[locate(sys._getframe()) for _ in "a"] for _ in "a"]
    assert describe(place, ROOT)[0] == f"{HERE}:test_comprehension_belongs_to_its_function"


def test_path_outside_the_root_is_an_import_path(tmp_path, monkeypatch):
    file = tmp_path / "pack" / "mod.py"
    file.parent.mkdir()
    namespace = {}
    exec(compile("def ask(locate, frame):\n    return locate(frame())\n", str(file), "exec"), namespace)
    place = namespace["ask"](locate, sys._getframe)
    assert describe(place, ROOT) == ("mod.py:ask", 2)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert describe(place, ROOT) == ("pack/mod.py:ask", 2)


def test_no_own_code_is_no_site():
    namespace = {"locate": locate, "sys": sys}
    exec(compile("found = locate(sys._getframe().f_back and None)", "<string>", "exec"), namespace)
    assert namespace["found"] is None
    assert describe(None, ROOT) == ("", 0)


def test_a_template_that_was_compiled_belongs_to_what_renders_it(tmp_path):
    namespace = {}
    code = compile("\n\ndef root(ask):\n    return ask()\n", str(tmp_path / "page.html"), "exec")
    exec(code, namespace)
    line = sys._getframe().f_lineno + 1
    place = namespace["root"](lambda: locate(sys._getframe(1)))
    name = "test_a_template_that_was_compiled_belongs_to_what_renders_it"
    assert describe(place, ROOT) == (f"{HERE}:{name}", line)
