"""What a group of equal statements suggests, with the cure that its library offers."""

from __future__ import annotations

from pytest_perfguard.model import Statement, StatementKind


def suspect(statement: Statement) -> list[str]:
    """Return what is suspicious about `statement`, each with its cure, in lines; empty for nothing.

    Suspicions are of repetition and say so: a *potential* N+1 is 3 or more sets of parameters on one way through the
    code, which a loop that is meant looks like as well.
    """
    found: list[str] = []
    if statement.n_plus_one:
        found.append(
            f"potential N+1: {statement.looped} different parameter sets from one place; {_loading(statement)}"
        )
    elif statement.kind is StatementKind.REQUEST and statement.looped > 2:
        found.append(
            f"potential N+1: {statement.looped} different calls from one place; ask for all of it in one call, or make "
            "the calls at the same time"
        )
    if statement.batchable:
        verb = statement.fingerprint.split(" ", 1)[0]
        found.append(
            f"batchable: one {verb} for each of {statement.looped} parameter sets from one place; {_writing(statement)}"
        )
    if statement.repeated:
        found.append(
            f"duplicate: {statement.repeated} of {statement.count} with the same parameters again; keep the first "
            "result"
        )
    if statement.selects_star:
        found.append(f"selects all columns; {_columns(statement)}")
    return [*found, *statement.advice]


def _loading(statement: Statement) -> str:
    match _family(statement):
        case "sqlalchemy":
            return "load the relationship with selectinload() or joinedload(), or ask for all rows with IN"
        case "django" if "COUNT(" in statement.fingerprint:
            return "count for all rows in one statement, with annotate(Count(…))"
        case "django":
            return (
                "load the relation with select_related() or prefetch_related(), or from Django 6.1 on with "
                "fetch_mode(FETCH_PEERS)"
            )
        case "redis":
            return "ask for all keys in one command, such as MGET, or in a pipeline"
        case "pymongo":
            return "ask for all documents with $in, or join them with $lookup"
        case _:
            return "ask for all rows in one statement, with a JOIN or with IN"


def _writing(statement: Statement) -> str:
    verb = statement.fingerprint.split(" ", 1)[0].upper()
    match _family(statement):
        case "sqlalchemy":
            return f"use Session.add_all() with one flush, or pass a list to execute({verb.lower()}(…), [...])"
        case "django":
            cures = {"INSERT": "bulk_create()", "UPDATE": "bulk_update(), or one update() of a filtered QuerySet"}
            return f"use {cures.get(verb, 'one delete() of a filtered QuerySet')}"
        case "redis":
            return "use a command for many keys, such as MSET, or a pipeline"
        case "pymongo":
            return "use insert_many() or bulk_write()"
        case "psycopg2":
            return "use execute_values() or execute_batch() of psycopg2.extras"
        case _:
            return "use executemany()"


def _columns(statement: Statement) -> str:
    match _family(statement):
        case "sqlalchemy":
            return "select the columns that are needed, or use load_only()"
        case "django":
            return "use only() or values() for those that are needed"
        case _:
            return "name those that are needed"


def _family(statement: Statement) -> str:
    return statement.driver.partition("+")[0]
