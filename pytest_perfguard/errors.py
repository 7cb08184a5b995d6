"""Everything that perfguard raises or warns of; each message says what, where it came from and what to do."""

from __future__ import annotations


class PerfguardError(Exception):
    """Base of every error that perfguard raises on purpose."""


class QuantityError(PerfguardError, ValueError):
    """A value with a unit could not be read: wrong number, wrong unit, or a unit of another dimension."""


class ConfigError(PerfguardError):
    """A marker, option, ini key or environment variable holds something that cannot be used."""


class MeasurementError(PerfguardError):
    """A measurement was asked for in a way that cannot be carried out."""


class ProbeError(MeasurementError):
    """An instrument does not work here, or cannot see what it was asked to count."""


class StoreError(PerfguardError):
    """Baselines could not be read or written."""


class StoreFormatError(StoreError):
    """A stored file is damaged, or was written by a newer version of perfguard."""


class LineageError(PerfguardError):
    """The history of the project could not be read, or a revision does not exist in it."""


class PerfguardWarning(UserWarning):
    """Something that limits what can be concluded from a measurement; the text names the remedy."""
