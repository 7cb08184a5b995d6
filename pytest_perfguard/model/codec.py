"""Frozen values to plain JSON data and back, by their type annotations."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Return `value` as dicts, lists, strings and numbers; fields that hold their default are kept."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], plain: Any) -> T:
    """Return the value of type `kind` that `to_plain` turned into `plain`.

    Unknown fields are ignored and missing ones take their default, so that records of neighbouring versions can be
    read. Raises `TypeError`, `ValueError` or `KeyError` where `plain` is not of that shape.
    """
    return typing.cast("T", _decode(kind, plain))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _decode(kind: Any, plain: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is None:
        return _decode_plain_type(kind, plain)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if plain is None:
            return None
        return _decode(next(argument for argument in arguments if argument is not type(None)), plain)
    if origin is dict:
        return {key: _decode(arguments[1], item) for key, item in plain.items()}
    if not isinstance(plain, (list, tuple)):
        raise TypeError(f"expected a list, found {plain!r:.80}")
    if origin is tuple and arguments[1:] != (Ellipsis,):
        return tuple(_decode(argument, item) for argument, item in zip(arguments, plain, strict=True))
    return tuple(_decode(arguments[0], item) for item in plain)


def _decode_plain_type(kind: Any, plain: Any) -> Any:
    if not isinstance(kind, type):
        return plain
    if is_dataclass(kind):
        if not isinstance(plain, dict):
            raise TypeError(f"expected the fields of {kind.__name__}, found {plain!r:.80}")
        return kind(**{name: _decode(hint, plain[name]) for name, hint in _hints(kind).items() if name in plain})
    if issubclass(kind, Enum):
        return kind(plain)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, kind):
        raise TypeError(f"expected {kind.__name__}, found {plain!r:.80}")
    return plain
