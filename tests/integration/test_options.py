"""Options, environment and ini keys: each does what it says, and a bad value says what to write."""

from __future__ import annotations

import fnmatch
import json

import pytest

GUARDED = """
    import sqlite3
    import time
    import pytest

    CALLS = []

    @pytest.mark.perf_budget(time="1 ms")
    @pytest.mark.perf(rounds=3)
    def test_body():
        CALLS.append("body")
        time.sleep(0.01)

    @pytest.mark.perf_budget(queries=0, time="0.01 ns")
    def test_fixture(perf):
        result = perf.using(setup=lambda: ((1,), {}))(lambda number: CALLS.append("fixture") or number)
        assert result == 1
        with perf.span("part"):
            CALLS.append("span")

    def test_free():
        print("calls:", *CALLS)
"""


def test_disable_runs_every_call_once(either):
    either.write(test_it=GUARDED)
    inner = either.run("--perfguard-disable", "-p", "no:randomly", "-s", code=0)
    assert inner.outcomes == {"passed": 3}
    assert inner.report is None
    if not either.workers:
        inner.result.stdout.fnmatch_lines(["*calls: body fixture span*"])


def test_only_and_skip(either, monkeypatch):
    either.write(test_it=GUARDED)
    skipped = either.run("--perfguard-skip", code=0)
    assert skipped.outcomes == {"passed": 1} if either.workers else {"passed": 1, "deselected": 2}
    assert skipped.report["measurements"] == []
    only = either.run("--perfguard-only", "--perfguard-fail-on=none", code=0)
    assert only.outcomes["passed"] == 2
    assert {each["test"] for each in only.report["measurements"]} == {
        "test_it.py::test_body",
        "test_it.py::test_fixture",
    }


@pytest.mark.parametrize("way", ["option", "environment"])
def test_only_leaves_nothing_where_nothing_is_guarded(project, monkeypatch, way):
    project.write(test_it="def test_free(): pass")
    if way == "environment":
        monkeypatch.setenv("PERFGUARD_ONLY", "1")
    result = project.start(*(["--perfguard-only"] if way == "option" else []))
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.assert_outcomes(deselected=1)


def test_fail_on_widens_and_narrows(project):
    project.write(
        test_it="""
        import pytest

        @pytest.mark.perf_budget(queries=0)
        def test_over(perf):
            import sqlite3
            connection = sqlite3.connect(":memory:")
            perf(lambda: connection.execute("select 1"))
            connection.close()
        """
    )
    assert project.run(code=1).judged() == ("over budget", True)
    assert project.run("--perfguard-fail-on=none", code=0).judged() == ("over budget", False)
    assert project.run("--perfguard-fail-on", "regressed,invalid", code=0).judged() == ("over budget", False)
    assert project.run("--perfguard-fail-on=OVER_BUDGET", code=1).judged() == ("over budget", True)
    assert project.run("--perfguard-save", "--perfguard-compare", code=1).judged(metric="reads")[0] == "no baseline"
    inner = project.run("--perfguard-compare", "--perfguard-fail-on=unchanged", code=pytest.ExitCode.USAGE_ERROR)
    assert "'unchanged' is success" in inner.result.stderr.str()


def test_store_names_the_folder_and_reports_their_files(project):
    project.write(test_it="def test_it(perf): perf(sorted, [1])")
    inner = project.run(
        "--perfguard-save", "--perfguard-store=kept/here", "--perfguard-machine=my laptop",
        "--perfguard-report=markdown:deep/perf.md", "--perfguard-report=JSON:again.json", "--perfguard-report=terminal",
        code=0,
    )  # fmt: skip
    assert not (project.path / "baselines").exists()
    (stored,) = (project.path / "kept" / "here" / "runs").rglob("*.jsonl.gz")
    assert "my-laptop" in str(stored)
    assert inner.report["header"]["machine"]["label"] == "my laptop"
    assert json.loads((project.path / "again.json").read_text()) == inner.report
    assert (project.path / "deep" / "perf.md").read_text().startswith("**perfguard: 1 measured")
    assert (project.path / "perfguard.txt").read_text().startswith("perfguard: ")
    inner.result.stdout.fnmatch_lines_random(
        ["stored no commit in kept/here/runs/my-laptop-*", "wrote markdown report to deep/perf.md"]
    )


def test_a_report_that_cannot_be_written_is_said_and_fails_nothing(project):
    project.write(test_it="def test_it(perf): perf(sorted, [1])")
    (project.path / "file").write_text("")
    inner = project.run("--perfguard-report=markdown:file/perf.md", code=0)
    inner.result.stdout.fnmatch_lines(["note: cannot write the report to file/perf.md*name a file in a folder*"])


def test_a_reporter_that_raises_is_said_and_fails_nothing(project):
    project.write(
        conftest="""
        class Broken:
            name, suffix = "broken", ".txt"

            def render(self, run):
                raise RuntimeError("by design")

        def pytest_perfguard_register(registry):
            registry.add_reporter("broken", Broken)
        """,
        test_it="def test_it(perf): perf(sorted, [1])",
    )
    inner = project.run("--perfguard-report=broken", "--perfguard-report=markdown:after.md", code=0)
    inner.result.stdout.fnmatch_lines(
        ["note: the broken report was not written, its reporter raised RuntimeError: by design; *", "wrote markdown*"]
    )


def test_text_that_utf_8_has_no_place_for_is_written_as_its_escape(project):
    project.write(
        test_it="""
        import pytest

        @pytest.mark.perf(group="a\\udcffb")
        def test_it(perf):
            perf(sorted, [1])
        """
    )
    inner = project.run("--perfguard-report=markdown", "--perfguard-save", code=0)
    assert inner.measured("test_it")["group"] == "a\udcffb"
    assert len(project.stored()) == 1


@pytest.mark.parametrize("how", ["raise KeyboardInterrupt", "pytest.exit('enough', returncode=0)", "assert 0"])
def test_an_interrupted_run_is_no_baseline(project, how):
    project.write(
        test_it=f"""
        import pytest

        def test_it(perf):
            perf(sorted, [1])

        def test_then():
            {how}
        """
    )
    project.commit()
    inner = project.run("--perfguard-save", apart=True)
    interrupted = how != "assert 0"
    assert ("not-saved" in inner.notes) == interrupted
    assert len(project.stored()) == (0 if interrupted else 1)
    assert len(inner.report["measurements"]) == 1
    if interrupted and "exit" not in how:
        inner.result.stdout.fnmatch_lines(["note: the baseline was not stored: the run was interrupted*"])


def test_what_is_asked_for_together_with_disable_is_said_not_to_be_done(project):
    project.write(test_it=GUARDED)
    inner = project.run("--perfguard-disable", "--perfguard-save", code=0)
    inner.result.stdout.fnmatch_lines(["note: nothing was measured, so no baseline was stored*--perfguard-disable*"])


def test_how_much_is_printed(project):
    project.write(test_it=GUARDED)
    text = project.run("-qq", "--perfguard-save", code=1).text
    ours = text[text.index("perfguard: ") :].splitlines()
    assert ours[0].startswith("perfguard: ")
    assert not any("stored" in line or "metric" in line for line in ours)
    assert "- perfguard -" not in text
    assert "perfguard: " not in project.run("--collect-only", "--perfguard-save", code=0).text
    assert project.stored() != []


def test_times_effects_and_metrics(project):
    project.write(
        test_it="""
        def test_quick(perf):
            perf(sorted, [1])

        def test_slow(perf):
            import time
            perf.using(iterations=1)(time.sleep, 0.02)
        """
    )
    inner = project.run("--perfguard-measurement-time=50 ms", "--perfguard-metrics=result_size,retained", code=0)
    (note,) = inner.measured("test_slow")["notes"]
    assert (note["code"], "the limit of 0.05 s" in note["message"]) == ("capped", True)
    assert {"result_size", "retained"} <= set(inner.measured("test_quick")["series"])
    longer = project.run("--perfguard-target-time=100 ms", "-k", "quick")
    walls = [each.measured("test_quick")["series"]["wall"] for each in (inner, longer)]
    short, long = (sum(wall["values"]) * 1e-9 for wall in walls)
    assert short < 0.05 + max(walls[0]["values"]) * 1e-9  # one round may go over the limit
    assert long >= 0.1 - 2 * max(walls[1]["values"]) * 1e-9
    assert short < long


def test_nearest_place_wins(project, monkeypatch):
    project.ini("perfguard_machine = ini\nperfguard_measurement_time = 20 ms\nperfguard_fail_on =\n    none")
    project.write(
        test_it="""
        import time, pytest

        @pytest.mark.perf_budget(time="1 ns")
        def test_it(perf):
            perf.using(iterations=1)(time.sleep, 0.01)

        @pytest.mark.perf(max_time="40 ms")
        def test_marked(perf):
            perf.using(iterations=1)(time.sleep, 0.01)
        """
    )
    inner = project.run("--perfguard-save", code=0)
    assert inner.report["header"]["machine"]["label"] == "ini"
    assert "limit of 0.02 s" in inner.measured("test_it")["notes"][0]["message"]
    assert "limit of 0.04 s" in inner.measured("test_marked")["notes"][0]["message"]
    monkeypatch.setenv("PERFGUARD_MACHINE", "environment")
    monkeypatch.setenv("PERFGUARD_FAIL_ON", "over budget")
    assert project.run("--perfguard-save", code=1).report["header"]["machine"]["label"] == "environment"
    inner = project.run("--perfguard-save", "--perfguard-machine=option", "--perfguard-fail-on=none", code=0)
    assert inner.report["header"]["machine"]["label"] == "option"


OPTION, ENVIRONMENT, INI = "option", "environment", "ini"


@pytest.mark.parametrize(
    ("where", "key", "value", "message"),
    [
        (OPTION, "--perfguard-target-time", "5 parsecs", "*5 parsecs*--perfguard-target-time*"),
        (OPTION, "--perfguard-target-time", "0 s", "*'0 s'*(--perfguard-target-time)*1 µs or more*write for example*"),
        (OPTION, "--perfguard-measurement-time", "10 MB", "*--perfguard-measurement-time*"),
        (OPTION, "--perfguard-min-effect", "900 %", "*outside of what makes sense, 0 % to 500 %*'10 %'*"),
        (OPTION, "--perfguard-confidence", "2", "*50 % to 99.9999 %*"),
        (OPTION, "--perfguard-fail-on", "slow", "*unknown outcome 'slow' (--perfguard-fail-on); known: *"),
        (OPTION, "--perfguard-report", "pdf", "*unknown report format 'pdf' (--perfguard-report); known: *json*"),
        (OPTION, "--perfguard-report", "json:", "*it is not FORMAT or FORMAT:PATH; write for example json:perf.json*"),
        (OPTION, "--perfguard-store", " ", "*it is not a path*"),
        (
            OPTION,
            "--perfguard-metrics",
            "spead",
            "*unknown metric 'spead' (--perfguard-metrics); did you mean*",
        ),
        (ENVIRONMENT, "PERFGUARD_SAVE", "maybe", "*'maybe'*(PERFGUARD_SAVE)*write true or false*"),
        (ENVIRONMENT, "PERFGUARD_MAX_TIME", "soon", "*PERFGUARD_MAX_TIME*"),
        (INI, "perfguard_measurement_time", "soon", "*perfguard_measurement_time in pytest.ini*"),
        (INI, "perfguard_save", "maybe", "*perfguard_save in pytest.ini*"),
        (INI, "perfguard_budgets", "tests: speed=1", "*unknown budget 'speed' (perfguard_budgets in pytest.ini*"),
        (INI, "perfguard_budgets", "what is this", "*cannot read the line 'what is this'*write a pattern, a colon*"),
        (
            INI,
            "perfguard_metrics",
            "spead",
            "*unknown metric 'spead' (perfguard_metrics in pytest.ini); did you mean*",
        ),
    ],
)
def test_a_bad_value_is_a_usage_error(project, monkeypatch, where, key, value, message):
    project.write(test_it=GUARDED)
    arguments = []
    if where == OPTION:
        arguments = [f"{key}={value}"]
    elif where == ENVIRONMENT:
        monkeypatch.setenv(key, value)
    else:
        project.ini(f"{key} = {value}")
    result = project.start(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    # A message of argparse's is wrapped by nobody; those of ours are one line on the error stream.
    (line,) = [line for line in result.stderr.lines if line.startswith("ERROR: perfguard: ")]
    assert fnmatch.fnmatchcase(line, message), line
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.parametrize("where", [OPTION, INI])
def test_a_bad_value_ends_a_run_with_workers_too(project, where):
    project.write(test_it=GUARDED)
    if where == INI:
        project.ini("perfguard_budgets = tests: speed=1")
    result = project.start("-n", "2", *(["--perfguard-measurement-time=soon"] if where == OPTION else []))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: perfguard: " in result.stderr.str()
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_trouble_of_a_worker_alone_is_said_by_each_guarded_test(project):
    project.write(
        conftest="""
        import os
        from pytest_perfguard.model import Metric
        from pytest_perfguard.model.metric import TIME

        def pytest_perfguard_register(registry):
            if "PYTEST_XDIST_WORKER" in os.environ:
                registry.add_probe([TIME], "nowhere:Nothing")
        """,
        test_it=GUARDED,
    )
    result = project.start("-n", "2")
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(["perfguard: the metric 'time' of 'nowhere:Nothing' exists already*"])


def test_only_and_skip_together_are_refused(project):
    result = project.start("--perfguard-only", "--perfguard-skip")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "which leaves no test to run; drop one of them" in result.stderr.str()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--perfguard-compare", "tests"],
        ["--perfguard-compare", "tests/test_it.py::test_it"],
        ["tests", "--perfguard-compare"],
        ["--perfguard-compare", "-q"],
        ["--perfguard-compare=auto", "tests"],
    ],
    ids=" ".join,
)
def test_a_bare_compare_does_not_swallow_the_path_after_it(project, arguments):
    project.write(tests___test_it="def test_it(perf): perf(sorted, [1])", other___test_no="def test_no(): assert 0")
    inner = project.run(*arguments, *(["tests"] if "-q" in arguments else []), code=0)
    assert inner.outcomes == {"passed": 1}
    assert {verdict["outcome"] for verdict in inner.verdicts()} == {"no baseline"}


def test_compare_with_a_revision_after_a_space_and_in_addopts(project):
    project.ini("addopts = --perfguard-compare tests")
    project.write(tests___test_it="def test_it(perf): perf(sorted, [1])")
    assert project.run(code=0).judged()[0] == "no baseline"
    project.ini("")
    assert "v9.9" in project.run("--perfguard-compare", "v9.9", "tests", code=4).result.stderr.str()


def test_help_names_every_option_and_the_markers(project):
    text = project.start("--help").stdout.str()
    for name in (
        "save", "compare", "report", "disable", "only", "skip", "fail-on", "store", "machine", "target-time",
        "max-time", "measurement-time", "min-effect", "confidence", "gate-contended", "gate-weak", "metrics",
    ):  # fmt: skip
        assert f"--perfguard-{name}" in text
    assert "perfguard_budgets" in text
    project.start("--markers").stdout.fnmatch_lines(["@pytest.mark.perf_budget(*", "@pytest.mark.perf(*"])
