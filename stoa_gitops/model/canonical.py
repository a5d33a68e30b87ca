"""Canonical forms: JSON bytes, durations and sizes, so that a change of spelling is no change.

Two specs are equal exactly when their canonical bytes are. Durations and sizes are written in the
largest unit that divides them: `60s` becomes `1m`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]

# A mapping with this one field refers to a secret: {"$secret": "env:NAME"}.
SECRET_FIELD: Final = "$secret"

# Cheap test on canonical bytes, which spares parsing: without it a spec has no secret reference.
SECRET_MARK: Final = b'"$secret"'

Path: TypeAlias = tuple[str | int, ...]

# RFC 8259 §6 has no NaN and no infinity: they raise instead of becoming text that no parser takes.
_encoder = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
)


def canonical_bytes(value: Json) -> bytes:
    """Encode as JSON in UTF-8 with sorted keys and no spaces; raises ValueError on NaN."""
    # YAML and JSON can escape lone surrogates, which plain UTF-8 does not encode.
    return _encoder.encode(value).encode("utf-8", "surrogatepass")


class Spec:
    """A frozen specification, held as canonical JSON bytes and compared by them.

    A tree of dicts takes ten times the memory of its bytes, so it is parsed when it is needed.
    """

    __slots__ = ("_digest", "_secrets", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw: Final = raw
        self._digest: str | None = None
        self._secrets: tuple[tuple[Path, str], ...] | None = None

    @classmethod
    def of(cls, value: JsonObject) -> Spec:
        """Freeze a tree."""
        return cls(canonical_bytes(value))

    @property
    def value(self) -> JsonObject:
        """The parsed tree, a new one at each call; changing it does not change the spec."""
        return cast(JsonObject, json.loads(self.raw))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, in hex."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.raw).hexdigest()
        return self._digest

    @property
    def secrets(self) -> tuple[tuple[Path, str], ...]:
        """The path of each secret reference with the reference as text; searched once."""
        if self._secrets is None:
            has_any = SECRET_MARK in self.raw
            self._secrets = tuple(secret_paths(self.value)) if has_any else ()
        return self._secrets

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"Spec({self.raw[:80]!r}{'…' if len(self.raw) > 80 else ''})"


# Most leaves are of these types; testing for them first spares a call for each.
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def secret_paths(value: Json, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the path of each secret reference in a tree, with the reference as text."""
    if isinstance(value, Mapping):
        reference = value.get(SECRET_FIELD)
        if isinstance(reference, str) and len(value) == 1:
            yield path, reference
            return
        for name, item in value.items():
            if type(item) not in _SCALARS:
                yield from secret_paths(item, (*path, name))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if type(item) not in _SCALARS:
                yield from secret_paths(item, (*path, index))


def parse_path(dotted: str) -> Path:
    """Parse `routes.0.path`; decimal digits are an index, or a name where there is a mapping."""
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))


def value_at(tree: Json, path: Path) -> Json:
    """Return the value at a path of a tree of dicts and lists, None where there is none."""
    for part in path:
        if isinstance(tree, Mapping):
            tree = tree.get(str(part))
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return None
    return tree


def without(tree: JsonObject, dotted_paths: Iterable[str]) -> JsonObject:
    """Return a copy of a tree without the fields at these paths; items of lists become null."""
    copy = Spec.of(tree).value
    for dotted in dotted_paths:
        *parents, last = parse_path(dotted)
        holder = value_at(copy, tuple(parents))
        if isinstance(holder, dict):
            holder.pop(str(last), None)
        elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
            holder[last] = None  # the items behind it keep their index
    return copy


# The catalog's schemas take 12 digits, of days at the most: 20 digits of milliseconds. Bounded for
# arithmetic elsewhere; sizes have 15 digits, of GiB at the most.
_DURATION: Final = re.compile(r"([0-9]{1,20})(ms|s|m|h|d)")
_DURATION_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_SIZE: Final = re.compile(r"([0-9]{1,25})(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_SIZE_UNITS: Final = {
    "GiB": 1 << 30, "GB": 10**9, "MiB": 1 << 20, "MB": 10**6, "KiB": 1 << 10, "KB": 10**3, "B": 1,
}  # fmt: skip


def duration_ms(text: str) -> int:
    """Return the milliseconds of `500ms`, `30s`, `5m`, `24h` or `7d`; ValueError otherwise."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 500ms, 30s, 5m, 24h or 7d")
    return int(match[1]) * _DURATION_UNITS[match[2]]


@lru_cache(maxsize=1_000)
def canonical_duration(text: str) -> str:
    """Return a duration in the largest unit that divides it, so that `60s` equals `1m`.

    Days are not used in the canonical form: people write `24h`.
    """
    return canonical_milliseconds(duration_ms(text))


def canonical_milliseconds(milliseconds: int) -> str:
    """Return a canonical duration; raises ValueError for less than nothing."""
    if milliseconds < 0:
        raise ValueError(f"{milliseconds} ms is not a duration")
    if milliseconds == 0:
        return "0s"
    for unit, factor in _DURATION_UNITS.items():
        if unit != "d" and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    raise AssertionError("milliseconds divide every duration")


def size_bytes(text: str | int) -> int:
    """Return the bytes of `512KiB`, `10MB`, `100B` or a bare number; ValueError otherwise."""
    match = _SIZE.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a size: write 512KiB, 10MB or a number of bytes")
    unit = "KB" if match[2] == "kB" else match[2] or "B"  # SI writes kB, many people KB
    return int(match[1]) * _SIZE_UNITS[unit]


def canonical_size(text: str | int) -> str:
    """Return a size in the largest unit that divides it."""
    size = size_bytes(text)
    for unit, factor in _SIZE_UNITS.items():
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return "0B"
