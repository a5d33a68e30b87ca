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


_PLACES = (
    "#/components/schemas/Alpha",
    "#/components/schemas/Beta/properties/a",
    "#/components/schemas/Gamma/$defs/a",
    "#/paths/~1a/get/parameters/0/schema",
    "#/webhooks/w/post/requestBody/content/application~1json/schema",
    "#/components/pathItems/I/get/responses/200/content/application~1json/schema",
    "#anchor",
    "#/nowhere",
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw whole documents, whose references lead to all kinds of places."""
    schema = st.one_of(
        st.just(True),
        st.just({"type": ["string", "null"]}),
        # Not to all places: schemas that are each other have no meaning, and end no validator.
        st.sampled_from(("#anchor", "#/nowhere")).map(
            lambda place: {"$ref": place, "description": "here"}
        ),
        st.sampled_from(_PLACES).map(lambda place: {"properties": {"a": {"$ref": place}}}),
        st.sampled_from(_PLACES).map(lambda place: {"items": {"$ref": place}, "type": "array"}),
    )
    example = st.sampled_from(({}, {"example": 1}, {"examples": {"e": {"value": 1}}}))

    def media() -> dict[str, Any]:
        return {"application/json": {"schema": draw(schema), **draw(example)}}

    def response() -> dict[str, Any]:
        return draw(
            st.sampled_from((
                {"description": "", "content": media(), "headers": {"H": {"schema": draw(schema)}}},
                {"$ref": "#/components/responses/R", "summary": "S"},
                {"$ref": "#/paths/~1a/get/responses/200"},
            ))
        )  # fmt: skip

    def item() -> dict[str, Any]:
        operation: dict[str, Any] = {
            "parameters": [
                draw(
                    st.sampled_from((
                        {"name": "q", "in": "query", "schema": draw(schema)},
                        {"$ref": "#/components/parameters/P", "description": "D"},
                    ))
                )
            ],
            "security": draw(st.sampled_from(([], [{}], [{"m": []}], [{"k": ["role"]}]))),
        }  # fmt: skip
        if draw(st.booleans()):
            operation["responses"] = {"200": response()}
        if draw(st.booleans()):
            operation["callbacks"] = {"c": {"{$url}": {"$ref": "#/components/pathItems/I"}}}
        return {draw(st.sampled_from(("get", "post"))): operation}

    get = {
        "parameters": [{"name": "p", "in": "query", "schema": draw(schema)}],
        "responses": {"200": {"description": "", "content": media()}},
    }
    paths: dict[str, Any] = {"/a": {"get": get}, "/b": item()}
    if draw(st.booleans()):
        paths["/c"] = {"$ref": draw(st.sampled_from(("#/components/pathItems/I", "#/paths/~1b")))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1", "summary": "S"},
        "paths": paths,
        "webhooks": {"w": {"post": {"requestBody": {"content": media()}}}},
        "components": {
            "schemas": {
                "Alpha": draw(schema),
                "Beta": {"properties": {"a": draw(schema)}, "$anchor": "anchor"},
                "Gamma": {"$defs": {"a": draw(schema)}, "prefixItems": [draw(schema)]},
            },
            "parameters": {"P": {"name": "P", "in": "header", "content": media()}},
            "responses": {"R": {"description": "", "content": media()}},
            "pathItems": {"I": {**item(), "get": get}},
            "securitySchemes": {
                "m": {"type": "mutualTLS"},
                "k": {"type": "apiKey", "in": "header", "name": "K"},
            },
        },
    }
