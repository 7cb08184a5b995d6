"""Whoever holds a function is given another, and gets the first back."""

from __future__ import annotations

import functools
import types

from pytest_perfguard.probes.watch.rebinding import rebind


def make(answer):
    return lambda: answer


def make_closure(held):
    return lambda: held()  # noqa: PLW0108 - the closure is what is tested


class Slotted:
    __slots__ = ("ask",)


def test_all_holders_there_and_back():
    functions = (make("old"), make("new"))  # a tuple is left alone
    module = types.ModuleType("holder")
    module.ask = functions[0]
    kind = type("Kind", (), {"ask": functions[0], "__module__": __name__})
    instance, slotted = kind(), Slotted()
    instance.own = functions[0]
    slotted.ask = functions[0]
    listed = [1, functions[0]]
    closure = make_closure(functions[0])
    partial = functools.partial(functions[0])
    defaulted = types.FunctionType((lambda ask: ask()).__code__, {}, "defaulted", (functions[0],))
    keeper = {"ask": functions[0]}

    def answers():
        return [
            module.ask(), vars(kind)["ask"](), instance.own(), slotted.ask(), listed[1](), closure(), partial(),
            defaulted(),
        ]  # fmt: skip

    assert answers() == ["old"] * 8
    assert kind.ask is functions[0]  # looked up, and remembered by the class
    rebind(functions[0], functions[1], keep=[keeper])
    assert answers() == ["new"] * 8
    assert kind.ask is functions[1]
    assert keeper["ask"] is functions[0]
    rebind(functions[1], functions[0])
    assert answers() == ["old"] * 8
    assert functions[1]() == "new"
