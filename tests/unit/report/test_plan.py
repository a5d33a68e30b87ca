"""Plans as text and JSON: what stands where, and what is never claimed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator, ValidationError

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change, Direction, FieldChange
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Hold, Plan, PlanSet
from stoa_gitops.model.resources import Resource, SourceRef
from stoa_gitops.report.json_output import plan_json
from stoa_gitops.report.markdown import plan_markdown
from stoa_gitops.report.plan import plan_text
from stoa_gitops.report.style import Style
from stoa_gitops.report.summary import Verdict, plan_verdict

Validators = Callable[[str], Draft202012Validator]
WIDE = Style(width=110)

DESIGN = """\
Plan for main@3f2a91c (tenants: 4, gateways: 2)

kong-prod   kong 3.5 (document writes)                              1 create, 1 update, \
1 delete, 12 unchanged
  + api     acme/billing              tenants/acme/apis/billing/api.yaml:1
  ~ policy  acme/billing-rate-limit   tenants/acme/policies/rate-limit.yaml:4
        requests          1000 -> 500
        window            "1m" -> "30s"
        upstream.api_key  (sensitive, changed)
  - api     acme/legacy-crm           removed from the catalog in 3f2a91c
  ! api     acme/partner-feed         skipped: exists but is not managed; run \
`stoa-gitops adopt kong-prod api/acme/partner-feed`

gravitee-prod   gravitee 4.6                                        no changes, 13 unchanged

1 to create, 1 to update, 1 to delete, 1 skipped on 1 of 2 gateways.
Digest {digest}. Apply exactly this plan: stoa-gitops apply --digest {digest}
"""


def test_a_plan_looks_as_the_design_page_has_it(plans: dict[str, PlanSet]) -> None:
    rich = plans["rich"]
    assert plan_text(rich, WIDE) == DESIGN.format(digest=rich.digest[:8])


def test_a_rotated_secret_is_neither_a_change_in_git_nor_drift(validator: Validators) -> None:
    key = Key("application", "acme", "mobile")
    source = SourceRef("tenants/acme/applications/mobile.yaml")
    field = FieldChange(("credentials", 0, "key"), None, None, sensitive=True, note="changed")
    change = Change(
        Action.UPDATE,
        key,
        Resource(key, Spec.of({}), source),
        fields=(field,),
        direction=Direction.SECRET,
    )
    plans = PlanSet("r", (Plan("kong-prod", "kong", "r", (change,)),))
    text = plan_text(plans, WIDE)
    assert "applications/mobile.yaml:1 (secret changed)\n" in text
    assert "in Git" not in text
    document = json.loads(plan_json(plans))
    validator("plan.json").validate(document)
    assert document["gateways"][0]["changes"][0]["direction"] == "secret-changed"


def test_a_clean_plan_is_one_line(plans: dict[str, PlanSet]) -> None:
    assert plan_text(plans["clean"], WIDE) == "No changes. 2 gateways match main@3f2a91c.\n"


def test_a_warning_keeps_a_clean_plan_from_being_one_line() -> None:
    plan = Plan("kong-prod", "kong", "r", warnings=("the admin port is open to everybody",))
    text = plan_text(PlanSet("r", (plan,)), WIDE)
    assert "warning: the admin port is open to everybody" in text
    assert "No changes on the 1 gateway observed." in text


def test_a_base_plan_offers_nothing_to_apply(plans: dict[str, PlanSet]) -> None:
    text = plan_text(plans["base"], WIDE)
    assert text.startswith("Plan for main@3f2a91c against main@77b01d4 (no gateway was asked)\n")
    assert "stoa-gitops apply" not in text


def test_an_unobserved_gateway_says_why_and_lists_nothing(plans: dict[str, PlanSet]) -> None:
    document = json.loads(plan_json(plans["incomplete"]))
    kong, gravitee = document["gateways"]
    assert kong["complete"] is True
    assert gravitee["complete"] is False
    assert gravitee["error"].startswith("https://apim.example.test:8083 did not answer")
    assert not gravitee.keys() & {"changes", "skipped", "holds", "unchanged"}
    assert document["complete"] is False


def test_the_schema_refuses_an_empty_list_for_an_unknown_one(
    validator: Validators, plans: dict[str, PlanSet]
) -> None:
    document = json.loads(plan_json(plans["incomplete"]))
    document["gateways"][1]["changes"] = []
    with pytest.raises(ValidationError):
        validator("plan.json").validate(document)


def test_the_schema_is_closed(validator: Validators, plans: dict[str, PlanSet]) -> None:
    document = json.loads(plan_json(plans["rich"]))
    validator("plan.json").validate(document)
    document["gateways"][0]["changes"][1]["fields"][0]["surprise"] = 1
    with pytest.raises(ValidationError):
        validator("plan.json").validate(document)


def test_every_case_fits_its_schema(
    validator: Validators, plan_case: str, plans: dict[str, PlanSet]
) -> None:
    validator("plan.json").validate(json.loads(plan_json(plans[plan_case])))


def test_json_has_sorted_keys_and_is_ascii(plan_case: str, plans: dict[str, PlanSet]) -> None:
    text = plan_json(plans[plan_case])
    assert text.isascii()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_a_held_change_is_marked_and_its_way_out_named(plans: dict[str, PlanSet]) -> None:
    text = plan_text(plans["held"], WIDE)
    assert text.count("(held)") == 3
    assert "stoa-gitops apply --gateway kong-eu --force" in text
    document = json.loads(plan_json(plans["held"]))
    assert [c["held"] for c in document["gateways"][0]["changes"]] == [False, True, True, True]
    assert document["summary"]["held"] == 3


def test_advice_is_not_given_twice() -> None:
    hold = Hold("BaseUrlChanged", "the base URL changed: look, then apply with --force")
    plan = Plan("kong-prod", "kong", "r", holds=(hold,))
    assert plan_text(PlanSet("r", (plan,)), WIDE).count("--force") == 1


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("rich", Verdict.CHANGES),
        ("clean", Verdict.CLEAN),
        ("incomplete", Verdict.INCOMPLETE),
        ("nothing-observed", Verdict.INCOMPLETE),
        ("held", Verdict.HELD),
        ("only-skips", Verdict.SKIPS),
        ("empty-catalog", Verdict.NO_GATEWAY),
    ],
)
def test_a_verdict_names_the_most_urgent(
    case: str, expected: Verdict, plans: dict[str, PlanSet]
) -> None:
    assert plan_verdict(plans[case]) is expected


def test_two_long_values_show_where_they_differ() -> None:
    common = "https://billing.internal/" + "a" * 200
    fields = (FieldChange(("backend", "url"), f"{common}1{common}", f"{common}2{common}"),)
    plan = Plan("kong", "kong", "r", (Change(Action.UPDATE, Key("api", "a", "b"), fields=fields),))
    (line,) = [x for x in plan_text(PlanSet("r", (plan,)), WIDE).splitlines() if "backend" in x]
    before, _, after = line.partition(" -> ")
    assert "a1h" in before
    assert "a2h" in after
    assert len(line) <= 110


def test_lines_of_changed_fields_fit_the_terminal(plans: dict[str, PlanSet]) -> None:
    lines = plan_text(plans["every-action"], Style(width=80)).splitlines()
    fields = [line for line in lines if line.startswith("        ")]
    assert fields
    assert max(map(len, fields)) <= 80


def test_no_width_means_no_cut() -> None:
    long = "x" * 5_000
    fields = (FieldChange(("description",), long, None),)
    plan = Plan("kong", "kong", "r", (Change(Action.UPDATE, Key("api", "a", "b"), fields=fields),))
    assert long in plan_text(PlanSet("r", (plan,)), Style(width=0))


def test_wide_characters_keep_columns_in_line() -> None:
    changes = tuple(Change(Action.CREATE, Key("api", "a", name)) for name in ("日本", "abcd"))
    plan = Plan("kong", "kong", "r", tuple(changes))
    lines = plan_text(PlanSet("r", (plan,)), WIDE).splitlines()
    assert lines[3:5] == ["  + api  a/日本", "  + api  a/abcd"]


def test_the_fields_of_what_is_created_are_shown_on_demand(validator: Validators) -> None:
    spec = Spec.of(
        {
            "auth": {"type": "bearer", "token": {"$secret": "env:TOKEN"}},
            "password": "hunter22",
            "routes": [{"path": "/pay", "methods": ["GET"]}],
        }
    )
    key = Key("api", "acme", "pay")
    change = Change(Action.CREATE, key, Resource(key, spec, SourceRef("a.yaml")))
    plans = PlanSet("r", (Plan("edge", "stoa", "r", (change,)),))
    assert "routes" not in plan_text(plans, WIDE)
    digest = plans.digest
    text = plan_text(plans, WIDE, with_created=True)
    assert '        routes.0.path     "/pay"\n' in text
    assert '        routes.0.methods  ["GET"]\n' in text
    assert "env:TOKEN" in text
    assert "hunter22" not in text
    document = json.loads(plan_json(plans, with_created=True))
    validator("plan.json").validate(document)
    listed = [field["path"] for field in document["gateways"][0]["changes"][0]["fields"]]
    assert ["routes", 0, "path"] in listed
    assert "/pay" in plan_markdown(plans, with_created=True)
    assert plans.digest == digest


def test_a_hold_says_what_is_live_meanwhile() -> None:
    key = Key("api", "acme", "pay")
    change = Change(Action.DELETE, key)
    hold = Hold("PruneBudget", "too many", (key,))
    plans = PlanSet("r", (Plan("edge", "stoa", "r", (change,), holds=(hold,)),))
    assert "Meanwhile api/acme/pay stays as it is on the gateway." in plan_text(plans, WIDE)
    assert "Meanwhile api/acme/pay stays as it is" in plan_markdown(plans)
