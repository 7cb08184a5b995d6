"""Reports: one pure renderer a file, from a run to text; `write` alone touches the disk."""

from __future__ import annotations
