"""The comment of a pull request, read by a Markdown parser."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.report.comment import COMMENT_LIMIT
from stoa_gitops.report.escape import code_span, neutralise
from stoa_gitops.report.markdown import plan_markdown
from stoa_gitops.report.markdown_findings import findings_markdown


def _tokens(text: str) -> list[Token]:
    parser = MarkdownIt("commonmark").enable("table")
    return [t for block in parser.parse(text) for t in (block, *(block.children or ()))]


def test_foreign_text_becomes_no_markup(plan_case: str, plans: dict[str, PlanSet]) -> None:
    tokens = _tokens(plan_markdown(plans[plan_case]))
    kinds = {token.type for token in tokens}
    assert not kinds & {"link_open", "image", "html_inline", "em_open", "hr", "blockquote_open"}
    html = [t.content for t in tokens if t.type == "html_block"]
    ours = ("<!-- stoa-plan -->", "<details>\n<summary><code>", "</details>")
    assert all(block.startswith(ours) for block in html)


def test_each_changed_gateway_has_one_fold_with_one_diff(
    plan_case: str, plans: dict[str, PlanSet]
) -> None:
    tokens = _tokens(plan_markdown(plans[plan_case]))
    touched = [plan for plan in plans[plan_case].plans if plan.changes or plan.skipped]
    if plan_case == "huge":  # cut inside the first
        touched = touched[:1]
    assert [t.info for t in tokens if t.type == "fence"] == ["diff"] * len(touched)


def test_the_table_has_a_row_for_each_gateway_and_the_same_cells_in_each(
    plan_case: str, plans: dict[str, PlanSet]
) -> None:
    tokens = _tokens(plan_markdown(plans[plan_case]))
    rows = sum(token.type == "tr_open" for token in tokens)
    cells = sum(token.type in {"td_open", "th_open"} for token in tokens)
    assert rows == (len(plans[plan_case].plans) + 1 if plans[plan_case].plans else 0)
    assert cells == rows * 7


def test_deletes_stand_outside_the_fold_in_bold(plans: dict[str, PlanSet]) -> None:
    before, _, _ = plan_markdown(plans["rich"]).partition("<details>")
    assert "**Delete on `kong-prod`: `api/acme/legacy-crm`**" in before


def test_findings_take_the_place_of_a_plan_and_become_no_markup(
    findings: dict[str, tuple[Diagnostic, ...]],
) -> None:
    hostile = Diagnostic(
        Severity.ERROR,
        "schema.type",
        "@everyone [x](http://evil.example) ``` <b>",
        SourceRef("a`<img>.yaml", 6, 13),
        hint="| # write *this*",
    )
    text = findings_markdown([hostile, *findings["mixed"]], prefix="ops")
    assert text.startswith("<!-- stoa-plan -->\n## Plan: none, the catalog has ")
    assert "`ops/tenants/acme/apis/billing/api.yaml:6:13`" in text
    kinds = {token.type for token in _tokens(text)}
    assert not kinds & {"link_open", "image", "html_inline", "em_open", "fence", "td_open"}
    assert len(findings_markdown([hostile] * 1_000)) <= COMMENT_LIMIT
    assert "**Cut here:**" in findings_markdown([hostile] * 1_000)


def test_a_long_plan_is_cut_with_a_note(plans: dict[str, PlanSet]) -> None:
    text = plan_markdown(plans["huge"])
    assert COMMENT_LIMIT - 200 < len(text) <= COMMENT_LIMIT
    assert text.endswith("`stoa-gitops plan` shows all.\n")
    assert "</details>\n\n**Cut here:** " in text


def test_a_plan_that_fits_is_not_cut(plans: dict[str, PlanSet]) -> None:
    whole = plan_markdown(plans["huge"], limit=10**9)
    assert "Cut here" not in whole
    assert plan_markdown(plans["huge"], limit=len(whole)) == whole
    assert "Cut here" in plan_markdown(plans["huge"], limit=len(whole) - 1)


@pytest.mark.parametrize("text", ["a`b", "``", "`", "", " ", "x```y", "a\nb", "<b>"])
def test_a_code_span_is_one_code_span(text: str) -> None:
    tokens = _tokens(f"x {code_span(text)} y")
    kinds = [token.type for token in tokens]
    assert kinds.count("code_inline") == 1
    assert "html_inline" not in kinds


def test_inert_leaves_plain_text_alone() -> None:
    assert neutralise("a < b, `c`, ``d`` and 1 <2") == "a < b, `c`, ``d`` and 1 <2"
