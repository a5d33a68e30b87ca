"""OpenAPI documents beside APIs: imported as 3.0, compared by their hash and their operations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.adapters.webmethods.mapping.definitions import content_print
from stoa_gitops.adapters.webmethods.mapping.documents import import_form
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.adapters.webmethods.mapping.stored_forms import EMPTY
from stoa_gitops.model.changes import Direction
from stoa_gitops.model.outcomes import Outcome, Status
from tests.adapters.webmethods.beds import Bed
from tests.contract.rig import CRM, api, resolve

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Customers", "version": "7", "summary": "All of them"},
    "externalDocs": {"url": "https://docs.example"},
    "webhooks": {"left": {"post": {"responses": {"200": {"description": "ok"}}}}},
    "paths": {
        "/customers/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            ],
            "get": {
                "responses": {
                    "200": {
                        "description": "one",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/C"}}
                        },
                    }
                }
            },
            "delete": {"responses": {"204": {"description": "gone"}}},
        }
    },
    "components": {
        "schemas": {
            "C": {"type": ["object", "null"], "additionalProperties": False},
            "D": {"type": "object", "additionalProperties": True, "example": {"a": True}},
        },
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "k"}},
    },
}


@dataclass
class Files:
    files: Mapping[str, bytes]

    def read(self, path: str) -> bytes:
        return self.files[path]


def named(document: Mapping[str, Any], **changes: Any) -> tuple[dict[str, Any], Files]:
    data = json.dumps(document).encode()
    path = "tenants/acme/apis/crm/openapi.json"
    openapi = {"path": path, "sha256": hashlib.sha256(data).hexdigest()}
    return api("crm", openapi=openapi, **changes), Files({path: data})


async def apply(bed: Bed, document: Mapping[str, Any], **changes: Any) -> Outcome:
    spec, files = named(document, **changes)
    plan = await bed.rig.plan({CRM: spec})
    (outcome,) = [
        one
        async for one in bed.rig.driver.execute(
            plan, lambda wanted: replace(resolve("default", wanted), files=files)
        )
    ]
    bed.rig._record(outcome)
    return outcome


@pytest.mark.parametrize("version", ["10.15", "11"])
async def test_a_document_of_3_1_is_imported_and_its_losses_are_said(
    old: Bed, new: Bed, version: str
) -> None:
    bed = old if version == "10.15" else new
    outcome = await apply(bed, DOCUMENT)
    assert outcome.status is Status.APPLIED, outcome.message
    assert any("webhooks" in warning for warning in outcome.warnings)
    definition = bed.api("acme-crm")["apiDefinition"]
    assert list(definition["paths"]) == ["/customers/{id}"]
    assert definition["info"]["title"] == "Crm"
    assert definition["servers"][0]["url"] == "https://crm.example/v2"
    spec, _ = named(DOCUMENT)
    assert (await bed.rig.plan({CRM: spec})).is_empty
    bed.rig.records.clear()
    assert (await bed.rig.plan({CRM: spec})).is_empty


async def test_another_document_is_an_update_of_the_same_api(old: Bed) -> None:
    await apply(old, DOCUMENT)
    before = old.api("acme-crm")["id"]
    paths = {**DOCUMENT["paths"], "/new": {"get": {"responses": {"200": {"description": "x"}}}}}
    outcome = await apply(old, {**DOCUMENT, "paths": paths})
    assert outcome.status is Status.APPLIED, outcome.message
    held = old.api("acme-crm")
    assert (held["id"], held["isActive"]) == (before, True)
    assert "/new" in held["apiDefinition"]["paths"]


async def test_methods_of_routes_leave_operations_out(old: Bed) -> None:
    route = {"path": "/apis/acme/crm", "methods": ["GET"], "hosts": [], "stripPath": True}
    await apply(old, DOCUMENT, routes=[route])
    (item,) = old.api("acme-crm")["apiDefinition"]["paths"].values()
    assert "get" in item
    assert "delete" not in item


async def test_a_document_that_breaks_the_parser_loses_bodies_of_responses(old: Bed) -> None:
    old.double.behaviour.crashes_on_response_refs = True
    outcome = await apply(old, DOCUMENT)
    assert outcome.status is Status.APPLIED, outcome.message
    assert any("bodies of responses" in warning for warning in outcome.warnings)
    spec, _ = named(DOCUMENT)
    assert (await old.rig.plan({CRM: spec})).is_empty


async def test_an_operation_that_somebody_switched_off_is_drift(old: Bed) -> None:
    await apply(old, DOCUMENT)
    held = old.api("acme-crm")
    held["apiDefinition"]["paths"]["/customers/{id}"]["delete"]["enabled"] = False
    held["lastModified"] = "2026-12-01 00:00:00 GMT"
    spec, _ = named(DOCUMENT)
    plan = await old.rig.plan({CRM: spec})
    assert "definition.paths" in str(plan.changes)
    assert (await apply(old, DOCUMENT)).status is Status.APPLIED
    assert (await old.rig.plan({CRM: spec})).is_empty


async def test_a_document_that_is_gone_fails_its_api_alone(old: Bed) -> None:
    spec, _ = named(DOCUMENT)
    (outcome,) = await old.rig.converge({CRM: spec})
    assert (outcome.status, outcome.reason) == (Status.FAILED, "DocumentUnreadable")
    assert old.names() == []


def test_a_document_of_3_2_is_refused_with_its_name() -> None:
    with pytest.raises(Inexpressible, match=r"^openapi.yaml: webMethods reads OpenAPI 3.0"):
        import_form({"openapi": "3.2.0", "info": {}, "paths": {}}, "openapi.yaml")


def test_what_the_json_route_needs_is_done() -> None:
    tree = import_form(DOCUMENT, "openapi.json").tree
    assert tree["externalDocs"] == [{"url": "https://docs.example"}]
    assert tree["components"]["securitySchemes"]["key"]["in"] == "HEADER"
    assert tree["components"]["schemas"]["D"]["example"] == {"a": True}


trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["additionalProperties", "properties", "items", "a"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(trees)
def test_no_truth_value_is_left_as_a_schema(schema: Any) -> None:
    document = {
        "openapi": "3.0.3",
        "info": {},
        "paths": {},
        "components": {"schemas": {"A": schema}},
    }
    todo: list[Any] = [import_form(document, "d").tree]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            assert not isinstance(one.get("additionalProperties"), bool)
            for name, value in one.items():
                # In there it is the name of a property.
                is_named = name == "properties" and isinstance(value, dict)
                todo += value.values() if is_named else [value]
        elif isinstance(one, list):
            todo += one


@pytest.mark.parametrize("name", ["default", "example", "examples", "enum", "x-more"])
def test_a_name_that_is_a_keyword_elsewhere_is_a_name(name: str) -> None:
    """Of a property, a response (`default` is one of HTTP), a schema, a header."""
    open_ended = {"type": "object", "additionalProperties": True}
    answer = {"description": "", "content": {"application/json": {"schema": open_ended}}}
    document: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": "a", "version": "1"},
        "paths": {"/a": {"get": {"responses": {name: answer}}}},
        "components": {
            "schemas": {"A": {"properties": {name: open_ended}}, name: open_ended},
            "headers": {name: {"schema": open_ended}},
        },
    }
    tree = import_form(document, "openapi.json").tree
    assert "additionalProperties" not in str(tree)


@pytest.mark.parametrize("name", ["default", "example", "x-more"])
def test_data_of_a_schema_is_left_as_it_is(name: str) -> None:
    data = {"additionalProperties": True, "properties": {"additionalProperties": False}}
    schema = {"type": "object", name: data}
    document: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": "a", "version": "1"},
        "paths": {},
        "components": {"schemas": {"A": schema}},
    }
    tree = import_form(document, "openapi.json").tree
    assert tree["components"]["schemas"]["A"] == schema


@pytest.mark.parametrize(
    "version", [{"openapi": "3.0.3"}, {"openapi": "3.1.0"}, {"swagger": "2.0"}], ids=str
)
def test_a_document_that_nests_deeper_than_writers_of_json_go_is_refused(
    version: dict[str, str],
) -> None:
    schema: dict[str, Any] = {}
    for _ in range(900):
        schema = {"items": schema}
    document = {**version, "info": {}, "paths": {}, "components": {"schemas": {"A": schema}}}
    with pytest.raises(Inexpressible, match="nests deeper than 256 levels"):
        import_form(document, "openapi.json")


def operation_of(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition["paths"]["/customers/{id}"]["get"]
    return found


def edit_summary(definition: dict[str, Any]) -> None:
    operation_of(definition)["summary"] = "Somebody's words"


def edit_description(definition: dict[str, Any]) -> None:
    definition["info"]["description"] = "Somebody's words"


def edit_schema(definition: dict[str, Any]) -> None:
    definition["components"]["schemas"]["D"]["properties"] = {"enabled": {"type": "boolean"}}


def edit_parameters(definition: dict[str, Any]) -> None:
    definition["paths"]["/customers/{id}"]["parameters"][0]["required"] = False


def edit_responses(definition: dict[str, Any]) -> None:
    operation_of(definition)["responses"]["200"]["description"] = "two"


EDITS = [edit_summary, edit_description, edit_schema, edit_parameters, edit_responses]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("is_known", [True, False], ids=["in its process", "after a restart"])
async def test_texts_and_schemas_that_somebody_edits_are_drift(
    new: Bed, edit: Callable[[dict[str, Any]], None], *, is_known: bool
) -> None:
    outcome = await apply(new, DOCUMENT)
    assert outcome.status is Status.APPLIED, outcome.message
    spec, _ = named(DOCUMENT)
    assert (await new.rig.plan({CRM: spec})).is_empty
    held = new.api("acme-crm")
    before = deepcopy(held["apiDefinition"])
    edit(held["apiDefinition"])
    assert held["apiDefinition"] != before
    held["lastModified"] = "2026-12-01 00:00:00 GMT"
    if not is_known:
        assert new.rig.restart is not None
        await new.rig.restart()
    plan = await new.rig.plan({CRM: spec})
    assert "definition.content" in str(plan.changes)
    assert [one.direction for one in plan.changes] == [Direction.GATEWAY]
    assert (await apply(new, DOCUMENT)).status is Status.APPLIED
    assert new.api("acme-crm")["apiDefinition"] == before
    assert (await new.rig.plan({CRM: spec})).is_empty


@pytest.mark.parametrize("is_active", [True, False])
async def test_what_the_gateway_fills_in_is_no_drift(old: Bed, *, is_active: bool) -> None:
    await apply(old, DOCUMENT, active=is_active)
    definition = old.api("acme-crm")["apiDefinition"]
    definition["scopes"] = []
    operation_of(definition)["mockedResponses"] = {"200": {"body": "a mock, which updates keep"}}
    operation_of(definition)["deprecated"] = None
    definition["servers"] = [{"url": "https://elsewhere.example"}]
    old.api("acme-crm")["lastModified"] = "2026-12-01 00:00:00 GMT"
    spec, _ = named(DOCUMENT, active=is_active)
    assert (await old.rig.plan({CRM: spec})).is_empty


async def test_a_text_of_an_api_without_a_document_is_drift_too(old: Bed) -> None:
    specs = {CRM: api("crm")}
    await old.rig.converge(specs)
    held = old.api("acme-crm")
    held["apiDefinition"]["info"]["description"] = "Somebody's words"
    held["lastModified"] = "2026-12-01 00:00:00 GMT"
    plan = await old.rig.plan(specs)
    assert "definition.content" in str(plan.changes)
    await old.rig.converge(specs)
    assert "description" not in old.api("acme-crm")["apiDefinition"]["info"]
    assert (await old.rig.plan(specs)).is_empty


NAMES = st.sampled_from(["enabled", "type", "style", "scopes", "properties", "default", "title"])
VALUES = st.sampled_from([True, False, None, "", "x", 0, 1, "FORM"])
TREES: st.SearchStrategy[Any] = st.recursive(
    VALUES,
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(NAMES, deeper),
    max_leaves=9,
)


@given(TREES, TREES)
@example([{"title": "x"}], [{"title": "x", "default": None}])
def test_prints_of_definitions_tell_data_apart(one: Any, other: Any) -> None:
    """What stands below a name, and what is data, counts to its last value."""
    for name in ("example", "default"):
        prints = {
            content_print({"components": {"schemas": {"S": {name: tree, "properties": {"n": {}}}}}})
            for tree in (one, other)
        }
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
        is_empty = one in EMPTY and other in EMPTY
        assert (len(prints) == 1) is (same or is_empty)
