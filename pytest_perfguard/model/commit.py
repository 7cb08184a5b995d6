"""Where in the project's history, and on what kind of machine, something was measured."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A state of the project; `sha` is empty outside a repository or before its first commit."""

    sha: str = ""
    tree: str = ""
    parents: tuple[str, ...] = ()
    branch: str = ""
    subject: str = ""
    time: int = 0
    """Committer time in seconds since the epoch."""
    dirty: bool = False
    dirty_tree: str = ""
    """A hash of the uncommitted state, so that two different dirty trees are told apart."""

    @property
    def short(self) -> str:
        """Return the commit as it is shown: twelve digits, with a mark for uncommitted changes."""
        name = self.sha[:12] or "no commit"
        return f"{name}+dirty" if self.dirty else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A class of machines whose times may be compared: never a host's name, never its clock rate of the moment."""

    system: str
    architecture: str
    processor: str
    processors: int
    implementation: str
    python: str
    """Major and minor version: "3.12"."""
    label: str = ""
    """The user's own name for the class; it replaces the hardware, not the Python."""

    @property
    def key(self) -> str:
        """Return the name of the class as it stands in paths: readable, and with a digest of all its fields."""
        hardware = self.label or f"{self.system}-{self.architecture}-{self.processors}cpu"
        interpreter = f"{self.implementation}{self.python}"
        fields = (self.label,) if self.label else (self.system, self.architecture, self.processor, str(self.processors))
        digest = hashlib.sha256("\0".join((*fields, interpreter)).encode()).hexdigest()[:8]
        return re.sub(r"[^a-z0-9.]+", "-", f"{hardware}-{interpreter}".lower()).strip("-") + f"-{digest}"
