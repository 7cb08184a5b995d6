"""Steps from an object upwards through what holds it, and the text they make."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from typing import Any

from pytest_perfguard.probes.memory.retained.disturbers import Cause
from pytest_perfguard.probes.memory.retained.sight import derives, kind_of

ITEM = "[…]"
"""The label of a container between a name and what it holds."""

_CONTAINERS = (list, dict, set, deque, bytearray, array)


@dataclass(slots=True, kw_only=True, eq=False)
class Link:
    """One step upwards: `holder` holds `held`; `below` is the step before, whose holder is `held`."""

    holder: Any
    held: Any = None
    below: Link | None = None
    key: Any = None
    """The name under which it is held, where the holder is a dict."""
    label: str = ""
    """How it is held, as it is written behind the holder's name: ".seen", "[…]"."""
    excuse: str | Cause = ""
    """Why what the holder holds is no leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds memory, by a name in the code."""

    name: str
    place: str = ""
    excuse: str | Cause = ""
    """Why it is no leak."""
    final: bool = True
    """Whether the name says where in the code it is; otherwise a better one is looked for further upwards."""
    users: bool = False
    """Whether it is in code of the user's."""


def excuse_in(link: Link | None) -> str | Cause:
    """Return the first excuse from `link` downwards."""
    while link is not None:
        if link.excuse:
            return link.excuse
        link = link.below
    return ""


def join(root: str, rest: Link | None) -> str:
    """Return `root` with the labels from `rest` downwards, and the type of the container that they end in."""
    labels: list[str] = []
    last: Link | None = None
    while rest is not None:
        labels.append(rest.label)
        last, rest = rest, rest.below
    if last is None:
        return root
    if labels[-1] == ITEM:
        labels.pop()
    text = root + "".join(labels)
    return f"{text} ({kind_of(last.holder)})" if is_container(last.holder) else text


def is_container(item: Any) -> bool:
    """Return whether `item` is a list, dict, set, deque, byte array, or of a subclass of one."""
    return derives(type(item), *_CONTAINERS)
