"""What a tool reports of each shape and of what looks like it; as a command, for a process of its own, it prints JSON.

Its arguments are a library, `sqlalchemy` or `django`, and one of the tools below.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.shapes.catalogue import ROOT, Case, Catalogue

Finding = list[Any]
"""What for, in which file or function, at which line."""
Watch = Callable[[list[Finding]], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def ours(found: list[Finding]) -> Iterator[None]:
    """Add what the query probe reports of the block: the metrics that a budget of 0 would fail."""
    from pytest_perfguard.probes.queries import QueryProbe

    probe = QueryProbe(ROOT, metrics=["n_plus_one", "batchable", "duplicates"])
    token = probe.start()
    try:
        yield
    finally:
        reading = probe.stop(token)
    for each in reading.queries.statements:
        kinds = {"n_plus_one": each.n_plus_one, "batchable": each.batchable, "duplicates": each.repeated}
        found += [[kind, each.function, each.line] for kind, holds in kinds.items() if holds]
    counted = {kind for kind, value in reading.values.items() if value} - {"queries", "reads", "writes"}
    assert counted == {kind for kind, _, _ in found}


_KIND = re.compile(r"^ +kind: (\S+)", re.MULTILINE)
_PLACE = re.compile(r"(\S+\.py):(\d+) in \S")


def queryguard(**thresholds: int) -> Watch:
    """Return what adds the findings of pytest-queryguard's documented check of a block, with `thresholds`."""

    @contextlib.contextmanager
    def watch(found: list[Finding]) -> Iterator[None]:
        from pytest_queryguard import NPlusOneDetected, record_queries

        with record_queries() as log:
            yield
        said = ""
        try:
            log.assert_no_nplusone(**thresholds)
        except NPlusOneDetected as error:
            said = str(error)
        kinds, places = _KIND.findall(said), _PLACE.findall(said)
        found += [[kind, _relative(file), int(line)] for kind, (file, line) in zip(kinds, places, strict=True)]

    return watch


@contextlib.contextmanager
def zeal(found: list[Finding]) -> Iterator[None]:
    """Add the warnings of django-zeal about the block."""
    from zeal import zeal_context

    with warnings.catch_warnings(record=True) as caught, zeal_context():
        warnings.simplefilter("always")
        yield
    places = dict.fromkeys(
        (_relative(each.filename), each.lineno) for each in caught if "N+1 detected" in str(each.message)
    )
    found += [["N+1", *place] for place in places]


TOOLS: dict[str, Watch] = {
    "ours": ours,
    "queryguard": queryguard(),
    # Everything it can do, from as few repetitions on as ours.
    "queryguard-all": queryguard(small_repeat_threshold=3, write_loop_threshold=3, column_load_threshold=3),
    "zeal": zeal,
}


def main(library: str, tool: str) -> None:
    """Carry all cases of a library out under a tool, and print what it finds."""
    if library == "django":
        from tests.shapes.django_shapes import carry_out, configure

        catalogues = configure(*(["zeal"] if tool == "zeal" else []))
    else:
        from tests.shapes.sqlalchemy_shapes import CATALOGUES as catalogues
        from tests.shapes.sqlalchemy_shapes import carry_out
    json.dump(observe(catalogues, carry_out, TOOLS[tool]), sys.stdout)


def observe(catalogues: tuple[Catalogue, ...], carry_out: Callable[..., None], watch: Watch) -> dict[str, Any]:
    """Return what `watch` finds of each case."""

    def findings(case: Case) -> list[Finding]:
        found: list[Finding] = []
        carry_out(case, watch(found))
        return found

    return {
        "shapes": [
            {
                "name": shape.name,
                "metric": shape.metric,
                "function": shape.function,
                "line": shape.line,
                "found": findings(shape),
                "twins": [{"name": twin.name, "found": findings(twin)} for twin in shape.twins],
            }
            for catalogue in catalogues
            for shape in catalogue.shapes
        ],
        "lookalikes": [
            {"name": case.name, "found": findings(case)} for catalogue in catalogues for case in catalogue.lookalikes
        ],
    }


def right(shape: dict[str, Any], *, by_metric: bool) -> bool:
    """Return whether one of the findings names the marked line, and `by_metric` the right function and metric."""
    function, line = shape["function"], shape["line"]
    if not by_metric:
        file = function.partition(":")[0]
        return any(found[1:] == [file, line] for found in shape["found"])
    inner = f"{function}.<locals>"
    return any(
        [kind, number] == [shape["metric"], line] and (place == function or place.startswith(inner))
        for kind, place, number in shape["found"]
    )


def _relative(file: str) -> str:
    path = Path(file)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else file


if __name__ == "__main__":
    main(*sys.argv[1:])
