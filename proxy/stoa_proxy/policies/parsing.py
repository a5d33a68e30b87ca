"""Strict reading of policy configs: unknown keys are refused, so that no setting is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stoa_proxy.foundation.units import parse_duration
from stoa_proxy.http.heads import HOP_BY_HOP, Header, is_identity

# RFC 9110, 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, 5.5, without bytes above ASCII, which receivers read differently.
_VALUE = re.compile(r"[\x20-\x7e](?:[\t\x20-\x7e]*[\x20-\x7e])?|")
_ZERO = re.compile(r"0(ms|s|m|h)")
# Of one policy and direction; common servers take 8 to 16 KiB of headers in all.
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 * 1024
# What frames a message, chooses its receiver, or belongs to a handshake.
_FIXED = HOP_BY_HOP | {"host", "content-length", "expect", "via", "x-stoa-fallback"}
_FIXED_PREFIX = "sec-websocket-"


def check_keys(config: Mapping[str, object], known: tuple[str, ...], where: str = "config") -> None:
    """Raise ValueError naming the keys of `config` (called `where`) that are not `known`."""
    unknown = sorted(set(config) - set(known))
    if unknown:
        names = ", ".join(f"'{key}'" for key in unknown)
        raise ValueError(f"{where} has unknown keys {names}; known are {', '.join(known)}")


def read_positive(config: Mapping[str, object], key: str) -> int:
    """Return an int above zero. Raises ValueError otherwise, also when it is missing."""
    value = config.get(key)
    if not is_positive(value):
        raise ValueError(f"config.{key} must be an integer above 0")
    assert isinstance(value, int)
    return value


def is_positive(value: object) -> bool:
    """Whether `value` is an int (no bool) above zero, at most what the catalog's schemas take."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**12


def read_seconds(
    config: Mapping[str, object], key: str, default: str | None = None, *, with_zero: bool = False
) -> float:
    """Return a duration in seconds. Raises ValueError, for zero unless `with_zero`."""
    value = config.get(key, default)
    if with_zero and isinstance(value, str) and _ZERO.fullmatch(value):
        return 0.0
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"config.{key}: {error}") from None


def read_bool(config: Mapping[str, object], key: str, *, default: bool) -> bool:
    """Return a bool. Raises ValueError otherwise."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"config.{key} must be true or false")
    return value


def read_strings(config: Mapping[str, object], key: str, where: str = "config.") -> tuple[str, ...]:
    """Return strings that are not empty, `()` when missing. Raises ValueError otherwise."""
    value = config.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ValueError(f"{where}{key} must be a list of strings that are not empty")
    return tuple(value)


def read_tokens(config: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Return strings that are HTTP tokens (header names, methods). Raises ValueError otherwise."""
    values = read_strings(config, key)
    for value in values:
        if not is_token(value):
            raise ValueError(f"config.{key} holds '{value}', which is not an HTTP token")
    return values


def is_token(value: str) -> bool:
    """Whether `value` can be a header name or method."""
    return _TOKEN.fullmatch(value) is not None


def read_header_name(name: str, where: str) -> str:
    """Return a header name that a policy may touch. Raises ValueError otherwise.

    Framing, hop-by-hop and handshake headers, Host and claims of identity are not a policy's.
    """
    key = name.lower()
    if not is_token(name) or len(name) > 100:
        raise ValueError(f"{where} holds '{name}', which is not a header name")
    if key.replace("_", "-") in _FIXED or key.startswith(_FIXED_PREFIX) or is_identity(key):
        raise ValueError(f"{where} holds '{name}', which a policy may not touch")
    return name


def read_header_map(
    config: Mapping[str, object], key: str, where: str = "config."
) -> tuple[Header, ...]:
    """Return headers for an object of names and values. Raises ValueError."""
    value = config.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{where}{key} must be an object of names and values")
    headers: list[Header] = []
    for name, text in value.items():
        read_header_name(name, f"{where}{key}")
        if not isinstance(text, str) or _VALUE.fullmatch(text) is None:
            raise ValueError(f"{where}{key}.{name} must be a string of printable ASCII")
        headers.append((name, text))
    return tuple(headers)


def check_header_bounds(written: tuple[Header, ...], removed: Sequence[str], where: str) -> None:
    """Raise ValueError for more headers, or longer ones, than a message should get by a policy."""
    if len(written) + len(removed) > MAX_HEADERS:
        raise ValueError(f"{where} must have {MAX_HEADERS} headers at most")
    if sum(len(name) + len(value) for name, value in written) > MAX_HEADER_BYTES:
        raise ValueError(f"{where} must have {MAX_HEADER_BYTES:,} bytes of headers at most")
