"""What holds for every plan, however odd its values are."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change, Direction, FieldChange, Skip, SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Report, ReportSet, Status
from stoa_gitops.model.plan import Hold, Plan, PlanSet
from stoa_gitops.model.resources import Observed, Resource, SourceRef
from stoa_gitops.report.json_output import plan_json, plan_jsonl, report_json
from stoa_gitops.report.markdown import plan_markdown
from stoa_gitops.report.plan import plan_text
from stoa_gitops.report.recap import report_text
from stoa_gitops.report.style import Style
from tests.laws import examples

SECRET = "hunter2-never-shown"

fragments = st.sampled_from(
    ["```", "~~~~", "</details>", "<details>", "|", "\n", "\r\n", "\x1b[31m", "\x9b", "\u202e",
     "`", "\ud800", "\U000e0041", "](x)", "<!--", "é", "日本", "%0A", "::", "\\", "&lt;", "@a/b",
     "\t", "a"]
)  # fmt: skip
words = st.one_of(st.text(max_size=12), st.lists(fragments, max_size=6).map("".join))
names = words.filter(bool)
keys = st.builds(
    Key, st.sampled_from(["api", "policy", "application"]), st.sampled_from(["", "acme"]), names
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
paths = st.lists(names | st.integers(0, 9), max_size=3).map(tuple)
plain_fields = st.builds(FieldChange, paths, values, values)
# Values that a careless planner left in a sensitive field, or wrote where a reference goes.
sensitive_fields = st.builds(
    FieldChange,
    paths,
    st.just(SECRET),
    st.just({"a": SECRET}),
    st.just(True),
    st.sampled_from(["changed", "not compared", ""]),
)
plain_secrets = st.builds(
    FieldChange, paths, st.just({"$secret": SECRET}), st.just([{"x": {"$secret": SECRET}}])
)
fields = st.lists(plain_fields | sensitive_fields | plain_secrets, max_size=3).map(tuple)
sources = st.builds(SourceRef, words, st.integers(1, 99), st.integers(1, 99), st.none() | words)
leaky = Spec.of({"credentials": [{"key": SECRET}]})


@st.composite
def changes(draw: st.DrawFn) -> Change:
    key = draw(keys)
    return Change(
        draw(st.sampled_from(list(Action))),
        key,
        Resource(key, leaky, draw(sources)) if draw(st.booleans()) else None,
        Observed(key, leaky, SECRET),
        draw(fields),
        draw(words),
        draw(st.sampled_from(list(Direction))),
        (key,),
        (("credentials.0.key", SECRET),),
    )


skips = st.builds(
    Skip, keys, st.sampled_from(list(SkipReason)), words, st.none() | sources, st.booleans()
)


@st.composite
def gateway_plans(draw: st.DrawFn) -> Plan:
    name = draw(names)
    if draw(st.integers(0, 4)) == 0:
        return Plan(name, "kong", "r", complete=False, error=draw(st.none() | words))
    listed = tuple(draw(st.lists(changes(), max_size=4)))
    held = tuple(change.key for change in listed[:1])
    holds = (Hold(draw(words), draw(words), held),) if draw(st.booleans()) else ()
    return Plan(
        name,
        draw(words),
        "r",
        listed,
        tuple(draw(st.lists(skips, max_size=2))),
        draw(st.integers(0, 99)),
        holds,
        title=draw(words),
        warnings=tuple(draw(st.lists(words, max_size=1))),
    )


plan_sets = st.builds(
    PlanSet,
    words,
    st.lists(gateway_plans(), max_size=3).map(tuple),
    st.integers(0, 9),
    st.none() | words,
)


@st.composite
def report_sets(draw: st.DrawFn) -> ReportSet:
    plans = draw(plan_sets)
    return ReportSet(
        plans.revision, plans.digest, tuple(draw(_report(plan)) for plan in plans.plans)
    )


@st.composite
def _report(draw: st.DrawFn, plan: Plan) -> Report:
    outcomes = tuple(
        Outcome(
            change,
            draw(st.sampled_from(list(Status))),
            draw(words),
            draw(words),
            draw(st.integers(1, 5)),
            draw(words),
            tuple(draw(st.lists(words, max_size=1))),
        )
        for change in plan.changes
    )
    return Report(plan, outcomes, draw(st.none() | words), tuple(draw(st.lists(words, max_size=1))))


styles = st.builds(Style, st.just(False), st.sampled_from([0, 1, 60, 120]), st.booleans())
Validators = Callable[[str], Draft202012Validator]
law = settings(
    examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@law
@given(plans=plan_sets)
def test_every_plan_fits_its_schema(validator: Validators, plans: PlanSet) -> None:
    validator("plan.json").validate(json.loads(plan_json(plans)))


@law
@given(plans=plan_sets)
def test_every_line_of_a_stream_fits_its_schema(validator: Validators, plans: PlanSet) -> None:
    line_validator = validator("plan.json#/$defs/line")
    lines = list(plan_jsonl(plans))
    for line in lines:
        assert line.endswith("\n")
        assert line.count("\n") == 1
        line_validator.validate(json.loads(line))
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds.count("gateway") == len(plans.plans)
    assert kinds.count("change") == sum(len(plan.changes) for plan in plans.plans)


@law
@given(reports=report_sets())
def test_every_report_fits_its_schema(validator: Validators, reports: ReportSet) -> None:
    validator("report.json").validate(json.loads(report_json(reports)))


@law
@given(plans=plan_sets)
def test_values_in_json_are_the_real_ones(plans: PlanSet) -> None:
    for plan, gateway in zip(plans.plans, json.loads(plan_json(plans))["gateways"], strict=True):
        for change, shown in zip(plan.changes, gateway.get("changes", ()), strict=True):
            for field, seen in zip(change.fields, shown["fields"], strict=True):
                assert seen["path"] == list(field.path)
                if not field.sensitive and SECRET not in str(field):
                    assert (seen["before"], seen["after"]) == (field.before, field.after)


@law
@given(reports=report_sets(), style=styles)
def test_no_secret_is_in_any_form(reports: ReportSet, style: Style) -> None:
    plans = PlanSet(reports.revision, tuple(report.plan for report in reports.reports))
    forms = [
        plan_text(plans, style),
        plan_json(plans),
        "".join(plan_jsonl(plans)),
        plan_markdown(plans),
        report_text(reports, style),
        report_json(reports),
    ]
    assert not [form for form in forms if SECRET in form]


def test_no_character_that_only_moves_others_is_shown() -> None:
    moves = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    every = "".join(
        c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in moves
    )
    shown = plan_text(PlanSet(every, ()), Style(width=80, unicode=True)).replace("\n", "")
    assert not {unicodedata.category(one) for one in shown} & moves


@law
@given(reports=report_sets(), style=styles)
def test_text_holds_nothing_that_moves_a_cursor_or_turns_the_line(
    reports: ReportSet, style: Style
) -> None:
    plans = PlanSet(reports.revision, tuple(report.plan for report in reports.reports))
    for text in (plan_text(plans, style), report_text(reports, style), plan_markdown(plans)):
        categories = {unicodedata.category(character) for character in text.replace("\n", "")}
        assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert text.endswith("\n")
    if not style.unicode:
        assert plan_text(plans, style).isascii()


@law
@given(plans=plan_sets)
def test_colour_adds_nothing_but_colour(plans: PlanSet) -> None:
    coloured = plan_text(plans, Style(colour=True, width=80, unicode=True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plan_text(plans, Style(width=80))


@law
@given(plans=plan_sets, limit=st.integers(1_000, 4_000))
def test_markdown_stays_under_the_cap_and_closes_what_it_opens(plans: PlanSet, limit: int) -> None:
    text = plan_markdown(plans, limit=limit)
    lines = text.splitlines()
    assert len(text) <= limit
    assert lines[0] == "<!-- stoa-plan -->"
    assert text.count("<details>") == text.count("</details>")
    assert text.count("<summary>") == text.count("</summary>") == text.count("<details>")
    fences = [line for line in lines if line.startswith("```")]
    assert fences == ["```diff", "```"] * text.count("<details>")
    assert text.count("```") == len(fences)


@law
@given(plans=plan_sets)
def test_text_says_every_key_and_never_calls_the_unknown_clean(plans: PlanSet) -> None:
    text = plan_text(plans, Style(width=0))
    if not plans.is_complete or not plans.plans:
        assert not text.startswith("No changes")
    for plan in plans.plans:
        assert plan.complete or "UNKNOWN" in text
        for change in plan.changes:
            assert Style().safe(change.key.short) in text
