"""Values with units: "200 ms" and "10 MiB" to numbers in base units, and numbers back to text.

| Unit | Suffixes | Examples |
|---|---|---|
| seconds | ns, us (µs), ms, s, min, h | "20 ms", "1.5 s" |
| bytes | B, kB (KB), MB, GB, TB, KiB, MiB, GiB, TiB | "5 MiB", "200 kB" |
| count | none, or k, M, G for thousands and so on; whole numbers only | "3", "1_000", "1.5k" |
| ratio | %, or none for a fraction | "0.1 %", "0.001" |
| rate | /s, /min … after an optional k, M, G and an optional word for what is counted | "200/s", "12k/min", "5 req/s" |

A number without a suffix, as text or not, is in the base unit: seconds, bytes, counts, a fraction, per second.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Context, Decimal
from enum import StrEnum

from pytest_perfguard.errors import QuantityError


class Unit(StrEnum):
    """The base unit in which a quantity of one dimension is held."""

    SECONDS = "s"
    BYTES = "B"
    COUNT = "1"
    RATIO = "ratio"
    RATE = "1/s"


def parse(value: str | int | float | timedelta | Decimal, unit: Unit, *, where: str = "") -> float:
    """Return `value` in the base unit `unit`.

    Raises `QuantityError`, which names `where` the value came from, for anything that is not a finite number of zero or
    more with a suffix of that dimension; a `timedelta` is a time only.
    """
    number, factor = _read(value, unit, where) if isinstance(value, str) else (_plain(value, unit, where), Decimal(1))
    if number.is_nan() if isinstance(number, Decimal) else number != number:  # noqa: PLR0124 - isnan overflows
        raise _refusal(value, unit, where, "it is not a number")
    if number < 0:
        raise _refusal(value, unit, where, "it is negative")
    if number == 0:
        return 0.0
    if math.isinf(_as_float(number)):
        raise _refusal(value, unit, where, "it is infinite or too large")
    exact = _ARITHMETIC.multiply(Decimal.from_float(number) if isinstance(number, float) else Decimal(number), factor)
    result = float(exact)
    if math.isinf(result):
        raise _refusal(value, unit, where, "it is infinite or too large")
    if unit is Unit.COUNT and exact != exact.to_integral_value(context=_ARITHMETIC):
        raise _refusal(value, unit, where, "a count is a whole number")
    return result


def render(value: float, unit: Unit) -> str:
    """Return `value`, which is in the base unit, as short text that `parse` reads back within rounding.

    Three significant digits, and as many as stand before the decimal point; whole counts in full. Changes may be
    negative, with a minus sign (U+2212) that `parse` refuses. Nothing is raised, for values that are not finite either.
    """
    magnitude = abs(float(value))
    sign = "−" if value < 0 else ""
    if not math.isfinite(value):
        return f"{sign}∞" if math.isinf(value) else "not a number"
    if unit is Unit.COUNT:
        whole = magnitude.is_integer() and magnitude < _EXPONENT_FROM
        return sign + (str(int(magnitude)) if whole else _digits(magnitude))
    if unit is Unit.RATIO:
        if magnitude >= _EXPONENT_FROM:
            return sign + _digits(magnitude)
        return f"{sign}{_digits(magnitude * 100)} %"
    if magnitude == 0:
        return {Unit.SECONDS: "0 s", Unit.BYTES: "0 B"}.get(unit, "0/s")
    shown, suffix = _scaled(magnitude, _LADDERS[unit])
    return f"{sign}{shown}{suffix}"


def render_change(fraction: float) -> str:
    """Return a relative change as text: "+12 %", "−3.4 %", and from a doubling on the factor, "×2.4".

    Two significant digits, and as many as stand before the decimal point; less than 0.005 % is "±0 %".
    """
    if not math.isfinite(fraction):
        return "not a number" if math.isnan(fraction) else ("×∞" if fraction > 0 else "−∞ %")
    if abs(fraction) < 0.00005:
        return "±0 %"
    if fraction >= 0.995:  # would be shown as +100 %
        return f"×{_digits(1 + fraction, significant=2)}"
    return f"{'+' if fraction > 0 else '−'}{_digits(abs(fraction) * 100, significant=2)} %"


_ARITHMETIC = Context(prec=60, Emax=9999, Emin=-9999, traps=[])
"""Our own, so that a decimal context of the code under test changes nothing here."""
_LONGEST = 100
_EXPONENT_FROM = 1e15

_TIMES = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
}
_SIZES = {
    "B": Decimal(1),
    "kB": Decimal(10**3),
    "KB": Decimal(10**3),
    "MB": Decimal(10**6),
    "GB": Decimal(10**9),
    "TB": Decimal(10**12),
    "KiB": Decimal(2**10),
    "MiB": Decimal(2**20),
    "GiB": Decimal(2**30),
    "TiB": Decimal(2**40),
}
_MULTIPLES = {"k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
_PERCENT = {"%": Decimal("0.01")}
_SUFFIXES = {Unit.SECONDS: _TIMES, Unit.BYTES: _SIZES, Unit.COUNT: _MULTIPLES, Unit.RATIO: _PERCENT}
_RATE = re.compile(r"(?P<multiple>[kMG]?)\s*(?P<counted>req|requests?|ops?|calls?|quer(?:y|ies))?\s*/\s*(?P<per>\S+)")
_NUMBER = re.compile(
    r"(?P<sign>[-−+]?)\s*"
    r"(?P<number>(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?)\s*"
    r"(?P<suffix>.*)",
    re.DOTALL,
)

_DIMENSION = {
    Unit.SECONDS: "a time",
    Unit.BYTES: "a size",
    Unit.COUNT: "a count",
    Unit.RATIO: "a ratio",
    Unit.RATE: "a rate",
}
_KNOWN = {
    Unit.SECONDS: "'20 ms' (known: ns, us, ms, s, min, h)",
    Unit.BYTES: "'5 MiB' (known: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)",
    Unit.COUNT: "'3' (known: no suffix, k, M, G)",
    Unit.RATIO: "'0.1 %' or '0.001'",
    Unit.RATE: "'200/s' (known: /ms, /s, /min, /h, with k, M or G before)",
}
_MEANT = {
    Unit.SECONDS: {
        **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
        **dict.fromkeys(("msec", "msecs", "milli", "millis", "millisecond", "milliseconds"), "ms"),
        **dict.fromkeys(("usec", "usecs", "mus", "micro", "micros", "microsecond", "microseconds"), "us"),
        **dict.fromkeys(("nsec", "nano", "nanos", "nanosecond", "nanoseconds"), "ns"),
        **dict.fromkeys(("m", "mins", "minute", "minutes"), "min"),
        **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    },
    Unit.BYTES: {
        **dict.fromkeys(("byte", "bytes"), "B"),
        **dict.fromkeys(("k", "kilobyte", "kilobytes"), "kB"),
        **dict.fromkeys(("m", "mo", "megabyte", "megabytes"), "MB"),
        **dict.fromkeys(("g", "gigabyte", "gigabytes"), "GB"),
        **{f"{prefix}i": f"{prefix.upper()}iB" for prefix in "kmgt"},
    },
    Unit.RATIO: dict.fromkeys(("percent", "pct", "percentage"), "%"),
    Unit.RATE: dict.fromkeys(("rps", "qps", "ops", "hz", "per second", "per s", "req per second", "s"), "/s"),
}


def _plain(value: object, unit: Unit, where: str) -> int | float | Decimal:
    """Return the number that `value`, which is not text, is in the base unit."""
    if isinstance(value, timedelta):
        if unit is Unit.SECONDS:
            return value.total_seconds()
        raise _refusal(value, unit, where, "a timedelta is a time")
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return value
    raise _refusal(value, unit, where, f"{type(value).__name__} is not a number")


def _read(text: str, unit: Unit, where: str) -> tuple[Decimal, Decimal]:
    """Return the number in `text` and the factor of its suffix."""
    stripped = text.strip()
    if not stripped:
        raise _refusal(text, unit, where, "it is empty")
    if len(stripped) > _LONGEST:
        raise _refusal(text, unit, where, f"it has more than {_LONGEST} characters")
    found = _NUMBER.fullmatch(stripped)
    if found is None:
        raise _refusal(text, unit, where, "it does not begin with a number")
    suffix = found["suffix"]
    if re.match(r"[,'][0-9]", suffix):
        raise _refusal(text, unit, where, "decimals follow a point, thousands may be set apart by '_'")
    try:
        as_float = float(found["number"])
    except ValueError:
        raise _refusal(text, unit, where, f"{found['number']!r} is not a number") from None
    if found["sign"] in ("-", "−") and as_float:
        raise _refusal(text, unit, where, "it is negative")
    if not as_float and re.match(r"[0_.]*[1-9]", found["number"]):
        raise _refusal(text, unit, where, "it is too small")
    if math.isinf(as_float):
        raise _refusal(text, unit, where, "it is infinite or too large")
    return Decimal(found["number"]), _factor(text, suffix, unit, where)


def _factor(text: str, suffix: str, unit: Unit, where: str) -> Decimal:
    if not suffix:
        return Decimal(1)
    rate = _RATE.fullmatch(suffix)
    if unit is Unit.RATE:
        if rate is not None and rate["per"] in _TIMES:
            return _ARITHMETIC.divide(_MULTIPLES.get(rate["multiple"], Decimal(1)), _TIMES[rate["per"]])
    elif suffix in _SUFFIXES[unit]:
        return _SUFFIXES[unit][suffix]
    for other, suffixes in _SUFFIXES.items():
        if other is not unit and other is not Unit.COUNT and suffix in suffixes:
            raise _refusal(text, unit, where, f"{suffix!r} measures {_DIMENSION[other]}")
    if rate is not None and unit is not Unit.RATE:
        raise _refusal(text, unit, where, f"{suffix!r} measures {_DIMENSION[Unit.RATE]}")
    raise _refusal(text, unit, where, f"unknown unit {suffix!r}", _meant(suffix, unit))


def _meant(suffix: str, unit: Unit) -> str:
    """Return the suffix that was probably meant, or nothing."""
    folded = suffix.casefold()
    meant = _MEANT.get(unit, {}).get(folded, "")
    if meant or unit is Unit.RATE:
        return meant
    by_folded = {known.casefold(): known for known in _SUFFIXES[unit]}
    if folded in by_folded:
        return by_folded[folded]
    import difflib

    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.65)
    return by_folded[close[0]] if close else ""


def _refusal(value: object, unit: Unit, where: str, why: str, meant: str = "") -> QuantityError:
    place = f" ({where})" if where else ""
    suggestion = f"; did you mean {meant!r}?" if meant else ""
    return QuantityError(
        f"cannot read {_shown(value)} as {_DIMENSION[unit]}{place}: {why}; write for example {_KNOWN[unit]}{suggestion}"
    )


def _shown(value: object) -> str:
    if not isinstance(value, (str, int, float, Decimal, timedelta)):
        return f"a {type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of more than 4300 digits
        return "a huge integer"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _as_float(number: int | float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


_LADDERS: dict[Unit, tuple[tuple[str, float, float], ...]] = {
    Unit.SECONDS: (
        (" ns", 1e-9, 1000),
        (" µs", 1e-6, 1000),
        (" ms", 1e-3, 1000),
        (" s", 1, 120),
        (" min", 60, 120),
        (" h", 3600, math.inf),
    ),
    Unit.BYTES: (
        (" B", 1, 1024),
        (" KiB", 2**10, 1024),
        (" MiB", 2**20, 1024),
        (" GiB", 2**30, 1024),
        (" TiB", 2**40, math.inf),
    ),
    Unit.RATE: (("/s", 1, 10_000), ("k/s", 1e3, 1000), ("M/s", 1e6, 1000), ("G/s", 1e9, math.inf)),
}
"""Suffix, its size in base units, and how many of it are written with the next one instead."""


def _scaled(magnitude: float, ladder: tuple[tuple[str, float, float], ...]) -> tuple[str, str]:
    least = 0.0
    for suffix, size, next_from in ladder:
        shown = _digits(max(magnitude / size, least))
        if float(shown) < next_from:
            return shown, suffix
        least = 1.0  # 999.96 of the last unit was too much for it: now it is at least one of this
    raise AssertionError("a ladder's last step has no end")


def _digits(number: float, significant: int = 3) -> str:
    if number >= _EXPONENT_FROM or number < 1e-3:
        return f"{number:.{significant}g}"
    before = math.floor(math.log10(number)) + 1
    text = f"{number:.{max(0, significant - before)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
