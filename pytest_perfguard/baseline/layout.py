"""Where things are in a store's folder.

    store.json                                      the format of the store
    machines/<class>.json                           what the class of machines is
    runs/<class>/<sha2>/<name>.jsonl.gz             header and summaries, see `schema`
    samples/<class>/<sha2>/<name>.pgs               raw samples, see `columnar`

`<name>` is `<sha12>[-dirty-<tree8>]-<run id>`, with `no/nocommit-<run id>` for what has no commit.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pytest_perfguard.baseline import columnar, schema
from pytest_perfguard.model import Header


def run_path(header: Header) -> str:
    """Return where in a store the run of `header` is."""
    return f"runs/{_place(header)}{schema.SUFFIX}"


def samples_path(header: Header) -> str:
    """Return where in a store the raw samples of `header` are."""
    return f"samples/{_place(header)}{columnar.SUFFIX}"


def _place(header: Header) -> str:
    commit = header.commit
    name = commit.sha[:12] or "nocommit"
    if commit.dirty:
        name += f"-dirty-{commit.dirty_tree[:8] or 'unknown'}"
    return f"{header.machine.key}/{commit.sha[:2] or 'no'}/{name}-{_file_name(header.run_id)}"


def _file_name(run_id: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", run_id)[:64]
    return plain if plain == run_id else f"{plain}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def run_of(root: Path, samples: Path) -> Path:
    """Return where in the store at `root` the run is whose samples are at `samples`, below their folder."""
    return (root / "runs" / samples).with_name(samples.name.removesuffix(columnar.SUFFIX) + schema.SUFFIX)
