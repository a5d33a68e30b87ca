"""Reports: outcomes, recap and their schema."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator

from stoa_gitops.model.outcomes import Report, ReportSet
from stoa_gitops.report.json_output import report_json
from stoa_gitops.report.recap import report_text
from stoa_gitops.report.style import Style
from stoa_gitops.report.summary import ReportVerdict, report_verdict

WIDE = Style(width=110)


def test_the_recap_has_the_form_that_ansible_users_know(reports: dict[str, ReportSet]) -> None:
    assert report_text(reports["forced"], WIDE) == (
        "kong-eu : ok=8 changed=4 unreachable=0 failed=0 skipped=0 quarantined=0 blocked=0\n"
    )


def test_what_went_plainly_is_not_told(reports: dict[str, ReportSet]) -> None:
    lines = report_text(reports["converged"], WIDE).splitlines()
    assert [line.split(" : ")[0].strip() for line in lines] == ["kong-prod", "gravitee-prod"]


def test_a_refusal_has_the_vendors_words_and_its_place(reports: dict[str, ReportSet]) -> None:
    lines = report_text(reports["mixed"], WIDE).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("  quarantined"))
    assert lines[at].endswith("tenants/acme/apis/orders/api.yaml:1:1")
    assert "schema violation (routes.1.methods: expected a set of strings)" in lines[at + 1]


def test_held_changes_are_named_until_a_person_forces_them(reports: dict[str, ReportSet]) -> None:
    assert "To go on with 3 changes" in report_text(reports["mixed"], WIDE)
    assert "--force" not in report_text(reports["forced"], WIDE)


def test_every_case_fits_its_schema(
    validator: Callable[[str], Draft202012Validator],
    report_case: str,
    reports: dict[str, ReportSet],
) -> None:
    validator("report.json").validate(json.loads(report_json(reports[report_case])))


def test_the_digest_is_the_one_that_was_applied(reports: dict[str, ReportSet]) -> None:
    assert json.loads(report_json(reports["converged"]))["digest"] == "9c" * 32


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("converged", ReportVerdict.CONVERGED),
        ("forced", ReportVerdict.CONVERGED),
        ("mixed", ReportVerdict.PARTIAL),
        ("unreachable", ReportVerdict.UNREACHABLE),
        ("nothing", ReportVerdict.CONVERGED),
    ],
)
def test_a_verdict_is_what_the_exit_code_is_made_of(
    case: str, expected: ReportVerdict, reports: dict[str, ReportSet]
) -> None:
    assert report_verdict(reports[case]) is expected


def test_a_held_change_that_was_not_tried_is_not_converged(reports: dict[str, ReportSet]) -> None:
    held = reports["mixed"].reports[3]
    alone = ReportSet("r", "9c" * 32, (held,))
    assert report_verdict(alone) is ReportVerdict.PARTIAL
    assert json.loads(report_json(alone))["recap"][0]["converged"] is False


def test_a_warning_of_the_plan_is_not_told_again(reports: dict[str, ReportSet]) -> None:
    plan = reports["mixed"].reports[1].plan
    report = Report(plan, (), warnings=(*plan.warnings, "something new"))
    text = report_text(ReportSet("r", "", (report,)), WIDE)
    assert plan.warnings[0] not in text
    assert text.count("something new") == 1
