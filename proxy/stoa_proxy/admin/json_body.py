"""Typed reading of JSON bodies, with the messages and statuses of STOA gateway 0.9.25.

Not JSON is 400, a missing field or a wrong type 422, both as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from math import isinf
from typing import NoReturn

from stoa_proxy.errors import BodyRefused

# That of serde_json, which STOA's gateway parses with.
_MAX_DEPTH = 128
_DESERIALIZE = "Failed to deserialize the JSON body into the target type: "


def read_json(content_type: str, raw: bytes) -> Body:
    """Parse a request body that must be an object. Raises BodyRefused (400, 415, 422)."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.endswith(("/json", "+json"))
    if not is_json:
        raise BodyRefused(415, "Expected request with `Content-Type: application/json`")
    try:
        text = raw.decode()
        if text.startswith("\ufeff"):
            json.loads(text)  # raises
        try:
            value = _decode(text)
            is_readable = b"\\u" not in raw  # texts are UTF-8: a lone surrogate is an escape
        except _OutOfRange:
            value, is_readable = _decode_any(text), False
        if not is_readable:
            # What could not be read back: lone surrogates, and numbers beyond all floats (`1e400`).
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        _bound_depth(raw, value)
    except RecursionError:
        raise BodyRefused(400, "Failed to parse the request body as JSON: too deep") from None
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno} column {error.colno}"
        raise BodyRefused(400, f"Failed to parse the request body as JSON: {where}") from None
    except ValueError as error:
        reason = "invalid unicode" if isinstance(error, UnicodeError) else str(error)
        raise BodyRefused(400, f"Failed to parse the request body as JSON: {reason}") from None
    if not isinstance(value, dict):
        raise BodyRefused(422, f"{_DESERIALIZE}invalid type: {_describe(value)}, expected a map")
    return Body(value)


class Body:
    """A JSON object with typed reads. `path` is written before field names in messages.

    Every read raises BodyRefused (422) for a wrong type, and for a missing field that has no
    default; null counts as missing where there is a default.
    """

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self.values = values
        self._path = path

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        value = self._get(key, default)
        return value if isinstance(value, str) else self._wrong(key, value, "a string")

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None when missing or null."""
        return self.text(key) if self.values.get(key) is not None else None

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return a boolean."""
        value = self._get(key, default)
        return value if isinstance(value, bool) else self._wrong(key, value, "a boolean")

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a 32 bit integer."""
        value = self._get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
            return value
        return self._wrong(key, value, "i32")

    def variant(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """Return one of the `allowed` strings."""
        value = self.text(key, default)
        if value not in allowed:
            names = ", ".join(f"`{name}`" for name in allowed)
            self._fail(f"{self._path_of(key)}: unknown variant `{value}`, expected one of {names}")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        """Return a list of strings."""
        texts: list[str] = []
        for index, value in enumerate(self.items(key, default)):
            if not isinstance(value, str):
                self._wrong(f"{key}[{index}]", value, "a string")
            texts.append(value)
        return texts

    def items(self, key: str, default: Iterable[object] | None = None) -> list[object]:
        """Return a list of anything."""
        value = self._get(key, None if default is None else list(default))
        return value if isinstance(value, list) else self._wrong(key, value, "a sequence")

    def mapping(self, key: str, default: dict[str, object] | None = None) -> dict[str, object]:
        """Return an object."""
        value = self._get(key, default)
        return value if isinstance(value, dict) else self._wrong(key, value, "a map")

    def body(self, key: str) -> Body:
        """Return an object with typed reads of its own."""
        return Body(self.mapping(key), f"{self._path_of(key)}.")

    def bodies(self, key: str) -> list[Body]:
        """Return a list of objects with typed reads; empty when missing."""
        bodies: list[Body] = []
        for index, value in enumerate(self.items(key, [])):
            if not isinstance(value, dict):
                self._wrong(f"{key}[{index}]", value, "a map")
            bodies.append(Body(value, f"{self._path_of(key)}[{index}]."))
        return bodies

    def any_value(self, key: str) -> object:
        """Return any value, null too; the key must be there."""
        if key not in self.values:
            self._get(key, None)
        return self.values[key]

    def check_fields(self, known: tuple[str, ...]) -> list[str]:
        """Return messages about fields that are not `known`."""
        names = sorted(set(self.values) - set(known))
        return [f"{self._path_of(name)} is not a known field" for name in names]

    def path_of(self, key: str) -> str:
        """Return how a message names a field."""
        return self._path_of(key)

    def _get(self, key: str, default: object) -> object:
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if key not in self.values:
            where = f"{self._path[:-1]}: " if self._path else ""
            self._fail(f"{where}missing field `{key}`")
        return value

    def _path_of(self, key: str) -> str:
        return f"{self._path}{key}"

    def _wrong(self, key: str, value: object, expected: str) -> NoReturn:
        self._fail(f"{self._path_of(key)}: invalid type: {_describe(value)}, expected {expected}")

    def _fail(self, reason: str) -> NoReturn:
        raise BodyRefused(422, f"{_DESERIALIZE}{reason}")


def _describe(value: object) -> str:
    descriptions: tuple[tuple[type, Callable[[object], str]], ...] = (
        # Before int: bool is a subclass of it.
        (bool, lambda value: f"boolean `{str(value).lower()}`"),
        (int, lambda value: f"integer `{value}`"),
        (float, lambda value: f"floating point `{value}`"),
        (str, lambda _: "string"),  # never repeated: it may be a secret in the wrong place
        (list, lambda _: "sequence"),
        (dict, lambda _: "map"),
    )
    return next(
        (describe(value) for kind, describe in descriptions if isinstance(value, kind)), "null"
    )


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _bound_depth(raw: bytes, value: object) -> None:
    """Raise RecursionError for what is nested deeper than readers of the lists may accept."""
    if raw.count(b"[") + raw.count(b"{") <= _MAX_DEPTH:
        return
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise RecursionError


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    # Two readers could take different ones of two fields with one name.
    if len(unique) != len(pairs):
        raise BodyRefused(422, f"{_DESERIALIZE}duplicate field")
    return unique


class _OutOfRange(ValueError):
    """A number is beyond all floats; what else is wrong with its document is told first."""


def _read_float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise _OutOfRange
    return value


# Made once, for `json.loads` makes one for each text.
_decode_any = json.JSONDecoder(
    parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs
).decode
_decode = json.JSONDecoder(
    parse_float=_read_float, parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs
).decode
