"""Values that a JSON Schema of the catalog lets through, the odd ones first (hypothesis)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

FOLDER: Final = Path(__file__).parents[1] / "schemas" / "v1alpha1"
_TEXTS: Final = ("a", "https://a.example", "stdout", "/tmp/a.log", "text/plain", "b c")
ODD_TEXTS: Final = (
    "", " ", "\0", "a\n", "\ud800", "é", "$(x)", ":a", "a:b", "a b ", "*", "x" * 300, "null",
    "https://a.example:8443", "https://é.example", "file:/tmp/a.log", "http://[::1]:1/x?y#z",
)  # fmt: skip
_USUAL: Final = {
    "method": ("GET", "HEAD", "POST", "QUERY", "get"),
    "header": (
        "X-A",
        "Accept",
        "accept-encoding",
        "X_Under",
        "Content-Length",
        "X.Y",
        "x" * 100,
        "Host",
        "Via",
        "x_user_id",
    ),
    "cidr": ("10.0.0.0/8", "10.0.0.1/8", "2001:DB8::/032", "::ffff:8.8.8.8", "1.2.3", "0.0.0.0/0"),
    "by": ("consumer", "ip", "tenant", "header:X-A", "header:X.Y"),
}
"""Values of shared definitions, so that most of a document is right and one thing is odd."""

_DURATIONS: Final = ("1m", "1s", "24h", "30s",
    "0s", "1ms", "999ms", "1s", "1m", "1h", "24h", "999999h", "65535s", "65536s",
    "999999999999ms", "999999999999d",
)  # fmt: skip
_SIZES: Final = ("1", "1B", "1KiB", "99999GB", "100000GB", "999999999999999GiB")


@cache
def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found


def values(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for what a schema takes; `root` is the file that it stands in."""
    if "$ref" in node:
        file, _, path = node["$ref"].partition("#")
        root = schema(file) if file else root
        name = path.rpartition("/")[2]
        usual = st.sampled_from(_USUAL[name]) if name in _USUAL else st.nothing()
        return st.one_of(usual, usual, values(root["$defs"][name], root))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds = node.get("type", "object")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return st.one_of([_OF[kind](node, root) for kind in kinds])


def _string(node: dict[str, Any], _: dict[str, Any]) -> st.SearchStrategy[Any]:
    match node.get("x-canonical"):
        case "duration":
            usual = st.from_regex(node["pattern"], fullmatch=True)
            return st.one_of(st.sampled_from(_DURATIONS), usual)
        case "size":
            return st.sampled_from(_SIZES)
    if "pattern" in node:
        return st.from_regex(node["pattern"], fullmatch=True)
    least, most = node.get("minLength", 0), node.get("maxLength", 400)
    odd = [text for text in ODD_TEXTS if least <= len(text) <= most]
    usual = [text for text in _TEXTS if least <= len(text) <= most]
    free = st.text(min_size=least, max_size=min(most, 20))
    return st.one_of(st.sampled_from(usual), st.sampled_from(odd), free)


def _integer(node: dict[str, Any], _: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = node.get("minimum", -(10**20)), node.get("maximum", 10**20)
    usual = [number for number in (1, 5, 200, 404) if low <= number <= high]
    edges = [number for number in (low, low + 1, high - 1, high, 254, 255) if low <= number <= high]
    return st.one_of(st.sampled_from([*usual, *edges]), st.integers(low, high))


def _number(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "exclusiveMinimum" in node:
        return st.floats(node["exclusiveMinimum"], node["maximum"], exclude_min=True)
    return st.one_of(_integer(node, root), st.floats(0, 1e300))


def _array(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.lists(values(node["items"], root), min_size=node.get("minItems", 0), max_size=3)


def _object(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    rest = node.get("additionalProperties")
    fields = {name: values(item, root) for name, item in node.get("properties", {}).items()}
    if isinstance(rest, dict) and not fields:
        names = node.get("propertyNames", {"type": "string"})
        return st.dictionaries(values(names, root), values(rest, root), max_size=2)
    needed = {name: fields.pop(name) for name in node.get("required", ())}
    whole = st.fixed_dictionaries(needed, optional=fields)
    return whole.filter(lambda found: len(found) >= node.get("minProperties", 0))


_OF: Final = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda node, root: st.booleans(),
    "array": _array,
    "object": _object,
}
