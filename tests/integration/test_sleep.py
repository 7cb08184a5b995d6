"""Asleep until needed: a suite without guarded tests loads next to nothing, and no hook of ours runs for its tests."""

from __future__ import annotations

OWN = "pytest_perfguard pytest_perfguard.config pytest_perfguard.plugin"

ASLEEP = """
    import sys, pytest

    def ours(config):
        return sorted(
            name
            for hook in ("runtest_protocol", "runtest_setup", "runtest_call", "runtest_makereport", "runtest_logreport")
            for name in (each.plugin_name for each in getattr(config.hook, f"pytest_{hook}").get_hookimpls())
            if "perfguard" in name
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session):
        loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "pytest_perfguard")
        costly = {"scipy", "numpy", "git", "pympler", "tabulate", "psutil"}
        heavy = sorted(costly & set(sys.modules))
        print(f"\\nloaded: {' '.join(loaded)}; heavy: {heavy}; hooks: {ours(session.config)}")
"""


def test_a_suite_without_guarded_tests_loads_three_modules(project):
    project.ini("perfguard_measurement_time = 1 s\nperfguard_store = kept")
    project.write(
        conftest=ASLEEP,
        test_it="""
        import pytest

        @pytest.mark.parametrize("number", range(3))
        def test_free(number, tmp_path):
            pass

        @pytest.mark.skip
        def test_skipped():
            pass
        """,
    )
    result = project.start("-s", "--strict-markers", "--strict-config", apart=True)
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines([f"loaded: {OWN}; heavy: [[][]]; hooks: [[][]]"])
    result.stdout.no_fnmatch_line("*perfguard: *")


def test_a_guarded_test_that_is_deselected_wakes_nothing(project):
    project.write(
        conftest=ASLEEP,
        test_it="""
        def test_free():
            pass

        def test_guarded(perf):
            pass
        """,
    )
    result = project.start("-s", "-k", "free", apart=True)
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines([f"loaded: {OWN}; heavy: [[][]]; hooks: [[][]]"])


def test_one_guarded_test_wakes_the_guard_and_not_what_it_does_not_need(project):
    project.write(conftest=ASLEEP, test_it="def test_guarded(perf): perf(sorted, [1])")
    result = project.start("-s", "--perfguard-target-time=5ms", apart=True)
    result.assert_outcomes(passed=1)
    (line,) = [line for line in result.outlines if line.startswith("loaded: ")]
    assert "perfguard_guard" in line
    assert "pytest_perfguard.engine" in line
    for module in ("probes.memory.peak", "probes.memory.size", "probes.queries", "report.json", "report.markdown"):
        assert f"pytest_perfguard.{module}" not in line
    for heavy in ("scipy", "numpy", "pympler", "psutil"):
        assert f"'{heavy}'" not in line


def test_without_the_plugin_nothing_of_it_is_there(project):
    project.write(conftest=ASLEEP, test_it="def test_free(): pass\ndef test_asks(perf): pass")
    result = project.pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:perfguard", "-s", "--strict-config"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["loaded: ; heavy: [[][]]; hooks: [[][]]", "*fixture 'perf' not found*"])


def test_public_names_are_loaded_when_they_are_used(project):
    program = """
        import sys, pytest_perfguard
        assert [name for name in sys.modules if name.startswith("pytest_perfguard")] == ["pytest_perfguard"]
        for name in pytest_perfguard.__all__:
            assert getattr(pytest_perfguard, name) is not None
        assert set(pytest_perfguard.__all__) <= set(dir(pytest_perfguard))
        assert not {"scipy", "numpy", "git"} & set(sys.modules)
        try:
            pytest_perfguard.nothing
        except AttributeError as error:
            assert str(error) == "module 'pytest_perfguard' has no attribute 'nothing'"
        else:
            raise AssertionError
    """
    project.write(program=program)
    assert project.pytester.runpython(project.path / "program.py").ret == 0
