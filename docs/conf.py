"""Configuration of Sphinx; what the code declares once (settings, command line) is written as pages from there."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from pytest_perfguard import __version__
from pytest_perfguard.cli.arguments import build_parser
from pytest_perfguard.config import SETTINGS, Setting

HERE = Path(__file__).parent
GENERATED = HERE / "reference" / "generated"

project = "pytest-perfguard"
version = release = __version__
copyright = "the pytest-perfguard authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "changes", "reference/generated"]
html_theme = "furo"
html_title = f"pytest-perfguard {__version__}"
html_copy_source = False
templates_path: list[str] = []

myst_heading_anchors = 3
# Blocks of console, with what was printed, are not a language that Pygments could find fault with.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True


def settings_page() -> str:
    """Return the table of settings in Markdown."""
    lines = ["| Option | ini key | Environment | Default | Meaning |", "|---|---|---|---|---|"]
    for setting in SETTINGS:
        cells = [_option(setting), _code(setting.ini), _code(setting.environment), _default(setting), setting.help]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Return the help of the command `perfguard` and of each of its subcommands."""
    os.environ["COLUMNS"] = "100"
    parser = build_parser()
    parts = [f"```text\n{parser.format_help()}```"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                parts.append(f"## perfguard {name}\n\n```text\n{command.format_help()}```")
    return "\n\n".join(parts) + "\n"


def _option(setting: Setting) -> str:
    if setting.flag is None:
        return ""
    if setting.metavar is None:
        return f"`{setting.flag}`"
    return f"`{setting.flag}[={setting.metavar}]`" if setting.const else f"`{setting.flag}={setting.metavar}`"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _default(setting: Setting) -> str:
    if setting.kind == "flag":
        return "off"
    return f"`{setting.default}`" if setting.default else ""


def as_restructured_text(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Turn the docstrings' `code` into what reStructuredText calls a literal, and their asterisks into plain ones."""
    for place, line in enumerate(lines):
        parts = re.split(r"(`[^`]+`)", line)
        lines[place] = "".join(
            f"`{part}`" if part.startswith("`") else part.replace("*", "\\*").replace("|", "\\|") for part in parts
        )


def setup(app: Any) -> None:
    """Write the generated pages and register what reads docstrings."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    (GENERATED / "settings.md").write_text(settings_page(), encoding="utf-8")
    (GENERATED / "command-line.md").write_text(command_line_page(), encoding="utf-8")
    app.connect("autodoc-process-docstring", as_restructured_text)
