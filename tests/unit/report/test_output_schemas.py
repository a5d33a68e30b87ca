"""Schemas of documents that are serialised by hand name exactly what is written.

That everything written is in the schema is a law (test_laws.py: the schemas are closed); here: that
everything in the schema is written by some document.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.outcomes import ReportSet
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.report.json_output import diagnostics_json, plan_json, plan_jsonl, report_json

SCHEMAS = Path(__file__).parents[3] / "schemas/output"


def declared(schema: object) -> set[str]:
    """The names of all properties of a schema."""
    found: set[str] = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", ()))
        for part in schema.values():
            found |= declared(part)
    elif isinstance(schema, list):
        for part in schema:
            found |= declared(part)
    return found


def written(document: object) -> set[str]:
    """The names of all members of a document."""
    if isinstance(document, dict):
        return set(document).union(*map(written, document.values()))
    if isinstance(document, list):
        return set().union(*map(written, document))
    return set()


@pytest.fixture
def documents(
    plans: dict[str, PlanSet],
    reports: dict[str, ReportSet],
    findings: dict[str, tuple[Diagnostic, ...]],
) -> dict[str, set[str]]:
    plan_texts = [text for plan in plans.values() for text in (plan_json(plan), *plan_jsonl(plan))]
    report_texts = [report_json(report) for report in reports.values()]
    finding_texts = [diagnostics_json(found, documents=1) for found in findings.values()]
    return {
        "plan": set().union(*(written(json.loads(text)) for text in plan_texts)),
        "report": set().union(*(written(json.loads(text)) for text in report_texts)),
        "diagnostics": set().union(*(written(json.loads(text)) for text in finding_texts)),
    }


@pytest.mark.parametrize("name", ["plan", "report", "diagnostics"])
def test_every_property_of_a_schema_is_written(name: str, documents: dict[str, set[str]]) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    assert declared(schema) - documents[name] == set()
