"""Says in words what a JSON Schema asks of a value: its type and its bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stoa_gitops.catalog.documents.schema_tree import Schema, follow

_TYPES = {"array": "list", "object": "mapping", "string": "text", "boolean": "true or false"}


def type_words(field: Schema, root: Schema, mark: str = "") -> str:
    """Return the type of a field; `mark` is put around fixed words, as pages do with backticks."""
    if "const" in field:
        return f"{mark}{field['const']}{mark}"
    if "enum" in field:
        return ", ".join(f"{mark}{word}{mark}" for word in field["enum"])
    if field.get("x-canonical") == "secret":
        return "reference to a secret"
    wanted: str | list[str] = field.get("type", "")
    if wanted == "array":
        return f"list of {type_words(follow(field.get('items', {}), root), root, mark)}"
    if "title" in field:
        return str(field["title"])
    rest = field.get("additionalProperties")
    if isinstance(rest, dict):
        return f"mapping to {type_words(follow(rest, root), root, mark)}"
    names = [wanted] if isinstance(wanted, str) else wanted
    return " or ".join(_TYPES.get(name, name) for name in names)


def bounds(field: Schema) -> Iterator[str]:
    """Yield what else a value must keep to, a sentence each; nothing that the type says already."""
    yield from _range(field, "minimum", "maximum", "")
    yield from _range(field, "minLength", "maxLength", "characters")
    yield from _range(field, "minItems", "maxItems", "entries")
    yield from _range(field, "minProperties", "maxProperties", "fields")
    if field.get("uniqueItems"):
        yield "no entry twice"
    # A title says in words what a pattern says to machines.
    if "pattern" in field and "title" not in field:
        yield f"matches {field['pattern']}"
    for keyword, words in (("oneOf", "exactly one of"), ("anyOf", "at least one of")):
        names = [n for part in field.get(keyword, ()) for n in _named(part)]
        if names:
            yield f"{words} {', '.join(dict.fromkeys(names))}"
    for name, others in field.get("dependentRequired", {}).items():
        yield f"{name} only with {', '.join(others)}"


def _named(part: Any) -> list[str]:
    return list(part.get("required", ())) if isinstance(part, dict) else []


def _range(field: Schema, low: str, high: str, unit: str) -> Iterator[str]:
    least, most = field.get(low), field.get(high)
    least = None if not least and unit else least  # at least 0 characters say nothing
    suffix = f" {unit}" if unit else ""
    if least is not None and most is not None:
        yield f"exactly {least}{suffix}" if least == most else f"{least} to {most}{suffix}"
    elif least is not None:
        yield f"at least {least}{suffix}"
    elif most is not None:
        yield f"at most {most}{suffix}"


def default_words(field: Schema) -> str:
    """Return the default as JSON, empty where there is none."""
    return json.dumps(field["default"], ensure_ascii=False) if "default" in field else ""
