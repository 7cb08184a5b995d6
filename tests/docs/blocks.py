"""Blocks of code in Markdown pages, and what each is marked to do.

A block is checked by its language; an HTML comment on the lines before it, `<!-- key: value -->` or `<!-- key -->`,
says more:

    file: PATH          python, toml, ini, …: written to PATH in the page's project
    later               python: a command further down runs it, so it is not run by itself
    fails: TEXT         python, console: must end with exit code 1, and its output must hold TEXT
    exit: N             console: the exit code of the last command (default 0)
    new project         the page goes on in an empty project
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

KEYS = frozenset({"file", "later", "fails", "exit", "new project"})

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\S*)[^`\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence)$", re.M | re.S
)
_COMMENT = re.compile(r"<!--\s*(?P<text>.*?)\s*-->", re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: Path
    number: int
    line: int
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.number}-line-{self.line}-{self.language or 'none'}"


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of `page` in their order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for number, found in enumerate(_FENCE.finditer(text), start=1):
        indent = len(found["indent"])
        lines = [line[indent:] for line in found["text"].splitlines()]
        blocks.append(
            Block(
                page=page,
                number=number,
                line=text.count("\n", 0, found.start()) + 1,
                language=found["language"],
                text="\n".join(lines) + "\n",
                marks=_marks(text[: found.start()]),
            )
        )
    return blocks


def _marks(before: str) -> dict[str, str]:
    """Return the marks in the comments that stand directly above a block."""
    marks: dict[str, str] = {}
    rest = before.rstrip()
    while rest.endswith("-->"):
        start = rest.rfind("<!--")
        comment = _COMMENT.fullmatch(rest[start:])
        assert comment is not None, f"a comment is not closed: {rest[start:]}"
        key, _, value = comment["text"].partition(":")
        marks[key.strip()] = value.strip()
        rest = rest[:start].rstrip()
    return marks


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that is shown below it."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        else:
            raise AssertionError(f"output without a command: {line!r}")
    return found


_QUANTITY = re.compile(r"[-−+×±]*\d+(?:[.,]\d+)*(?:\s?(?:ns|µs|us|ms|s|min|B|KiB|MiB|GiB|kB|MB|%)(?![A-Za-z]))?")
_DIGEST = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b")
_FOLDER = re.compile(r"(?<=/)[0-9a-f]{2}(?=/[0-9a-f]{12}-)")
_MACHINE = re.compile(r"\b[a-z]+-[a-z0-9-]+cpu-cpython[\d.]+-\w+\b")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\dZ?)?")


def loosen(text: str) -> str:
    """Return `text` with what differs from run to run replaced, and its layout taken out."""
    for pattern, sign in (
        (_FOLDER, "FOLDER"),
        (_DATE, "DATE"),
        (_MACHINE, "MACHINE"),
        (_DIGEST, "DIGEST"),
        (_QUANTITY, "N"),
    ):
        text = pattern.sub(sign, text)
    text = re.sub(r"(?<!\S)[-=_]{3,}|[-=_]{3,}(?!\S)", " ", text)
    return " ".join(text.split())


def missing(shown: str, real: str) -> str | None:
    """Return the first part of `shown` that `real` does not have in this order; `…` stands for any text."""
    loose, place = loosen(real), 0
    for part in re.split(r"…", shown):
        wanted = loosen(part)
        found = loose.find(wanted, place)
        if found < 0:
            return wanted
        place = found + len(wanted)
    return None
