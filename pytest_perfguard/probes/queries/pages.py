"""Pages of one list, which are no loop over rows: statements that differ in nothing but where the page begins."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pytest_perfguard.probes.watch.entry import Entry

_PAGED = re.compile(r"\bOFFSET \?|[<>].*\?.*\b(?:LIMIT|FETCH)\b|\bLIMIT \?, \?", re.DOTALL)
"""Fingerprints of what may be a page."""

_VALUE = re.compile(
    r"(?P<text>'(?:[^']|'')*')|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/"
    r"|[$:?](?P<number>\d+)\b|(?P<next>\?|%s)|%\((?P<name>\w+)\)s|(?<![:\w]):(?P<colon>[A-Za-z_]\w*)"
    r"|(?<![\w.$])(?P<literal>\d+(?:\.\d+)?)\b",
    re.DOTALL,
)
"""Where a value stands, written out or handed over; what only looks like it, in names and comments, has no group."""

_CAST = r"(?:CAST\s*\(\s*)?"
_BEYOND = r"(?<![-<>!=@#&|])[<>]=?\s*"
"""A comparison, and no operator of JSON, arrays or vectors that ends like one."""
_BEGINS = re.compile(rf"(?:\bOFFSET\s*|{_BEYOND}){_CAST}$", re.IGNORECASE)
_BEGINS_ROW = re.compile(rf"{_BEYOND}\((?!\s*SELECT\b)(?:[^()<>=]|\([^()]*\))*$", re.IGNORECASE)
_COUNT_AFTER = re.compile(r"\bLIMIT\b[^,]*,\s*$", re.IGNORECASE)
_SIZE = re.compile(rf"\b(?:LIMIT|FETCH\s+(?:FIRST|NEXT))\s*{_CAST}$", re.IGNORECASE)
_OFFSET_FIRST = re.compile(r"\s*,")
"""MySQL writes LIMIT offset, size."""
_TAIL = 200
"""Characters before a value that tell what it is for."""

_ONE = hash((1,))


class _Place(NamedTuple):
    begins: bool
    sizes: bool
    key: int | str
    """Position or name of a parameter; of a value that is written out, itself."""
    written: bool


def series(entry: Entry) -> int | None:
    """Return what all pages of one list have in common, as a hash; None for what is no page.

    A page has a LIMIT of more than one row, and begins at an OFFSET or beyond a key. The values that say where it
    begins are left out; all others tell lists apart, so that the first page for each of several parents is a loop.
    """
    if entry.values is None:
        return None
    text, places = _layout(entry.text)
    begins = sizes = False
    others: list[int] = []
    for place in places:
        value = hash((place.key,)) if place.written else entry.values.get(place.key)
        if value is None:
            return None
        if place.begins:
            begins = True
            continue
        if place.sizes:
            if value == _ONE:
                return None
            sizes = True
        others.append(value)
    return hash((text, *others)) if begins and sizes else None


def may_be_page(fingerprint: str) -> bool:
    """Return whether statements of this fingerprint are worth a look with `series`."""
    return _PAGED.search(fingerprint) is not None


@lru_cache(maxsize=512)
def _layout(text: str) -> tuple[str, tuple[_Place, ...]]:
    """Return `text` without its values, and what each of them is for."""
    places: list[_Place] = []
    position = 0
    for match in _VALUE.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        found = match[kind]
        key: int | str = found
        if kind == "next":
            key = position
            position += 1
        elif kind == "number":
            key = int(found) - 1
        elif kind == "literal" and found.isdigit():
            key = int(found)
        before = text[max(0, match.start() - _TAIL) : match.start()]
        sizes = _SIZE.search(before) is not None
        begins = _BEGINS.search(before) is not None or _BEGINS_ROW.search(before) is not None
        if sizes and _OFFSET_FIRST.match(text, match.end()):
            sizes, begins = False, True
        elif places and places[-1].begins and _COUNT_AFTER.search(before):
            sizes = True
        places.append(_Place(begins, sizes, key, written=kind in ("text", "literal")))
    return _VALUE.sub(lambda match: match[0] if match.lastgroup is None else "?", text), tuple(places)
