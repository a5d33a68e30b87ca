"""Findings, read by the tools that they are made for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.report.finding_text import dotted_path, repository_path
from stoa_gitops.report.findings import catalog_text, diagnostics_text
from stoa_gitops.report.github import diagnostics_github
from stoa_gitops.report.json_output import diagnostics_json
from stoa_gitops.report.junit import diagnostics_junit
from stoa_gitops.report.sarif import diagnostics_sarif
from stoa_gitops.report.style import Style
from stoa_gitops.report.summary import has_errors

Findings = dict[str, tuple[Diagnostic, ...]]
TERMINAL = Style(width=80, excerpts=True)


def _finding(message: str, **more: object) -> Diagnostic:
    return Diagnostic(Severity.ERROR, "schema.type", message, SourceRef("a.yaml", 6, 13), **more)  # type: ignore[arg-type]


def test_an_error_looks_as_the_design_page_has_it(findings: Findings) -> None:
    first = diagnostics_text(findings["mixed"], Style()).splitlines()[0]
    assert first == (
        "tenants/acme/apis/billing/api.yaml:6:13: "
        "error[schema.type] spec.backend.url: 42 is not a string"
    )


def test_the_field_is_not_said_twice() -> None:
    text = diagnostics_text([_finding("spec.x: 42 is no string", pointer="/spec/x")], Style())
    assert "error[schema.type] spec.x: 42 is no string\n" in text


def test_the_summary_counts_documents(findings: Findings) -> None:
    text = diagnostics_text(findings["mixed"], Style(), documents=25)
    assert "\n3 errors and 1 warning in 3 files (25 documents read)\n" in text


def test_the_last_line_is_the_command_that_explains_the_first_codes(findings: Findings) -> None:
    last = diagnostics_text(findings["mixed"], Style()).splitlines()[-1]
    assert last == "More: stoa-gitops explain schema.type schema.unknown-key secret.plain"
    assert "explain" not in diagnostics_text([], Style())


def test_the_caret_stands_under_the_place(findings: Findings) -> None:
    lines = diagnostics_text(findings["mixed"], TERMINAL).splitlines()
    assert lines[1].index("42") == lines[2].index("^^")


def test_a_long_line_is_shown_around_the_caret() -> None:
    line = "x" * 300 + "BAD" + "y" * 300
    finding = Diagnostic(Severity.ERROR, "c.d", "m", SourceRef("a.yaml", 1, 301), "", "", line, 3)
    shown, caret = diagnostics_text([finding], TERMINAL).splitlines()[1:3]
    assert len(shown) <= 80
    assert shown.index("BAD") == caret.index("^^^")


def test_a_secret_in_the_source_line_is_not_shown(findings: Findings) -> None:
    assert "hunter2" not in diagnostics_text(findings["mixed"], TERMINAL)


def test_a_valid_catalog_says_what_it_holds() -> None:
    catalog = Catalog("default", "main@3f2a91c", None, tenants=("acme",), documents=25)
    assert catalog_text(catalog, Style()) == (
        "main@3f2a91c is valid: 25 documents, 1 tenant, 0 gateways.\n"
    )


def test_an_invalid_catalog_is_not_called_valid(findings: Findings) -> None:
    catalog = Catalog("default", "r", None, documents=25, diagnostics=findings["mixed"])
    assert "is valid" not in catalog_text(catalog, Style())


def test_every_case_fits_its_schema(
    validator: Callable[[str], Draft202012Validator], finding_case: str, findings: Findings
) -> None:
    document = json.loads(diagnostics_json(findings[finding_case], documents=25))
    validator("diagnostics.json").validate(document)
    assert document["valid"] is not has_errors(findings[finding_case])


def test_junit_is_xml_with_a_case_for_each_file(finding_case: str, findings: Findings) -> None:
    root = ET.fromstring(diagnostics_junit(findings[finding_case], prefix="catalog"))
    suite = root.find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    paths = {finding.source.path for finding in findings[finding_case]}
    assert int(suite.attrib["tests"]) == len(cases) == max(len(paths), 1)
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
    assert not paths or all(case.attrib["name"].startswith("catalog/") for case in cases)
    # What jenkins-junit.xsd (xunit-plugin, junit-10) has, and nothing beside.
    assert root.attrib.keys() <= {"name", "time", "tests", "failures", "errors"}
    assert all(case.attrib.keys() <= {"classname", "name", "time"} for case in cases)


def test_junit_tells_every_error_of_a_file_in_one_failure(findings: Findings) -> None:
    root = ET.fromstring(diagnostics_junit(findings["mixed"]))
    failure = root.find(".//testcase[@name='tenants/acme/apis/billing/api.yaml']/failure")
    assert failure is not None
    assert failure.attrib["message"] == "6:13 spec.backend.url: 42 is not a string (and 1 more)"
    assert [line.split(" ")[0] for line in str(failure.text).strip().splitlines()] == [
        "6:13:", "9:5:",
    ]  # fmt: skip


def test_sarif_results_point_to_their_rules_and_places(
    finding_case: str, findings: Findings
) -> None:
    log = json.loads(diagnostics_sarif(findings[finding_case], prefix="deploy/catalog/"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    assert len(run["results"]) == len(findings[finding_case])
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
        uri = place["artifactLocation"]["uri"]
        assert uri.startswith("deploy/catalog/tenants/")
        assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", uri)
        assert place["region"]["endColumn"] > place["region"]["startColumn"] >= 1


def test_a_path_survives_its_uri(findings: Findings) -> None:
    log = json.loads(diagnostics_sarif(findings["hostile"]))
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in log["runs"][0]["results"]
    ]
    assert "tenants/é/b c.yaml" in {unquote(uri, errors="replace") for uri in uris}


def test_a_sarif_message_holds_no_placeholder_and_no_link() -> None:
    log = json.loads(
        diagnostics_sarif([_finding("{0} and {env: X}, [here](https://evil.example)")])
    )
    (result,) = log["runs"][0]["results"]
    assert result["message"]["text"] == "{{0}} and {env: X}, \\[here](https://evil.example)"


def test_fingerprints_stay_when_lines_move() -> None:
    one = Diagnostic(Severity.ERROR, "a.b", "m", SourceRef("a.yaml", 1, 1), "/x")
    moved = Diagnostic(Severity.ERROR, "a.b", "m", SourceRef("a.yaml", 9, 4), "/x")
    other = Diagnostic(Severity.ERROR, "a.b", "m", SourceRef("a.yaml", 1, 1), "/y")

    def fingerprint(finding: Diagnostic) -> str:
        (result,) = json.loads(diagnostics_sarif([finding]))["runs"][0]["results"]
        return str(result["partialFingerprints"])

    assert fingerprint(one) == fingerprint(moved) != fingerprint(other)


def test_an_annotation_is_one_command_and_says_what_was_said() -> None:
    finding = Diagnostic(
        Severity.WARNING,
        "a.b",
        "50% of\n::error::x, y: z",
        SourceRef("t/a:b,c%.yaml", 3, 4),
        hint="do this",
    )
    assert diagnostics_github([finding], prefix="./catalog/") == (
        "::warning file=catalog/t/a%3Ab%2Cc%25.yaml,line=3,col=4,endColumn=5,title=a.b::"
        "50%25 of\\n::error::x, y: z%0Ado this\n"
    )


def test_errors_come_before_warnings_in_annotations(findings: Findings) -> None:
    lines = diagnostics_github(findings["mixed"]).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning"]


@pytest.mark.parametrize("prefix", ["", ".", "./", "/"])
def test_the_root_of_the_repository_needs_no_prefix(prefix: str) -> None:
    assert repository_path("a/b.yaml", prefix) == "a/b.yaml"


def test_a_pointer_reads_as_a_path() -> None:
    assert dotted_path("/spec/routes/0/a~1b~0c") == "spec.routes.0.a/b~c"
    assert dotted_path("/spec/~01") == "spec.~1"


def test_strict_makes_a_warning_count(findings: Findings) -> None:
    warning = [f for f in findings["mixed"] if f.severity is Severity.WARNING]
    assert not has_errors(warning)
    assert has_errors(warning, strict=True)
    assert not has_errors([], strict=True)
