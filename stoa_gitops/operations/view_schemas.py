"""JSON Schemas (draft 2020-12) of views, for `openapi.json` and `schemas/output/`.

`python -m stoa_gitops.operations.view_schemas FOLDER` writes the schemas of all output there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from stoa_gitops.operations.authoring_views import (
    ExplanationView,
    FormatView,
    ImportView,
    InitView,
)
from stoa_gitops.operations.difference_view import DifferenceView
from stoa_gitops.operations.history_views import (
    AuditTrailView,
    EventView,
    HistoryView,
    InventoryDetailView,
    InventoryView,
)
from stoa_gitops.operations.output_views import (
    DiagnosticsView,
    Line,
    PlanView,
    ReportView,
    SavedPlanView,
)
from stoa_gitops.operations.trace_view import TraceView
from stoa_gitops.operations.views import StatusView

_OUTPUT: Final[Mapping[str, tuple[str, type[BaseModel]]]] = {
    "status": ("stoa-gitops status --output json, and GET /v1/status", StatusView),
    "plan": ("stoa-gitops plan --output json", PlanView),
    "report": ("stoa-gitops apply --output json", ReportView),
    "saved-plan": ("stoa-gitops plan --out FILE", SavedPlanView),
    "diagnostics": ("stoa-gitops validate --output json", DiagnosticsView),
    "explanation": ("stoa-gitops explain TOPIC --output json", ExplanationView),
    "difference": ("stoa-gitops diff --output json", DifferenceView),
    "history": ("stoa-gitops history --output json", HistoryView),
    "audit": ("stoa-gitops audit --output json", AuditTrailView),
    "event": ("a line of stoa-gitops events --output jsonl", EventView),
    "inventory": ("stoa-gitops state list --output json", InventoryView),
    "owned-object": ("stoa-gitops state show", InventoryDetailView),
    "format": ("stoa-gitops fmt --output json", FormatView),
    "import": ("stoa-gitops import FORM --output json", ImportView),
    "trace": ("stoa-gitops try METHOD PATH --output json", TraceView),
    "init": ("stoa-gitops init --output json", InitView),
}
"""File below `schemas/output/` -> the title of its schema, and its model."""
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Pydantic's schemas without a title for each field, and with `null` among the types."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A title that only repeats the name of a field tells nobody anything."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Write `{"type": ["string", "null"]}`, where pydantic writes an `anyOf` of two schemas."""
        inner = self.generate_inner(schema["schema"])
        if isinstance(inner.get("type"), str):
            return {**inner, "type": [inner["type"], "null"]}
        return super().nullable_schema(schema)


def component_schemas(models: Iterable[type[BaseModel]], ref: str) -> dict[str, Any]:
    """Return, by name, the schemas of models and of everything that they refer to.

    A `GatewayView` is named `Gateway`. `ref` is the address of a schema, with `{model}` in place
    of its name.
    """
    # "validation" and "serialization" are the same for models without defaults.
    pairs: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (model, "validation") for model in models
    ]
    _, document = models_json_schema(pairs, ref_template=ref, schema_generator=_Generator)
    return {_public(name): _cleaned(schema) for name, schema in document.get("$defs", {}).items()}


def component_name(model: type[BaseModel]) -> str:
    """Return the name of a model's schema among the components."""
    return _public(model.__name__)


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of one model, the schemas that it refers to under `$defs`."""
    schemas = component_schemas([model], "#/$defs/{model}")
    whole: dict[str, Any] = schemas.pop(component_name(model))
    return {**whole, "$defs": schemas} if schemas else whole


def output_schemas() -> dict[str, str]:
    """Return, by name (`plan`), the texts of the files in `schemas/output/`."""
    texts = {}
    for name, (title, model) in _OUTPUT.items():
        schema = model_schema(model)
        if name == "plan":
            # Readers of --output jsonl know it as plan.json#/$defs/line.
            line = model_schema(Line)
            schema["$defs"] = {**schema["$defs"], **line.pop("$defs"), "line": line}
        texts[name] = json.dumps({"$schema": _DIALECT, "title": title, **schema}, indent=2) + "\n"
    return texts


def _public(name: str) -> str:
    return name.removesuffix("View")


def _cleaned(schema: Any) -> Any:
    """Drop titles of models, and refer to components by their public names."""
    if isinstance(schema, list):
        return [_cleaned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A field may be called `title`, too: its schema is a mapping, and a title is a text.
    kept = {k: _cleaned(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    if isinstance(kept.get("$ref"), str):
        kept["$ref"] = _public(kept["$ref"])
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].split())  # docstrings are wrapped
    return kept


if __name__ == "__main__":
    for file_name, text in output_schemas().items():
        Path(sys.argv[1], f"{file_name}.json").write_text(text, encoding="utf-8")
