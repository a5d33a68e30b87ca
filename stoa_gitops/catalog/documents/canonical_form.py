"""Makes the canonical form of a valid document: defaults filled in, one spelling for each value.

The schema is compiled once into closures, because 10,000 documents go through here. What a field
becomes is stated beside it in the schema as `x-canonical`:

    duration, size   the largest unit that divides it
    set, methods, hosts, texts   sorted, without duplicates; as they are, upper case, lower case, as
                                 text
    secret           `{env: NAME}` becomes `{"$secret": "env:NAME"}`
    time             RFC 3339 in UTC with a `Z`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from stoa_gitops.catalog.documents.schema_tree import Schema, follow, properties
from stoa_gitops.model.canonical import (
    SECRET_FIELD,
    Json,
    JsonObject,
    canonical_duration,
    canonical_size,
)

Form: TypeAlias = Callable[[Any], Any]
Normaliser: TypeAlias = Callable[[JsonObject], dict[str, Json]]


def compile_normaliser(root: Schema) -> Normaliser:
    """Return the function that makes a canonical tree of a valid document or policy config.

    The function returns a new tree and raises ValueError where a value has the right shape and no
    meaning (a day that does not exist in a time).
    """
    form = _compile(root, root)
    if form is None:
        return dict
    return form


def _compile(node: Schema, root: Schema) -> Form | None:
    """Return the function for the values of a schema; None where it leaves every value as it is."""
    node = follow(node, root)
    form = node.get("x-canonical")
    if form == "secret":
        return _secret
    if "properties" in node or isinstance(node.get("additionalProperties"), dict):
        return _object(node, root)
    if node.get("type") == "array":
        return _array(node, root, form)
    if form is not None:
        return _SCALARS[form]
    if node.get("type") == "integer":
        return _whole
    return None


def _filler(
    forms: tuple[tuple[str, Form], ...],
    every: Form | None,
    defaults: tuple[tuple[str, Any, Form | None], ...],
) -> Form:
    """Return the function for one object: fields by name, all others, defaults for missing ones."""
    named = {name for name, _ in forms}

    def fill(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        out = value.copy()
        for name, form in forms:
            if name in value:
                out[name] = form(value[name])
        if every is not None:
            out |= {name: every(item) for name, item in value.items() if name not in named}
        for name, default, make in defaults:
            if name not in out:
                # Lists and mappings of the schema are copied: a caller may change its document.
                fresh = default.copy() if isinstance(default, (dict, list)) else default
                out[name] = make(fresh) if make else fresh
        return out

    return fill


def _object(node: Schema, root: Schema) -> Form | None:
    forms: dict[str, Form] = {}
    defaults: list[tuple[str, Any, Form | None]] = []
    for name, item in properties(node, root):
        form = _compile(item, root)
        if form is not None:
            forms[name] = form
        if "default" in item:
            defaults.append((name, item["default"], form))
    rest = node.get("additionalProperties")
    every = _compile(rest, root) if isinstance(rest, dict) else None
    if not (forms or defaults or every):
        return None
    return _filler(tuple(forms.items()), every, tuple(defaults))


def _array(node: Schema, root: Schema, form: str | None) -> Form | None:
    items = _compile(node.get("items", {}), root)
    order = _LISTS.get(form or "")

    def fill(value: Any) -> Any:
        out = [items(item) for item in value] if items else list(value)
        return order(out) if order else out

    return fill if items or order else None


def _secret(value: Any) -> dict[str, str]:
    ((scheme, locator),) = value.items()
    return {SECRET_FIELD: f"{scheme}:{locator}"}


def _whole(value: Any) -> Any:
    """Make 3.0 an integer, as JSON Schema sees it (validation §6.1.1): canonical JSON has 3."""
    return int(value) if isinstance(value, float) else value


def canonical_time(text: str) -> str:
    """Return an RFC 3339 time in UTC, whole seconds; raises ValueError for one that is not real."""
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is no time that exists") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sorted(values: Iterable[Any]) -> list[Any]:
    # Values of several types in one set, such as 503 and "5xx", have no order among themselves.
    return sorted(set(values), key=lambda value: (str(type(value)), value))


_SCALARS: dict[str, Form] = {
    "duration": canonical_duration,
    "size": canonical_size,
    "time": canonical_time,
}
_LISTS: dict[str, Form] = {
    "set": _sorted,
    "methods": lambda values: sorted({str(value).upper() for value in values}),
    "hosts": lambda values: sorted({str(value).lower() for value in values}),
    "texts": lambda values: sorted({str(value) for value in values}),
}
