"""Proof by PostgreSQL's extension hypopg: indexes that are only thought of, and whether a plan would use them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from pytest_perfguard.probes.queries.plans.advice import Suggestion
from pytest_perfguard.probes.queries.plans.dialogue import Answer, Question
from pytest_perfguard.probes.queries.plans.grammar import POSTGRESQL
from pytest_perfguard.probes.queries.plans.postgresql_tree import Node, read_plan, walk

_FIND = (
    "SELECT CAST(n.nspname AS text) AS s FROM pg_catalog.pg_extension e"
    " JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'hypopg'"
)
_MAKE = "SELECT CAST(indexrelid AS bigint) AS number FROM {schema}.hypopg_create_index($perfguard${create}$perfguard$)"
_DROP = "SELECT {schema}.hypopg_drop_index({number}) AS dropped"
_REFUSED = "hypopg: an index on it would not be used"


class Proof:
    """Thinks of the suggested indexes and looks at the plan again.

    Such indexes live in the server's session and outlast a savepoint: `clean` takes them away.
    """

    def __init__(self) -> None:
        self._schema = ""
        self._made: list[int] = []

    def try_out(self, explain: Question, suggestions: Sequence[Suggestion]) -> Generator[Question, Answer, None]:
        """Write into `suggestions` what the plan makes of them; one that it would not use is suggested no more.

        To be asked while tables are not read in full by choice.
        """
        wanted = [suggestion for suggestion in suggestions if suggestion.create]
        if not wanted:
            return
        found = yield Question(_FIND)
        if not found:
            return
        self._schema = POSTGRESQL.identifier(found[0][0])
        yield Question("SET LOCAL hypopg.enabled = on")
        before = yield from self._plan(explain, by_choice=True)
        numbers: list[int] = []
        for suggestion in wanted:
            made = yield Question(_MAKE.format(schema=self._schema, create=suggestion.create))
            numbers.append(int(made[0][0]))
            self._made.append(numbers[-1])
        free = yield from self._plan(explain, by_choice=True)
        forced = yield from self._plan(explain, by_choice=False)
        with_it = "with this index" if len(wanted) == 1 else "with these indexes"
        for suggestion, number in zip(wanted, numbers, strict=True):
            if _uses(free, number) and free["Total Cost"] < before["Total Cost"]:
                cost = f"cost {before['Total Cost']:.1f} → {free['Total Cost']:.1f}"
                suggestion.proof = f"hypopg: {with_it} the plan uses it ({cost})"
            elif _uses(forced, number):
                suggestion.proof = f"hypopg: {with_it} the plan uses it once there are more rows than now"
            else:
                suggestion.create, suggestion.proof = "", _REFUSED

    def clean(self) -> Generator[Question, Answer, None]:
        """Take away what was thought of."""
        while self._made:
            yield Question(_DROP.format(schema=self._schema, number=self._made.pop()))

    def _plan(self, explain: Question, *, by_choice: bool) -> Generator[Question, Answer, Any]:
        yield Question(f"SET LOCAL enable_seqscan = {'on' if by_choice else 'off'}")
        return read_plan((yield explain))


def _uses(plan: Node, number: int) -> bool:
    return any(str(node.get("Index Name", "")).startswith(f"<{number}>") for node in walk(plan))
