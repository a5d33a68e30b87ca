"""Views are the one source of status documents: on the wire, in openapi.json and in the schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stoa_gitops.control import openapi
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.operations.view_schemas import output_schemas
from stoa_gitops.operations.views import (
    ConditionView,
    CycleView,
    GatewayDetailView,
    GatewayView,
    QuarantinedView,
)
from stoa_gitops.store import Cycle, Quarantined, Scope
from tests.unit.store.world import CRM

SCHEMAS = Path(__file__).parents[3] / "schemas/output"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GATEWAY = GatewayView(
    name="kong-prod",
    type="kong",
    environment="prod",
    status="ONLINE",
    bound=True,
    suspended=False,
    revision="main@1",
    cycles=3,
    recap={"ok": 1},
    conditions=[ConditionView.of(Condition("InSync", ConditionStatus.TRUE, "Applied", "", 1, NOW))],
)


def test_the_schemas_of_output_are_made_from_the_models() -> None:
    stored = {file.stem: file.read_text("utf-8") for file in SCHEMAS.glob("*.json")}
    assert stored == output_schemas(), (
        "regenerate them: python -m stoa_gitops.operations.view_schemas schemas/output"
    )


def test_a_detail_on_the_wire_has_the_names_and_the_form_of_times_that_readers_know() -> None:
    cycle = Cycle(1, Scope("x", "kong-prod", "http://k"), "me", "main@1", "d", NOW, NOW, None)
    refused = Quarantined(CRM, "d", "3.5", "too long", NOW, source=SourceRef("a.yaml", 2, 3))
    detail = GatewayDetailView.extend(
        GATEWAY,
        objects=2,
        quarantined=[QuarantinedView.of(refused)],
        last_cycle=CycleView.of(cycle),
    )
    time = "2026-05-01T12:00:00+00:00"
    assert detail.document() == {
        "name": "kong-prod", "type": "kong", "environment": "prod", "status": "ONLINE",
        "bound": True, "suspended": False, "revision": "main@1", "cycles": 3, "recap": {"ok": 1},
        "conditions": [
            {"type": "InSync", "status": "True", "reason": "Applied", "message": "",
             "lastTransition": time}
        ],
        "registration": None,
        "objects": 2,
        "quarantined": [
            {"key": str(CRM), "words": "too long", "since": time,
             "source": {"path": "a.yaml", "line": 2, "column": 3}}
        ],
        "lastCycle": {
            "revision": "main@1", "digest": "d", "actor": "me", "startedAt": time,
            "finishedAt": time, "error": None, "outcomes": {},
        },
    }  # fmt: skip


def test_a_view_takes_no_field_that_its_schema_has_not() -> None:
    with pytest.raises(ValidationError):
        GatewayView.model_validate({**GATEWAY.document(), "extra": 1})


def test_openapi_describes_the_status_and_its_parts_by_the_same_schemas() -> None:
    components: dict[str, Any] = openapi.document()["components"]["schemas"]
    schema = json.loads((SCHEMAS / "status.json").read_text("utf-8"))
    for name, part in schema["$defs"].items():
        assert json.dumps(components[name]).replace("components/schemas", "$defs") == json.dumps(
            part
        )
    assert components["Status"]["required"] == schema["required"]
