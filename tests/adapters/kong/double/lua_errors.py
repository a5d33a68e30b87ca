"""Error trees as Kong writes them.

JSON with null holes, the text of `message`, the summary of a violation.

A tree is a dict whose keys are field names or 1-based positions; leaves are messages or lists of
messages.
"""

from __future__ import annotations

import re
from typing import Any

ErrorTree = dict[Any, Any]

_NAMES = {
    1: "invalid primary key",
    2: "schema violation",
    3: "primary key violation",
    4: "foreign key violation",
    5: "unique constraint violation",
    6: "not found",
    7: "invalid offset",
    9: "invalid size",
    11: "invalid options",
    12: "operation unsupported",
    13: "foreign keys unresolved",
    14: "invalid declarative configuration",
}


def tree_to_json(tree: Any) -> Any:
    """Dicts with positions become arrays, with null for the positions that have nothing."""
    if not isinstance(tree, dict):
        return tree
    # Lua arrays count from 1; a hole becomes null.
    if tree and all(isinstance(key, int) for key in tree):
        return [tree_to_json(tree.get(i)) for i in range(1, max(tree) + 1)]
    return {str(key): tree_to_json(value) for key, value in tree.items()}


def format_lua(value: Any) -> str:
    """A Lua table on one line: positions first, then sorted keys."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.14g}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list):
        return "{" + ",".join(format_lua(one) for one in value) + "}"
    return "{" + ",".join(_pairs(value)) + "}"


def _pairs(table: ErrorTree) -> list[str]:
    parts, position = [], 1
    while position in table:
        parts.append(format_lua(table[position]))
        position += 1
    rest = [key for key in table if not (isinstance(key, int) and key < position)]
    for key in sorted(rest, key=lambda one: (isinstance(one, str), one)):
        if isinstance(key, int):
            shown = f"[{key}]"
        else:
            shown = key if re.fullmatch(r"[A-Za-z_]\w*", key) else f'["{key}"]'
        parts.append(f"{shown}={format_lua(table[key])}")
    return parts


def failure(code: int, message: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "name": _NAMES[code], "message": message, **more}


def schema_violation(tree: ErrorTree) -> dict[str, Any]:
    """The 400 of a single entity: entity messages first, then `field: message`, one level deep."""
    parts = list(tree.get("@entity", []))
    for name in sorted(key for key in tree if key != "@entity"):
        found = tree[name]
        if isinstance(found, dict):
            for inner in sorted(found, key=str):
                value = found[inner]
                text = value if isinstance(value, str) else format_lua(value)
                parts.append(f"{name}.{inner}: {text}")
        else:
            parts.append(f"{name}: {found}")
    many = "schema violation" if len(parts) == 1 else f"{len(parts)} schema violations"
    return failure(2, f"{many} ({'; '.join(parts)})", fields=tree_to_json(tree))


def invalid_declarative(tree: ErrorTree) -> dict[str, Any]:
    text = f"declarative config is invalid: {format_lua(tree)}"
    return failure(14, text, fields=tree_to_json(tree))
