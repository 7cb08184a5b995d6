"""A compact report in Markdown, for a job's summary or a comment on a change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_perfguard.model import Run
from pytest_perfguard.report import digest

_MOST_ROWS = 50
_MOST_NOTES = 20
_MOST_EXPLAINED = 10
"""Bounds that keep the text under the 65,536 characters that a comment may have."""
_MOST_CHARACTERS = 600
_MOST_CODE = 200
_TEXT_COLUMNS = ("test", "metric", "outcome")


class MarkdownReporter:
    """Renders verdict line, what failed, table and notes in GitHub-flavoured Markdown."""

    name = "markdown"
    suffix = ".md"

    def render(self, run: Run) -> str:
        """Return the report: what failed and how to see it again come before the table, all else comes after it."""
        table = digest.rows(run)
        blocks = [
            f"**{escape(digest.headline(run))}**",
            _explanations(run),
            _again(run),
            _table(table[:_MOST_ROWS]) if table else "",
            f"… and {len(table) - _MOST_ROWS} more rows" if len(table) > _MOST_ROWS else "",
            _list([text for _, text in digest.folds(run)]),
            _list(digest.provenance(run)),
        ]
        remarks = digest.remarks(run)[:_MOST_NOTES]
        if remarks:
            blocks.append("Notes:\n\n" + _list(remarks))
        return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Return `text` such that Markdown shows it as it is: no emphasis, no table cell, no tag, no mention of a user."""
    marked = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", digest.one_line(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;")


def code(text: str) -> str:
    """Return `text` as a code span; in a table its pipes are still to be escaped."""
    content = digest.one_line(text)
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    if not longest:
        return f"`{content}`"
    fence = "`" * (longest + 1)
    return f"{fence} {content} {fence}"


def _table(table: Sequence[digest.Row]) -> str:
    columns = digest.filled(table)
    names = [digest.COLUMNS[place] for place in columns]
    lines = [
        "| " + " | ".join(names) + " |",
        "|" + "|".join("---" if name in _TEXT_COLUMNS else "---:" for name in names) + "|",
    ]
    for row in table:
        cells = [
            code(_bounded(row.cells[0], _MOST_CODE)).replace("|", "\\|"),
            *(escape(row.cells[place]) for place in columns[1:]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _explanations(run: Run) -> str:
    """Return what fails the run, worst first, with how sure that is and its evidence."""
    failed = [verdict for verdict in digest.ordered(run.verdicts) if verdict.fails]
    lines = []
    for verdict in failed[:_MOST_EXPLAINED]:
        lines.append(f"- {escape(_bounded(verdict.sentence))}")
        lines += [f"  - {code(_bounded(detail, _MOST_CODE))}" for detail in verdict.details[:5]]
    return "\n".join(lines)


def _again(run: Run) -> str:
    command = digest.again(run)
    if not command:
        return ""
    return f"To compare again:\n\n```sh\n{command}\n```"


def _list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {escape(_bounded(text))}" for text in texts)


def _bounded(text: str, most: int = _MOST_CHARACTERS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
