"""Strict reading of policy configs: unknown keys are refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_keys(config: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Raise ValueError naming the keys of `config` that are not `known`."""
    unknown = sorted(set(config) - set(known))
    if unknown:
        names = ", ".join(f"'{key}'" for key in unknown)
        raise ValueError(f"config has unknown keys {names}; known are {', '.join(known)}")


def read_positive(config: Mapping[str, object], key: str) -> int:
    """An int above zero. Raises ValueError otherwise, also when it is missing."""
    value = config.get(key)
    if not is_positive(value):
        raise ValueError(f"config.{key} must be an integer above 0")
    assert isinstance(value, int)
    return value


def is_positive(value: object) -> bool:
    """Whether `value` is an int (no bool) above zero that fits 32 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def read_bool(config: Mapping[str, object], key: str, *, default: bool) -> bool:
    """A bool. Raises ValueError otherwise."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"config.{key} must be true or false")
    return value


def read_strings(config: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Strings without blanks, `()` when missing. Raises ValueError otherwise."""
    value = config.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"config.{key} must be a list of strings")
    return tuple(value)


def read_tokens(config: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Strings that are HTTP tokens (header names, methods). Raises ValueError otherwise."""
    values = read_strings(config, key)
    for value in values:
        if not is_token(value):
            raise ValueError(f"config.{key} holds '{value}', which is not an HTTP token")
    return values


def is_token(value: str) -> bool:
    """Whether `value` can be a header name or method."""
    return _TOKEN.fullmatch(value) is not None
