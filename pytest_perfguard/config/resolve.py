"""Settings of a run: from the command line, the environment and the ini file to typed values that know their origin."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_perfguard import quantity
from pytest_perfguard.config import SETTINGS, Kind, Setting
from pytest_perfguard.config.names import unknown
from pytest_perfguard.errors import ConfigError, QuantityError
from pytest_perfguard.model import Outcome
from pytest_perfguard.model.queries import TableSizes
from pytest_perfguard.quantity import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of a run, read and checked: times in seconds, ratios as fractions."""

    save: bool
    compare: str | None
    """A revision, a file, or "auto" for the nearest stored baseline; None where nothing is to be compared."""
    against: str | None
    """What is measured beside the working tree, as it was written; None where nothing is."""
    against_tests: str
    """Whose tests both sides run: "head" or "base"."""
    against_install: bool
    against_packages: tuple[str, ...]
    """Names of the project's packages, or "name=folder"."""
    against_min_effect: float
    against_timeout: float
    against_time: float
    max_time: float | None
    """Seconds for a whole live comparison; None for `against_time` times its measurements."""
    report: tuple[tuple[str, str], ...]
    """Format and path of each report; the path is empty where the format's usual one is meant."""
    disable: bool
    only: bool
    skip: bool
    fail_on: tuple[Outcome, ...]
    store: str
    machine: str
    """Empty where the machine class is to be named by its hardware."""
    target_time: float
    measurement_time: float
    min_effect: float
    confidence: float
    gate_contended: bool
    gate_weak: bool
    budgets: tuple[str, ...]
    """Lines as they were written, for `config.marker.parse_default_budgets`."""
    queries: bool
    big_tables: tuple[str, ...]
    """Names with rows, as they were written: "orders=1000000"."""
    small_tables: tuple[str, ...]
    tolerance: tuple[str, ...]
    metrics: tuple[str, ...]
    """Names as they were written: which metrics exist is known only when all plugins are loaded."""
    origins: tuple[tuple[str, str], ...]

    @property
    def tables(self) -> TableSizes:
        """Return what is declared of tables; raises `ConfigError` where the rows of one are no number."""
        return TableSizes(
            big=tuple(_rows(item, self.origin("big_tables")) for item in self.big_tables), small=self.small_tables
        )

    def origin(self, name: str) -> str:
        """Return where the setting `name` got its value: an option, a variable, a key of an ini file, or "default"."""
        return dict(self.origins)[name]


def resolve(
    *, options: Mapping[str, Any], environment: Mapping[str, str], ini: Mapping[str, Any], ini_path: str
) -> Settings:
    """Return the settings of a run; the command line wins over the environment, that over the ini file.

    `options` is keyed by `Setting.dest`, `environment` by variable and `ini` by key; other keys are ignored. None means
    not set, and so do an empty variable and an empty ini value. Raises `ConfigError` for what cannot be used.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        raw, origin = _nearest(setting, options, environment, ini, ini_path)
        values[setting.name] = _READERS[setting.kind](setting, raw, origin)
        origins[setting.name] = origin
    for name in ("compare", "save"):
        if values["against"] is not None and values[name]:
            raise ConfigError(
                f"against ({origins['against']}) and {name} ({origins[name]}) are both set, but times that are taken "
                "in turns with another program are not those of a run of its own; make two runs"
            )
    if values["only"] and values["skip"]:
        raise ConfigError(
            f"only ({origins['only']}) and skip ({origins['skip']}) are both set, which leaves no test to run; "
            "drop one of them"
        )
    return Settings(**values, origins=tuple(origins.items()))


def _nearest(
    setting: Setting,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    ini: Mapping[str, Any],
    ini_path: str,
) -> tuple[Any, str]:
    """Return the value of `setting` as it was written nearest, and where that is."""
    if setting.flag is not None and (raw := options.get(setting.dest)) is not None:
        return raw, setting.flag
    if setting.environment is not None and environment.get(setting.environment, "").strip():
        return environment[setting.environment], setting.environment
    if setting.ini is not None and (raw := ini.get(setting.ini)) not in (None, "", [], ()):
        return raw, f"{setting.ini} in {ini_path}"
    return setting.default, "default"


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _flag(setting: Setting, raw: Any, origin: str) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().casefold() if isinstance(raw, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _refusal(setting, raw, origin, "it is neither true nor false", "write true or false, 1 or 0")


def _text(setting: Setting, raw: Any, origin: str) -> str:
    if not isinstance(raw, str):
        raise _refusal(setting, raw, origin, "it is not text", f"write {setting.metavar}")
    return raw.strip()


def _path(setting: Setting, raw: Any, origin: str) -> str:
    text = _text(setting, raw, origin)
    if not text or "\0" in text:
        raise _refusal(setting, raw, origin, "it is not a path", f"write for example {setting.default!r}")
    return text


def _revision(setting: Setting, raw: Any, origin: str) -> str | None:
    """Return a revision; a variable or an ini key may also say yes or no, as for a flag."""
    if raw is None:
        return None
    text = _text(setting, raw, origin)
    if origin != setting.flag:
        if text.casefold() in _FALSE:
            return None
        if text.casefold() in _TRUE:
            return setting.const
    if not text or "\0" in text:
        raise _refusal(setting, raw, origin, "it names nothing", "write a revision such as origin/main, or a file")
    return text


def _choice(setting: Setting, raw: Any, origin: str) -> str:
    word = _text(setting, raw, origin).casefold()
    if word not in setting.choices:
        raise unknown(setting.name, word, setting.choices, origin)
    return word


def _number(setting: Setting, raw: Any, origin: str) -> float | None:
    if raw is None:
        return None
    unit = Unit.SECONDS if setting.kind == "time" else Unit.RATIO
    try:
        number = quantity.parse(raw, unit, where=origin)
    except QuantityError as error:
        raise ConfigError(str(error)) from None
    check_range(setting, number, raw, origin)
    return number


def check_range(setting: Setting, number: float, raw: object, origin: str) -> None:
    """Raise `ConfigError` where `number`, written as `raw` at `origin`, is outside of what makes sense."""
    low = 0.0 if setting.low is None else setting.low
    high = math.inf if setting.high is None else setting.high
    if low <= number <= high:
        return
    bounds = (
        f"{_amount(setting, low)} or more"
        if high == math.inf
        else f"{_amount(setting, low)} to {_amount(setting, high)}"
    )
    why = f"{_amount(setting, number)} is outside of what makes sense, {bounds}"
    raise _refusal(setting, raw, origin, why, f"write for example {setting.default or '10 min'!r}")


def _amount(setting: Setting, number: float) -> str:
    # more digits than `quantity.render` has, or the highest confidence would be shown as 100 %
    return quantity.render(number, Unit.SECONDS) if setting.kind == "time" else f"{number * 100:.7g} %"


def _items(setting: Setting, raw: Any, origin: str) -> list[str]:
    """Return the parts of a text, or of a list of texts, separated by commas."""
    lines = [raw] if isinstance(raw, str) else raw
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise _refusal(setting, raw, origin, "it is not text", f"write {setting.metavar}")
    return [item.strip() for line in lines for item in line.split(",") if item.strip()]


def _outcomes(setting: Setting, raw: Any, origin: str) -> tuple[Outcome, ...]:
    words = [re.sub(r"[-_\s]+", " ", item).casefold() for item in _items(setting, raw, origin)]
    if not words:
        raise _refusal(setting, raw, origin, "it names no outcome", "write none where nothing is to fail")
    if words == ["none"]:
        return ()
    known = {outcome.value: outcome for outcome in Outcome if outcome not in (Outcome.PASSED, Outcome.UNCHANGED)}
    for word in words:
        if word in (Outcome.PASSED, Outcome.UNCHANGED):
            raise _refusal(setting, raw, origin, f"{word!r} is success", f"choose from {', '.join(known)}, or none")
        if word not in known:
            raise unknown("outcome", word, (*known, "none"), origin)
    return tuple(dict.fromkeys(known[word] for word in words))


def _names(setting: Setting, raw: Any, origin: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_items(setting, raw, origin)))


def _reports(setting: Setting, raw: Any, origin: str) -> tuple[tuple[str, str], ...]:
    # On the command line each option is one report, and its path may hold a comma.
    items = raw if origin == setting.flag and isinstance(raw, list) else _items(setting, raw, origin)
    reports = []
    for item in items:
        name, colon, path = (part.strip() for part in item.partition(":"))
        if not re.fullmatch(r"[A-Za-z][\w-]*", name) or (colon and not path):
            raise _refusal(setting, item, origin, "it is not FORMAT or FORMAT:PATH", "write for example json:perf.json")
        reports.append((name.casefold(), path))
    return tuple(dict.fromkeys(reports))


def _lines(setting: Setting, raw: Any, origin: str) -> tuple[str, ...]:
    lines = raw.splitlines() if isinstance(raw, str) else raw
    if not isinstance(lines, (list, tuple)):
        raise _refusal(
            setting, raw, origin, "it is not a list of lines", f"write one budget a line under {setting.ini}"
        )
    stripped = [_text(setting, line, origin) for line in lines]
    return tuple(line for line in stripped if line)


def _rows(item: str, origin: str) -> tuple[str, int]:
    table, _, rows = (part.strip() for part in item.partition("="))
    digits = rows.replace("_", "")
    if not table or not digits.isdecimal() or int(digits) < 1:
        raise ConfigError(f"cannot use {item!r:.80} for big_tables ({origin}); write for example orders=1_000_000")
    return table, int(digits)


_READERS: dict[Kind, Callable[[Setting, Any, str], Any]] = {
    "flag": _flag,
    "text": _text,
    "path": _path,
    "revision": _revision,
    "choice": _choice,
    "time": _number,
    "ratio": _number,
    "outcomes": _outcomes,
    "names": _names,
    "reports": _reports,
    "lines": _lines,
}


def _refusal(setting: Setting, raw: object, origin: str, why: str, remedy: str) -> ConfigError:
    return ConfigError(f"cannot use {raw!r:.80} for {setting.name} ({origin}): {why}; {remedy}")
