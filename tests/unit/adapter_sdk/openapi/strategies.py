"""Schemas of JSON Schema 2020-12 as OpenAPI 3.1 has them, and values to try them with."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "c")
COMPONENTS = ("Alpha", "Beta", "Gamma")

Schema = Any

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from((0.5, -1.5)),
    st.sampled_from(("", "a", "ab", "abc")),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=4,
)

_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_counts = st.integers(0, 3)
_numbers = st.sampled_from((-2, 0, 0.5, 2))


def _simple() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "type": st.one_of(
            st.sampled_from(_TYPES),
            st.lists(st.sampled_from(_TYPES), min_size=1, max_size=4, unique=True),
        ),
        "enum": st.lists(scalars, max_size=3),
        "const": scalars,
        "minLength": _counts,
        "maxLength": _counts,
        "pattern": st.sampled_from(("^a", "b$")),
        "minimum": _numbers,
        "maximum": _numbers,
        "exclusiveMinimum": _numbers,
        "exclusiveMaximum": _numbers,
        "multipleOf": st.sampled_from((1, 2, 0.5)),
        "minItems": _counts,
        "maxItems": _counts,
        "uniqueItems": st.booleans(),
        "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
        "minProperties": _counts,
        "maxProperties": _counts,
        "dependentRequired": st.dictionaries(
            st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=2), max_size=2
        ),
        "title": st.just("A title"),
        "examples": st.lists(scalars, max_size=2),
        "contentEncoding": st.just("base64"),
        "$comment": st.just("A comment"),
        "minContains": _counts,
        "maxContains": _counts,
    }


def _applicators(
    inner: st.SearchStrategy[Schema], below: st.SearchStrategy[Schema]
) -> dict[str, st.SearchStrategy[Any]]:
    """Return strategies of keywords: `inner` for the same value, `below` for values in it."""
    branches = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from(NAMES), below, max_size=2)
    return {
        "allOf": branches,
        "anyOf": branches,
        "oneOf": branches,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "dependentSchemas": st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
        "properties": named,
        "patternProperties": st.dictionaries(
            st.sampled_from(("^a", "b$", ".*")), below, max_size=2
        ),
        "additionalProperties": below,
        "unevaluatedProperties": below,
        "propertyNames": st.sampled_from(({"maxLength": 1}, {"type": "string"}, True)),
        "items": below,
        "prefixItems": st.lists(below, min_size=1, max_size=3),
        "unevaluatedItems": below,
        "contains": below,
    }


def _schemas_of(
    inner: st.SearchStrategy[Schema], same: tuple[str, ...]
) -> st.SearchStrategy[Schema]:
    """Return schemas over `inner`; `same` are components that may be meant for the same value."""
    anywhere = st.sampled_from(COMPONENTS).map(_reference)
    below = st.one_of(inner, anywhere)
    keywords = {**_simple(), **_applicators(inner, below)}
    if same:
        keywords["$ref"] = st.sampled_from(same).map(lambda name: _reference(name)["$ref"])
    said = st.one_of(*(st.tuples(st.just(name), value) for name, value in keywords.items()))
    return st.lists(said, min_size=1, max_size=4).map(dict)


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@cache
def schemas(same: tuple[str, ...]) -> st.SearchStrategy[Schema]:
    """Return schemas of some levels."""
    simple = _simple()
    leaf = st.one_of(
        st.booleans(),
        st.just({"type": "null"}),
        *(value.map(lambda said, name=name: {name: said}) for name, value in simple.items()),
    )
    return st.recursive(leaf, lambda inner: _schemas_of(inner, same), max_leaves=6)


@st.composite
def components(draw: st.DrawFn) -> dict[str, Schema]:
    """Draw components that refer to each other, for the same value in one direction only."""
    return {name: draw(schemas(COMPONENTS[index + 1 :])) for index, name in enumerate(COMPONENTS)}


_LOSSY = (
    {"propertyNames": {"maxLength": 0}},
    {"prefixItems": [{"type": "string"}], "items": {"type": "null"}},
    {"type": "object", "patternProperties": {"^a": {"type": "null"}}},
    {"type": "array", "contains": {"type": "string"}, "maxContains": 1},
)
_EXACT = ({"type": "object"}, {"type": ["array", "null"]}, {"const": "a"}, {"required": ["a"]})


@st.composite
def negations(draw: st.DrawFn) -> dict[str, Schema]:
    """Draw components in which losses stand below `not`, `oneOf` and `if`, also by reference."""
    return {
        name: draw(_negations(COMPONENTS[index + 1 :])) for index, name in enumerate(COMPONENTS)
    }


# Built once: hypothesis examines each new strategy for longer than it draws from it.
@cache
def _negations(same: tuple[str, ...]) -> st.SearchStrategy[Schema]:
    leaves = st.sampled_from((*_LOSSY, *_EXACT, *map(_reference, same)))

    def around(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
        two = st.lists(inner, min_size=2, max_size=2)
        return st.one_of(
            st.fixed_dictionaries({"not": inner}),
            st.fixed_dictionaries({"oneOf": two}),
            st.fixed_dictionaries({"allOf": two}),
            st.fixed_dictionaries({"if": inner, "then": inner}),
            st.fixed_dictionaries({"if": inner, "else": inner}),
            st.fixed_dictionaries({"contains": inner}),
        )

    return st.recursive(leaves, around, max_leaves=4)
