"""Quantities: what is read, what is refused and how, and that text written for a reader can be read back."""

from __future__ import annotations

import decimal
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_perfguard.errors import QuantityError
from pytest_perfguard.quantity import Unit, parse, render, render_change

S, B, N, R, V = Unit.SECONDS, Unit.BYTES, Unit.COUNT, Unit.RATIO, Unit.RATE


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("20 ms", S, 0.02),
        ("7ns", S, 7e-9),
        ("3 us", S, 3e-6),
        ("3 µs", S, 3e-6),  # micro sign
        ("3 μs", S, 3e-6),  # Greek mu
        (" 1.5 s ", S, 1.5),
        (".5 s", S, 0.5),
        ("2 min", S, 120.0),
        ("1e-1 h", S, 360.0),
        ("10", S, 10.0),
        (0.25, S, 0.25),
        (timedelta(milliseconds=20), S, 0.02),
        ("5 MiB", B, 5 * 2**20),
        ("1.5KiB", B, 1536.0),
        ("2 TiB", B, 2 * 2**40),
        ("200 kB", B, 200_000.0),
        ("200 KB", B, 200_000.0),
        ("3 TB", B, 3e12),
        ("3", N, 3.0),
        ("1_000", N, 1000.0),
        ("1.5k", N, 1500.0),
        (3.0, N, 3.0),
        (Decimal("4"), N, 4.0),
        ("-0", N, 0.0),
        ("0.1 %", R, 0.001),
        ("0.1%", R, 0.001),
        ("0.5", R, 0.5),
        ("250 %", R, 2.5),
        ("200/s", V, 200.0),
        ("12k/min", V, 200.0),
        ("5 req/s", V, 5.0),
        ("1.5k requests / s", V, 1500.0),
        ("2/ms", V, 2000.0),
        ("40", V, 40.0),
    ],
)
def test_reads_values_in_base_units(value, unit, expected):
    assert parse(value, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit", "says"),
    [
        ("", S, "it is empty"),
        ("fast", S, "it does not begin with a number"),
        ("nan", S, "it does not begin with a number"),
        (float("nan"), S, "it is not a number"),
        (Decimal("sNaN"), S, "it is not a number"),
        (float("inf"), B, "infinite or too large"),
        ("1e999 s", S, "infinite or too large"),
        ("1e308 h", S, "infinite or too large"),
        pytest.param(10**5000, N, "infinite or too large", id="huge"),
        ("1e-999", N, "too small"),
        (-1, S, "it is negative"),
        ("-3 ms", S, "it is negative"),
        ("−3 ms", S, "it is negative"),
        (timedelta(seconds=-1), S, "it is negative"),
        (timedelta(seconds=1), B, "a timedelta is a time"),
        (True, N, "bool is not a number"),
        (None, S, "NoneType is not a number"),
        ("5 MiB", S, "'MiB' measures a size; write for example '20 ms' (known: ns, us, ms, s, min, h)"),
        ("5 %", S, "'%' measures a ratio"),
        ("5 ms", V, "'ms' measures a time"),
        ("5/s", N, "'/s' measures a rate"),
        ("20 mss", S, "unknown unit 'mss'; write for example"),
        ("20 mss", S, "did you mean 'ms'?"),
        ("5 seconds", S, "did you mean 's'?"),
        ("5 m", S, "did you mean 'min'?"),
        ("5 mb", B, "did you mean 'MB'?"),
        ("5 mi", B, "did you mean 'MiB'?"),
        ("5 pct", R, "did you mean '%'?"),
        ("200 rps", V, "did you mean '/s'?"),
        ("2.5", N, "a count is a whole number"),
        (2.5, N, "a count is a whole number"),
        ("1,5 ms", S, "decimals follow a point"),
        ("1__0 ms", S, "'1__0' is not a number"),
        ("1" * 101, N, "more than 100 characters"),
    ],
)
def test_refuses_with_what_where_and_the_remedy(value, unit, says):
    with pytest.raises(QuantityError) as caught:
        parse(value, unit, where="time= in marker on test_x")
    message = str(caught.value)
    assert says in message
    assert "(time= in marker on test_x)" in message
    assert "write for example" in message


def test_the_decimal_context_of_the_code_under_test_does_not_matter():
    with decimal.localcontext() as context:
        context.prec = 1
        context.traps[decimal.Inexact] = True
        context.traps[decimal.FloatOperation] = True
        assert parse("1.2345 ms", S) == 0.0012345
        assert parse(1.25, S) == 1.25


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, S, "1.23 ms"),
        (0.02, S, "20 ms"),
        (0.000999964, S, "1 ms"),  # rounds into the next suffix
        (90, S, "90 s"),
        (150, S, "2.5 min"),
        (7200, S, "2 h"),
        (0, S, "0 s"),
        (-0.00123, S, "−1.23 ms"),
        (5 * 2**20, B, "5 MiB"),
        (5.123 * 2**20, B, "5.12 MiB"),
        (1023, B, "1023 B"),
        (1010 * 2**10, B, "1010 KiB"),
        (3, N, "3"),
        (12345, N, "12345"),
        (2.5, N, "2.5"),
        (0.001, R, "0.1 %"),
        (0.12345, R, "12.3 %"),
        (200, V, "200/s"),
        (12345, V, "12.3k/s"),
        (float("inf"), S, "∞"),
        (float("nan"), S, "not a number"),
    ],
)
def test_renders_short_text(value, unit, text):
    assert render(value, unit) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.12, "+12 %"),
        (-0.034, "−3.4 %"),
        (0.0012, "+0.12 %"),
        (0.00001, "±0 %"),
        (0.994, "+99 %"),
        (0.996, "×2"),  # would be +100 %
        (1.4, "×2.4"),
        (2.1, "×3.1"),
        (30.4, "×31"),
        (-1.0, "−100 %"),
        (float("inf"), "×∞"),
    ],
)
def test_renders_changes(fraction, text):
    assert render_change(fraction) == text


@given(st.floats(0, 1e300), st.sampled_from(Unit))
def test_what_is_rendered_is_read_back_within_rounding(value, unit):
    value = float(round(value)) if unit is N else value
    assert parse(render(value, unit), unit) == pytest.approx(value, rel=0.0051, abs=1e-320)


@given(st.floats(), st.sampled_from(Unit))
def test_rendering_never_raises(value, unit):
    assert len(render(value, unit)) < 25
    assert len(render_change(value)) < 25


_PIECES = st.lists(
    st.sampled_from(["1", "0", "_", ".", "e", "-", "ms", "MiB", "%", "/", "s", " ", "k", "9" * 30, "٣", "\n"])
)


@given(
    st.text() | _PIECES.map("".join) | st.integers() | st.floats() | st.decimals() | st.timedeltas() | st.binary(),
    st.sampled_from(Unit),
)
def test_anything_is_a_finite_amount_or_a_quantity_error(value, unit):
    try:
        result = parse(value, unit)
    except QuantityError as error:
        assert len(str(error)) < 600  # noqa: PT017 - either way is right
    else:
        assert 0 <= result < float("inf")
        assert unit is not N or result.is_integer()
