"""Keys, references, conditions, plans and reports."""

from __future__ import annotations

import pickle
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change, FieldChange, Skip, SkipReason
from stoa_gitops.model.conditions import Condition, ConditionStatus, transition
from stoa_gitops.model.keys import NAMESPACE, Key
from stoa_gitops.model.outcomes import Outcome, Report, Status
from stoa_gitops.model.plan import Hold, Plan, PlanSet
from stoa_gitops.model.resources import Resource, SourceRef
from stoa_gitops.model.secret import Secret, SecretRef

NOW = datetime(2026, 5, 1, tzinfo=UTC)
BILLING = Key("api", "acme", "billing")
CRM = Key("api", "acme", "crm")
words = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(words, st.just("") | words, words)
def test_a_key_reads_what_it_writes(kind: str, tenant: str, name: str) -> None:
    assert Key.parse(str(Key(kind, tenant, name))) == Key(kind, tenant, name)


def test_a_name_in_a_document_is_of_its_own_tenant_or_of_a_named_one() -> None:
    assert Key.parse_name("api", "billing", "acme") == BILLING
    assert Key.parse_name("api", "acme/billing", "globex") == BILLING
    assert Key.parse_name("policy", "loose", "") == Key("policy", "", "loose")


def test_a_policy_knows_its_api_and_its_type_by_its_name() -> None:
    limit = BILLING.policy("rate_limit")
    assert str(limit) == "policy/acme/billing.rate_limit"
    assert (limit.parent, limit.policy_type) == (BILLING, "rate_limit")
    assert Key("api", "acme", "v1.billing").policy("cors").parent == Key(
        "api", "acme", "v1.billing"
    )
    assert BILLING.parent is None
    assert Key("policy", "acme", "loose").parent is None


@pytest.mark.parametrize(
    "text", ["", "api", "api/acme", "api/acme/a/b", "api//a", "/acme/a", "api/acme/"]
)
def test_what_is_no_key_is_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(ValueError, match="write kind/tenant/name"):
        Key.parse(text)


def test_a_key_under_a_heading_leaves_out_its_kind() -> None:
    assert BILLING.short == "acme/billing"
    assert Key("alias", "", "echo").short == "echo"


def test_identifiers_are_stable_and_differ_by_owner_key_and_part() -> None:
    assert BILLING.identifier("default") == "b3588b74-4361-53ee-8c6f-e328615b8060"
    others = {
        BILLING.identifier("other"),
        CRM.identifier("default"),
        BILLING.identifier("default", "route-1"),
        BILLING.identifier("default"),
    }
    assert len(others) == 4


@given(owner=st.text(max_size=9), tenant=st.text(max_size=9), name=st.text(max_size=9))
def test_identifiers_are_the_uuids_of_the_standard(owner: str, tenant: str, name: str) -> None:
    expected = uuid.uuid5(NAMESPACE, f"{owner}|api|{tenant}|{name}|part")
    assert Key("api", tenant, name).identifier(owner, "part") == str(expected)


@pytest.mark.parametrize("text", ["env:NAME", "file:/a:b", "vault:kv/a#k", "k8s:ns/s#k"])
def test_a_reference_reads_what_it_writes(text: str) -> None:
    assert str(SecretRef.parse(text)) == text


@pytest.mark.parametrize("text", ["", "env:", "NAME", "http:x", ":x"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a secret reference"):
        SecretRef.parse(text)


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret!s} {secret:>20} {[secret]}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert secret == Secret("hunter2")
    assert secret != Secret("other")


def condition(status: ConditionStatus, at: datetime) -> Condition:
    return Condition("Ready", status, "Because", "", 1, at)


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    later = NOW + timedelta(hours=1)
    old = condition(ConditionStatus.TRUE, NOW)
    assert transition(old, condition(ConditionStatus.TRUE, later)).last_transition == NOW
    assert transition(old, condition(ConditionStatus.UNKNOWN, later)).last_transition == later
    assert transition(None, condition(ConditionStatus.TRUE, later)).last_transition == later


def change(key: Key = BILLING, action: Action = Action.CREATE, value: int = 1) -> Change:
    resource = Resource(key, Spec.of({"v": value}), SourceRef("a.yaml", 3, 7))
    return Change(action, key, None if action is Action.DELETE else resource)


def plan(*changes: Change, gateway: str = "g") -> Plan:
    return Plan(gateway, "kong", "main@1", changes)


def test_places_are_written_short_and_full() -> None:
    source = SourceRef("a.yaml", 3, 7)
    assert (str(source), source.full) == ("a.yaml:3", "a.yaml:3:7")
    assert FieldChange(("routes", 0, "path"), 1, 2).dotted == "routes.0.path"
    assert change().source == source
    assert change(action=Action.DELETE).source is None


def test_a_plan_that_could_not_be_made_is_not_empty() -> None:
    assert plan().is_empty
    assert not replace(plan(), complete=False, error="down").is_empty
    assert not plan(change()).is_empty


def test_a_plan_counts_by_action() -> None:
    made = plan(change(), change(CRM), change(action=Action.DELETE))
    assert made.counts == {"create": 2, "delete": 1}
    assert made.count(Action.CREATE) == 2
    assert replace(made, holds=(Hold("r", "m", (CRM,)),)).held_keys == {CRM}


def digest(*plans: Plan, revision: str = "r") -> str:
    return PlanSet(revision, plans).digest


def test_the_digest_knows_no_order_revision_words_or_skips() -> None:
    one, two = plan(change(), change(CRM)), plan(change(), gateway="h")
    skipped = replace(one, skipped=(Skip(BILLING, SkipReason.POLICY, "no"),), unchanged=7)
    worded = replace(one, changes=(replace(change(), reason="because"), change(CRM)))
    expected = digest(one, two)
    assert digest(two, one) == digest(plan(change(CRM), change()), two) == expected
    assert digest(one, two, revision="other") == expected
    assert digest(skipped, two) == digest(worded, two) == expected


@pytest.mark.parametrize(
    "other",
    [
        plan(change(value=2)),
        plan(change(CRM)),
        plan(change(action=Action.UPDATE)),
        plan(change(), gateway="h"),
        plan(replace(change(), secret_hmacs=(("a", "b"),))),
        plan(),
    ],
)
def test_the_digest_knows_what_would_be_done(other: Plan) -> None:
    assert digest(other) != digest(plan(change()))


def test_a_set_of_plans_is_as_complete_and_empty_as_its_plans() -> None:
    unread = replace(plan(), complete=False)
    assert PlanSet("r", (plan(), plan())).is_empty
    assert not PlanSet("r", (plan(), unread)).is_complete
    assert not PlanSet("r", (plan(), unread)).is_empty
    assert PlanSet("r", (plan(change()), plan(change()))).count(Action.CREATE) == 2


@pytest.mark.parametrize(
    ("report", "is_converged"),
    [
        (Report(plan()), True),
        (Report(plan(change()), (Outcome(change(), Status.APPLIED),)), True),
        (Report(plan(change()), (Outcome(change(), Status.FAILED),)), False),
        (Report(plan(change()), (Outcome(change(), Status.BLOCKED),)), False),
        (Report(plan(), error="down"), False),
        (Report(replace(plan(), complete=False)), False),
        (
            Report(
                replace(
                    plan(),
                    skipped=(Skip(BILLING, SkipReason.UNSUPPORTED, "", is_failure=True),),
                )
            ),
            False,
        ),
    ],
)
def test_a_report_is_converged_when_all_that_was_desired_is_there(
    report: Report, is_converged: bool
) -> None:
    assert report.is_converged is is_converged
