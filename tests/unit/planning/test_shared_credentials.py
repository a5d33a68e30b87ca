"""One key for two applications: who keeps it, and what is said to whom."""

from __future__ import annotations

import pytest

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.planning import BrokenScope, PlanContext, find_shared
from tests.unit.planning.world import NOW, desired, observed, plan, record, resource

MINE = Key("application", "acme", "mobile")
OWN = Key("application", "acme", "web")
EVIL = Key("application", "evil", "guess")
HMACS = {"env:A": "h1", "env:B": "h1", "env:C": "h2", "env:NOWHERE": None}


def app(reference: str, kind: str = "api_key", field: str = "key") -> JsonObject:
    credential = {"type": kind, field: {"$secret": reference}}
    return {"credentials": [credential], "subscriptions": []}


def applied(key: Key, reference: str, hmac: str) -> object:
    return record(key, app(reference), secret_hmacs={"credentials.0.key": hmac})


def shared(*apps: tuple[Key, JsonObject], last: dict[Key, object] | None = None) -> dict[Key, str]:
    wanted = desired(*(resource(key, spec) for key, spec in apps))
    return find_shared(wanted, last or {}, HMACS, BrokenScope())  # type: ignore[arg-type]


def test_two_of_one_tenant_are_told_of_each_other() -> None:
    found = shared((MINE, app("env:A")), (OWN, app("env:B")))
    assert found == {
        MINE: f"has the key of {OWN}; give each its own",
        OWN: f"has the key of {MINE}; give each its own",
    }


def test_a_tenant_is_not_told_whose_key_it_has() -> None:
    found = shared((MINE, app("env:A")), (EVIL, app("env:B")))
    assert set(found) == {MINE, EVIL}
    assert "acme" not in found[EVIL]
    assert "evil" not in found[MINE]


def test_the_one_that_has_it_keeps_it() -> None:
    last = {MINE: applied(MINE, "env:A", "h1")}
    assert set(shared((MINE, app("env:A")), (EVIL, app("env:B")), last=last)) == {EVIL}
    last = {MINE: applied(MINE, "env:A", "an-older-one")}
    assert set(shared((MINE, app("env:A")), (EVIL, app("env:B")), last=last)) == {MINE, EVIL}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (app("env:A"), app("env:C")),
        (app("env:A"), app("env:NOWHERE")),
        (app("env:NOWHERE"), app("env:NOWHERE")),
        (app("env:A"), app("env:B", "basic", "username")),
        (app("env:A", "basic", "password"), app("env:B", "basic", "password")),
    ],
)
def test_what_tells_them_apart_is_fine(one: JsonObject, other: JsonObject) -> None:
    assert shared((MINE, one), (OWN, other)) == {}


@pytest.mark.parametrize(("kind", "field"), [("basic", "username"), ("jwt", "clientId")])
def test_what_identifies_counts_for_each_type(kind: str, field: str) -> None:
    assert len(shared((MINE, app("env:A", kind, field)), (OWN, app("env:B", kind, field)))) == 2


def test_what_stands_in_for_a_broken_document_keeps_its_key() -> None:
    wanted = desired(resource(EVIL, app("env:B")))
    last = {MINE: applied(MINE, "env:A", "h1")}
    broken = BrokenScope(tenants=frozenset({"acme"}))
    assert set(find_shared(wanted, last, HMACS, broken)) == {EVIL}  # type: ignore[arg-type]
    assert find_shared(wanted, last, HMACS, BrokenScope()) == {}  # type: ignore[arg-type]


def test_a_held_application_stays_as_it_is() -> None:
    context = PlanContext(NOW, HMACS, shared={OWN: "has the key of another"})
    made = plan(
        [resource(MINE, app("env:A")), resource(OWN, app("env:B"))],
        [observed(OWN, app("env:B"))],
        context=context,
    )
    assert [change.key for change in made.changes] == [MINE]
    (skip,) = made.skipped
    assert (skip.key, skip.reason, skip.is_failure) == (OWN, SkipReason.CREDENTIAL, True)
    assert "stays live" in skip.explanation
