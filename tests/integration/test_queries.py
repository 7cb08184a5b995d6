"""Budgets on database statements, blocks and growth of the fixture, and the list of a whole suite."""

from __future__ import annotations

import json

import pytest

SHOP = """
import sqlite3

def connect():
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER)")
    db.execute("CREATE TABLE lines (order_id INTEGER, product TEXT)")
    return db

def add_orders(db, count):
    for _ in range(count):
        order = db.execute("INSERT INTO orders (customer) VALUES (7)").lastrowid
        db.execute("INSERT INTO lines VALUES (?, 'secret tea')", (order,))

def list_slowly(db):
    orders = db.execute("SELECT id FROM orders WHERE customer = ?", (7,)).fetchall()
    return [db.execute("SELECT * FROM lines WHERE order_id = ?", order).fetchall() for order in orders]

def list_at_once(db):
    return db.execute("SELECT id, product FROM orders JOIN lines ON order_id = id WHERE customer = ?", (7,)).fetchall()
"""

CONFTEST = """
import pytest
from shop import add_orders, connect

@pytest.fixture
def db():
    db = connect()
    add_orders(db, 4)
    yield db
    db.close()
"""


@pytest.fixture
def shop(either):
    """A project with a small shop."""
    either.write(shop=SHOP, conftest=CONFTEST)
    return either


def test_budgets_on_what_statements_say(shop):
    shop.write(
        test_it="""
        import pytest
        import shop

        @pytest.mark.perf_budget(
            queries={"lines": 4, "orders": 1}, n_plus_one=1, select_star=4, duplicates=0, batchable=0, round_trips=5,
            rows=8, slowest_query="5 s", query_p95="5 s", db_time="5 s", connections_opened=0, connections_leaked=0,
        )
        def test_within(db):
            shop.list_slowly(db)

        @pytest.mark.perf_budget(
            queries={"lines": 3}, n_plus_one=0, select_star=0, round_trips=4, rows=7
        )
        def test_over(db):
            shop.list_slowly(db)

        @pytest.mark.perf_budget(batchable=0, duplicates=0)
        def test_more_over(db):
            shop.add_orders(db, 5)
            shop.list_at_once(db)
            shop.list_at_once(db)

        @pytest.mark.perf_budget(duplicates=0)
        def test_asked_again_after_a_write(db):
            shop.list_at_once(db)
            shop.add_orders(db, 1)
            shop.list_at_once(db)

        @pytest.mark.perf_budget(connections_opened=0, connections_leaked=0)
        def test_connections():
            kept.append(shop.connect())

        kept = []
        """,
    )
    inner = shop.run(code=1)
    assert {(each["metric"], each["outcome"]) for each in inner.verdicts("test_within")} == {
        (name, "passed")
        for name in (
            "queries[lines]", "queries[orders]", "n_plus_one", "select_star", "duplicates", "batchable",
            "round_trips", "rows", "slowest_query", "query_p95", "db_time", "connections_opened", "connections_leaked",
        )
    }  # fmt: skip
    over = {each["metric"]: each["value"]["value"] for each in inner.verdicts("test_over") if each["fails"]}
    assert over == {
        "queries[lines]": 4, "n_plus_one": 1, "select_star": 4, "round_trips": 5, "rows": 8,
    }  # fmt: skip
    assert inner.judged("test_more_over", "batchable") == ("over budget", True)
    assert inner.judged("test_more_over", "duplicates") == ("over budget", True)
    assert inner.judged("test_asked_again_after_a_write", "duplicates") == ("passed", False)
    assert inner.judged("test_connections", "connections_opened") == ("over budget", True)
    assert inner.judged("test_connections", "connections_leaked") == ("over budget", True)
    inner.result.stdout.fnmatch_lines(
        [
            "round_trips of test_it.py::test_over is over its budget: 5, budget 4; *",
            "*4 × SELECT [*] FROM lines WHERE order_id = ?",
            "*at shop.py:* list_slowly*",
            "*potential N+1: 4 different parameter sets*",
            "*4 rows of 4 × SELECT*",
            "queries[[]lines] of test_it.py::test_over is over its budget: 4, budget 3; *",
        ]
    )
    inner.result.stdout.fnmatch_lines(["*1 × left open (sqlite3)", "*at shop.py:4 connect"])
    # What explains one verdict of a test is not said again of the next.
    assert inner.text.count("4 × SELECT * FROM lines") == 2  # once among all, once with its rows
    assert "secret tea" not in inner.text
    assert "secret tea" not in json.dumps(inner.report)


def test_blocks_have_limits_of_their_own_and_records(shop):
    shop.write(
        test_it="""
        import pytest
        import shop

        def test_record(perf, db):
            with perf.queries() as q:
                shop.list_slowly(db)
            assert (q.count, len(q), q.reads, q.writes, q.n_plus_one, q.round_trips) == (5, 5, 5, 0, 1, 5)
            assert q.by_table == {"orders": 1, "lines": 4}
            assert [statement.count for statement in q.statements] == [4, 1]
            assert "potential N+1" in str(q)
            with pytest.raises(AttributeError, match="rows was not measured"):
                q.rows
            with perf.queries(rows=8, db_time="5 s") as q:
                shop.list_slowly(db)
            assert q.rows == 8

        def test_over(perf, db):
            with perf.queries(max=5, name="first"):
                shop.list_slowly(db)
            with perf.queries(queries={"lines": 1}, name="second"):
                shop.list_slowly(db)
            raise AssertionError("not reached")

        def test_read_too_early(perf, db):
            with perf.queries() as q:
                q.count

        def test_no_such_limit(perf, db):
            with perf.queries(time="1 s"):
                pass

        def test_the_error_of_a_block_comes_through(perf, db):
            with pytest.raises(ZeroDivisionError), perf.queries(max=5):
                shop.list_slowly(db)
                1 / 0
        """,
    )
    inner = shop.run(code=1)
    assert inner.outcomes == {"passed": 2, "failed": 3}
    assert inner.names("test_record") == ["queries", "queries#2"]
    assert inner.judged("test_over", "queries") == ("passed", False)
    assert inner.judged("test_over", "queries[lines]") == ("over budget", True)
    inner.result.stdout.fnmatch_lines(
        ["queries[[]lines] of test_it.py::test_over [[]second] is over*4, budget 1; budget from perf.queries() in*"]
    )
    inner.result.stdout.fnmatch_lines(["*read within its block*read it after the block*"])
    inner.result.stdout.fnmatch_lines(["*unknown budget 'time' (perf.queries() in *; did you mean*known: batchable*"])
    inner.result.stdout.no_fnmatch_line("*not reached*")


def test_statements_that_grow_with_the_data(shop):
    shop.write(
        test_it="""
        import asyncio
        import functools
        import pytest
        import shop

        def populate(db, size):
            shop.add_orders(db, size)

        def test_grows(perf, db):
            perf.queries.scales(functools.partial(populate, db), lambda: shop.list_slowly(db))

        def test_does_not(perf, db):
            found = perf.queries.scales(functools.partial(populate, db), lambda: shop.list_at_once(db), sizes=(1, 2, 4))
            assert found == {1: 1, 2: 1, 4: 1}

        def test_grows_asynchronously(perf, db):
            async def exercise():
                return shop.list_slowly(db)

            asyncio.run(perf.queries.scales_aio(functools.partial(populate, db), exercise))

        def test_coroutine_function(perf, db):
            async def exercise():
                return shop.list_slowly(db)

            perf.queries.scales(functools.partial(populate, db), exercise)

        @pytest.mark.parametrize("sizes", [(5, 2), (3,), (0, 1), (1.5, 2)])
        def test_sizes(perf, db, sizes):
            perf.queries.scales(print, print, sizes=sizes)
        """,
    )
    inner = shop.run(code=1)
    assert inner.outcomes == {"passed": 1, "failed": 7}
    assert inner.judged("test_grows", "scaling") == ("over budget", True)
    assert inner.judged("test_grows_asynchronously", "scaling") == ("over budget", True)
    assert inner.judged("test_does_not", "scaling") == ("passed", False)
    inner.result.stdout.fnmatch_lines(
        [
            "a statement grows in number with the data of test_it.py::test_grows [[]scales]; "
            "perf.queries.scales() with sizes 2 and 5",
            "*6 → 11 × SELECT [*] FROM lines WHERE order_id = ?",
            "*at shop.py:* list_slowly*",
        ]
    )
    inner.result.stdout.fnmatch_lines(["*coroutine function *write: await perf.queries.scales_aio(*"])
    inner.result.stdout.fnmatch_lines(["*sizes=(5, 2) of perf.queries.scales()*write for example sizes=(2, 5)*"])


def test_the_tests_of_a_suite_that_ask_most(shop):
    shop.write(
        test_it="""
        import pytest
        import shop

        def test_slowly(db):
            shop.list_slowly(db)

        def test_at_once(db):
            shop.list_at_once(db)
            shop.list_at_once(db)

        def test_nothing():
            pass

        def test_failing(db):
            shop.list_at_once(db)
            assert False

        @pytest.mark.perf_budget(queries=9)
        def test_guarded(db):
            shop.list_slowly(db)
            shop.list_at_once(db)
        """,
    )
    inner = shop.run("--perfguard-queries", code=1)
    assert inner.outcomes == {"passed": 4, "failed": 1}
    inner.result.stdout.fnmatch_lines(
        [
            "*perfguard: database statements*",
            "14 statements in 4 tests, of 5 that were watched",
            "test_it.py::test_guarded * 6 * 1*",
            "test_it.py::test_slowly * 5 * 1*",
            "test_it.py::test_at_once * 2 * 1*",
            "test_it.py::test_failing * 1",
            "shop.py:* list_slowly*: potential N+1, up to 4 parameter sets; in 2 tests",
        ]
    )
    assert [each["test"].rpartition("::")[2] for each in inner.report["survey"]] == [
        "test_at_once", "test_failing", "test_nothing", "test_slowly",
    ]  # fmt: skip


def test_a_suite_without_a_database_is_listed_and_passes(either):
    either.write(test_it="def test_nothing():\n    pass\n")
    inner = either.run("--perfguard-queries", code=0, apart=True)
    inner.result.stdout.fnmatch_lines(["no test made a database statement that could be seen"])


def test_budgets_by_table_in_the_ini_file(shop):
    shop.ini(
        """
        perfguard_budgets =
            test_it.py: queries[lines]=3, queries[orders]=9
            test_it.py::test_lifted: queries[lines]=off
        """
    )
    shop.write(
        test_it="""
        import shop

        def test_over(db):
            shop.list_slowly(db)

        def test_lifted(db):
            shop.list_slowly(db)
        """
    )
    inner = shop.run(code=1)
    assert inner.outcomes == {"passed": 1, "failed": 1}
    assert inner.judged("test_over", "queries[lines]") == ("over budget", True)
    assert [each["metric"] for each in inner.verdicts("test_lifted")] == ["queries[orders]"]


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("time={'orders': 1}", "*time cannot be limited by table (marker on *; these can: queries, reads, writes*"),
        ("queries={}", "*queries= in marker on * is to be limited by table, and names none*"),
        ("queries={'orders': 'many'}", "*many*marker on *"),
    ],
)
def test_unusable_budgets_by_table(project, marker, says):
    project.write(
        test_it=f"""
        import pytest

        @pytest.mark.perf_budget({marker})
        def test_it():
            pass
        """
    )
    inner = project.run(code=1)
    inner.result.stdout.fnmatch_lines([says])


def test_disabled_blocks_record_and_do_not_judge(shop):
    shop.write(
        test_it="""
        import shop

        def test_it(perf, db):
            with perf.queries(max=1) as q:
                shop.list_slowly(db)
            assert q.count == 5
            perf.queries.scales(lambda size: shop.add_orders(db, size), lambda: shop.list_slowly(db))
        """
    )
    inner = shop.run("--perfguard-disable")
    assert inner.outcomes == {"passed": 1}


def test_a_process_of_the_measured_call_makes_its_budget_invalid(project):
    project.write(
        test_it="""
        import multiprocessing
        import sqlite3
        import pytest

        def ask():
            sqlite3.connect(":memory:").execute("SELECT 1")

        @pytest.mark.perf_budget(queries=0, n_plus_one=0)
        def test_it():
            process = multiprocessing.get_context("fork").Process(target=ask)
            process.start()
            process.join()
        """
    )
    inner = project.run("--perfguard-fail-on=invalid", code=1, apart=True)
    assert inner.judged("test_it", "queries") == ("invalid", True)
    assert inner.judged("test_it", "n_plus_one") == ("invalid", True)
    inner.result.stdout.fnmatch_lines(["*gave work to another process*cannot be seen*"])


def test_a_budget_over_its_limit_says_what_is_new_since_the_baseline(shop):
    shop.write(
        test_it="""
        import pytest
        import shop

        @pytest.mark.perf_budget(n_plus_one=0)
        def test_it(db):
            shop.list_at_once(db)
        """
    )
    shop.commit()
    shop.run("--perfguard-save", code=0)
    path = shop.path / "test_it.py"
    path.write_text(path.read_text().replace("list_at_once", "list_slowly"))
    inner = shop.run("--perfguard-compare", "--perfguard-fail-on=over-budget", code=1)
    inner.result.stdout.fnmatch_lines(
        [
            "n_plus_one of test_it.py::test_it is over its budget: 1, budget 0; *",
            "*since the baseline:",
            "*NEW * 4 × SELECT [*] FROM lines WHERE order_id = ?",
            "*GONE * 1 × SELECT id, product FROM orders JOIN lines*",
        ]
    )


def test_growth_that_was_not_tested_is_no_success(shop):
    shop.write(
        test_it="""
        import shop

        def test_nothing_asked(perf, db):
            perf.queries.scales(lambda size: shop.add_orders(db, size), lambda: None)

        def test_page_that_shows_none_of_it(perf, db):
            perf.queries.scales(
                lambda size: shop.add_orders(db, size),
                lambda: db.execute("SELECT id FROM orders WHERE customer = 8").fetchall(),
            )

        def test_that_reaches_it(perf, db):
            perf.queries.scales(lambda size: shop.add_orders(db, size), lambda: shop.list_at_once(db))
        """
    )
    inner = shop.run(code=1)
    assert inner.outcomes == {"passed": 2, "failed": 1}
    inner.result.stdout.fnmatch_lines(
        ["*scales() in test_it.py::test_nothing_asked tested nothing: exercise made no *"]
    )

    def codes(test):
        return [note["code"] for note in inner.measured(test, "scales")["notes"]]

    assert codes("test_page_that_shows_none_of_it") == ["unreached"]
    assert codes("test_that_reaches_it") == []
    assert shop.run("--perfguard-disable").outcomes == {"passed": 3}


def test_budgets_of_a_test_hold_for_what_scales_runs(shop):
    shop.write(
        test_it="""
        import pytest
        import shop

        @pytest.mark.perf_budget(queries=1, rows=10)
        def test_within(perf, db):
            perf.queries.scales(lambda size: shop.add_orders(db, size), lambda: shop.list_at_once(db), sizes=(2, 4))

        @pytest.mark.perf_budget(rows=9)
        def test_over(perf, db):
            perf.queries.scales(lambda size: shop.add_orders(db, size), lambda: shop.list_at_once(db), sizes=(2, 4))
        """
    )
    inner = shop.run(code=1)
    assert inner.judged("test_within", "queries") == ("passed", False)
    assert inner.judged("test_within", "rows") == ("passed", False)
    assert inner.judged("test_over", "rows") == ("over budget", True)  # 4 of the fixture, 2, and 4


def test_a_budget_for_a_folder_is_no_error_where_a_test_measures_something_else(shop):
    shop.ini(
        """
        perfguard_budgets =
            test_it.py: time=10 s, queries=50
        """
    )
    shop.write(
        test_it="""
        import pytest
        import shop

        def test_growth(perf, db):
            perf.queries.scales(lambda size: shop.add_orders(db, size), lambda: shop.list_at_once(db))

        @pytest.mark.perf_budget(time="1 s")
        def test_its_own(perf, db):
            with perf.queries():
                shop.list_at_once(db)

        def test_nothing(perf, db):
            shop.list_at_once(db)
        """
    )
    inner = shop.run(code=1)
    assert inner.outcomes == {"passed": 1, "failed": 2}
    assert inner.judged("test_growth", "queries") == ("passed", False)
    assert inner.judged("test_growth", "time") == ("invalid", False)
    inner.result.stdout.fnmatch_lines(["*the budget on time (marker on test_it.py::test_its_own) was not checked*"])
    inner.result.stdout.fnmatch_lines(["*the budget on * (perfguard_budgets in pytest.ini*was not checked*"])


def test_a_block_that_is_left_by_an_expected_error_is_judged_all_the_same(either):
    either.write(
        test_it="""
        import sqlite3
        import pytest

        def view(db):
            for number in range(5):
                db.execute("select 1 from sqlite_master where name = ?", (str(number),)).fetchall()
            raise PermissionError("not yours")

        def test_expected(perf):
            db = sqlite3.connect(":memory:")
            with pytest.raises(PermissionError), perf.queries(max=0) as q:
                view(db)
            assert q.count == 5
            db.close()

        def test_unexpected(perf):
            db = sqlite3.connect(":memory:")
            with perf.queries(max=0):
                view(db)
        """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"failed": 2}
    inner.result.stdout.fnmatch_lines(
        [
            "*queries of test_it.py::test_expected [[]queries[]] is over its budget: 5, budget 0*",
            "*PermissionError: not yours*",
        ]
    )


def test_errors_of_drivers_are_shown_without_frames_of_ours_and_their_parameters(either):
    either.write(
        test_it="""
        import sqlite3
        import pytest

        def secret():
            return "hunter" + "2"

        @pytest.mark.perf_budget(queries=1)
        def test_body():
            sqlite3.connect(":memory:").execute("select a from nowhere where a = ?", (secret(),))

        def test_block(perf):
            with perf.queries():
                sqlite3.connect(":memory:").execute("select a from nowhere where a = ?", (secret(),))

        def test_call(perf):
            perf(lambda: sqlite3.connect(":memory:").execute("select a from nowhere where a = ?", (secret(),)))
        """
    )
    text = either.run(code=1).result.stdout.str()
    assert text.count("no such table: nowhere") >= 3
    assert "hunter2" not in text
    assert "pytest_perfguard/probes" not in text
    assert "pytest_perfguard/measure" not in text


def test_a_disabled_run_replaces_nothing(project):
    project.write(
        test_it="""
        import sqlite3
        import pytest

        class Mine(sqlite3.Connection):
            pass

        @pytest.mark.perf_budget(queries=1)
        def test_it():
            assert sqlite3.connect.__module__ in ("_sqlite3", "sqlite3")
            assert type(sqlite3.connect(":memory:", factory=Mine)) is Mine
        """
    )
    project.run("--perfguard-disable", code=0)


def test_work_for_processes_that_were_there_before_is_no_silent_zero(project):
    project.write(
        test_it="""
        import os
        import sqlite3
        from concurrent.futures import ProcessPoolExecutor

        import pytest

        def ask(path):
            return sqlite3.connect(path).execute("select 1 from sqlite_master").fetchall()

        @pytest.fixture(scope="module")
        def pool():
            with ProcessPoolExecutor(1) as pool:
                pool.submit(len, "").result()
                yield pool

        @pytest.mark.perf_budget(queries=0)
        def test_executor(pool, tmp_path):
            assert pool.submit(ask, str(tmp_path / "db")).result() == []

        @pytest.mark.perf_budget(queries=0)
        def test_fork(tmp_path):
            child = os.fork()
            if not child:
                ask(str(tmp_path / "db"))
                os._exit(0)
            os.waitpid(child, 0)
        """
    )
    inner = project.run("-W", "ignore", code=0)
    assert {inner.judged(f"test_{name}", "queries")[0] for name in ("executor", "fork")} == {"invalid"}
