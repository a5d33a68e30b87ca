from __future__ import annotations

import json
import time
from typing import Any

import pytest

from stoa_gitops.catalog.documents.parse import MAX_FILE_BYTES, parse_file
from stoa_gitops.catalog.evaluation.openapi import read_openapi
from stoa_gitops.catalog.evaluation.patterns import is_pattern
from stoa_gitops.catalog.kinds import kind_set

INFO = {"title": "T", "version": "1"}


def document(**fields: Any) -> dict[str, Any]:
    return {"openapi": "3.0.0", "info": INFO, "paths": {}, **fields}


def with_pattern(pattern: str) -> dict[str, Any]:
    return document(components={"schemas": {"N": {"type": "string", "pattern": pattern}}})


def codes(data: bytes | dict[str, Any]) -> list[str]:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return [finding.code for finding in read_openapi(raw).findings]


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[\w-.]+$", r"^[\w.-]+$", r"[\w-\d]", r"[a-\d]", r"\-", r"\@\_\:", r"a{", r"{", r"}", "]",
        r"x{,3}", r"\p{L}+", r"\u00e9", r"[[:alpha:]]", r"[[]", r"(?=a)b", r"(?<!a)b",
        r"(?<n>a)\k<n>",
        r"(?i)abc", r"(?i:abc)", r"^(?!\s*$).+", r"[^]", "[]", r"\c", r"[\b]", r"a++", r"(a|)*",
        r"^$", "", r"\/", r"[a-z&&[^b]]", r"(?P<year>\d{4})", r"(?:)", r"()", "a{2,1000}?", "é-ü",
    ],
)  # fmt: skip
def test_a_pattern_that_javascript_or_another_engine_takes_is_accepted(pattern: str) -> None:
    assert is_pattern(pattern)
    assert codes(with_pattern(pattern)) == []


@pytest.mark.parametrize(
    "pattern",
    ["(", "a)", "[a", "*a", "a**", "a|+", "\\", "a{3,2}", "[z-a]", "(?a", "(?<)", "^*", "[\\"],
)
def test_a_pattern_that_no_engine_takes_is_an_error(pattern: str) -> None:
    assert not is_pattern(pattern)
    assert set(codes(with_pattern(pattern))) == {"openapi.schema"}


@pytest.mark.parametrize("hostile", ["[" * 200_000, "(" * 200_000, "a{1" * 100_000, "[a-" * 90_000])
def test_a_long_pattern_takes_time_that_grows_with_its_length(hostile: str) -> None:
    before = time.process_time()
    is_pattern(hostile)
    assert time.process_time() - before < 2


@pytest.mark.parametrize("character", ["\u0080", "\u0085", "\u009f", "\u2028", "\ufeff", "\x7f"])
def test_json_may_hold_every_character_from_u_0020_on(character: str) -> None:
    text = json.dumps(document(info={**INFO, "title": f"a{character}b"}), ensure_ascii=False)
    assert codes(text.encode()) == []


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"openapi": "3.0.0", "openapi": "3.0.1"}', "yaml.duplicate-key"),
        (b'{"openapi": "3.0.0", "x": "a\x01"}', "yaml.character"),
        (b'{"openapi": "3.0.0", "x": "\\ud800"}', "yaml.encoding"),
        (b'{"openapi": "3.0.0", "x": "\xff"}', "yaml.encoding"),
        (b'{"openapi": "3.0.0"', "yaml.syntax"),
    ],
)
def test_what_is_no_json_is_told_by_the_parser_of_yaml(raw: bytes, code: str) -> None:
    assert codes(raw) == [code]


def test_a_far_indented_line_makes_a_large_document_not_slow() -> None:
    lines = "".join(f"{' ' * 70}- {number}\n" for number in range(150_000))
    raw = f"openapi: 3.0.0\ninfo: {{title: T, version: '1'}}\npaths: {{}}\nx-list:\n{lines}"
    before = time.process_time()
    assert codes(raw.encode()) == []
    # The full parser takes a minute, and refuses more than 100,000 values.
    assert time.process_time() - before < 5


def test_a_document_up_to_20_mb_is_read_where_it_is_openapi() -> None:
    many = {f"S{number}": {"type": "string", "description": "x" * 900} for number in range(6_000)}
    raw = json.dumps(document(components={"schemas": many})).encode()
    assert len(raw) > MAX_FILE_BYTES
    assert codes(raw) == []
    assert parse_file(raw, kind_set().schemas).is_openapi
    other = b"kind: API\n#" + b"x" * MAX_FILE_BYTES
    assert codes(other) == ["file.size"]
    assert [finding.code for finding in parse_file(other, kind_set().schemas).findings] == [
        "file.size"
    ]


def test_an_api_that_names_its_openapi_document_is_not_one_itself() -> None:
    raw = b'{"apiVersion":"gostoa.dev/v1alpha1","kind":"API","spec":{"openapi":"spec.json"}}'
    assert not parse_file(raw, kind_set().schemas).is_openapi
    assert parse_file(json.dumps(document()).encode(), kind_set().schemas).is_openapi


def ok(**fields: Any) -> dict[str, Any]:
    return {"responses": {"200": {"description": "ok"}}, **fields}


def test_what_a_document_promises_and_lacks_are_warnings_at_their_lines() -> None:
    raw = b"""openapi: 3.0.0
info: {title: T, version: "1"}
paths:
  /a/{id}/{no}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get:
      operationId: one
      responses: {"200": {$ref: "#/components/responses/Gone"}}
  /b:
    get: {operationId: one, responses: {"200": {description: ok}}}
components: {}
"""
    found = read_openapi(raw).findings
    assert [(finding.code, finding.line, finding.is_error) for finding in found] == [
        ("openapi.ref", 8, False),
        ("openapi.operation-id", 10, False),
        ("openapi.path-parameter", 4, False),
    ]
    assert "{no}" in found[2].message
    assert "GET /a/{id}/{no}" in found[1].message


@pytest.mark.parametrize(
    "fields",
    [
        {"components": {"schemas": {"A": {"$ref": "#/components/schemas/B~1c%20d"}, "B/c d": {}}}},
        {"components": {"schemas": {"A": {"properties": {"$ref": {"type": "string"}}}}}},
        {"components": {"schemas": {"A": {"example": {"$ref": "#/nowhere"}}}}},
        {"components": {"schemas": {"A": {"default": {"$ref": "#/nowhere"}}}}},
        {"components": {"schemas": {"A": {"$ref": "other.yaml#/nowhere"}}}},
        {"x-more": {"$ref": "#/nowhere"}},
        {"components": {"parameters": {"P": {"name": "p", "in": "path", "required": True,
                                             "schema": {}}}},
         "paths": {"/{p}": {"get": ok(parameters=[{"$ref": "#/components/parameters/P"}])}}},
        {"paths": {"/{p}": {"get": ok(parameters=[{"$ref": "other.yaml#/P"}])}}},
    ],
)  # fmt: skip
def test_what_is_right_or_in_another_document_is_no_warning(fields: dict[str, Any]) -> None:
    assert codes(document(**fields)) == []


def test_names_of_properties_are_no_keywords() -> None:
    schema = {"properties": {"default": {"$ref": "#/nowhere"}}}
    assert codes(document(components={"schemas": {"A": schema}})) == ["openapi.ref"]


def test_an_anchor_is_somewhere() -> None:
    schemas = {"A": {"$anchor": "a"}, "B": {"$ref": "#a"}, "C": {"$ref": "#c"}}
    raw = {**document(components={"schemas": schemas}), "openapi": "3.1.0"}
    assert codes(raw) == ["openapi.ref"]


def test_version_2_has_its_parameters_elsewhere() -> None:
    raw = {
        "swagger": "2.0",
        "info": INFO,
        "parameters": {"P": {"name": "p", "in": "path", "required": True, "type": "string"}},
        "paths": {
            "/{p}/{q}": {
                "get": ok(parameters=[{"$ref": "#/parameters/P"}]),
                "put": ok(parameters=[{"$ref": "#/parameters/Q"}]),
            }
        },
    }
    assert codes(raw) == ["openapi.ref", "openapi.path-parameter"]


def test_deep_json_is_a_finding_and_no_crash() -> None:
    raw = b'{"openapi": "3.0.0", "x": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert codes(raw)
    assert codes(b'{"openapi": "3.0.0", "x": ' + b"[" * 90_000)
