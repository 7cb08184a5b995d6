"""The questions for each dialect, and what is said of the answers."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping

from pytest_perfguard.probes.queries.plans import mysql, postgresql, sqlite
from pytest_perfguard.probes.queries.plans.advice import Suggestion, Tables, lines
from pytest_perfguard.probes.queries.plans.dialogue import Answer, Question


class Explainer:
    """Finds out what statements lack."""

    def __init__(self, big_tables: Mapping[str, int], ignored: Collection[str]) -> None:
        self._tables = Tables(big_tables, tuple(ignored))

    def explain(
        self, dialect: str, text: str, parameters: object, in_transaction: bool
    ) -> Generator[Question, Answer, tuple[str, ...] | None]:
        """Return what a statement lacks, in lines: none where it has its indexes; None where the plan tells nothing."""
        talk: Generator[Question, Answer, list[Suggestion] | None]
        if dialect == "sqlite":
            talk = sqlite.explain(text, parameters, self._tables)
        elif dialect == "postgresql":
            talk = postgresql.explain(text, parameters, self._tables, in_transaction=in_transaction)
        else:
            talk = mysql.explain(text, parameters, self._tables)
        suggestions = yield from talk
        return None if suggestions is None else lines(suggestions, self._tables)
