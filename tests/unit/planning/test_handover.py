"""Credentials move between applications in one plan, on gateways that take each key once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import Resource
from stoa_gitops.planning import PlanContext
from stoa_gitops.planning.handover import EXCHANGE
from tests.unit.planning.world import NOW, Gateway, change_of, desired, resource

State = Mapping[str, frozenset[str]]
"""Names of keys by application."""


def application(name: str, keys: frozenset[str], **hints: object) -> Resource:
    credentials = [{"type": "api_key", "key": {"$secret": f"env:{key}"}} for key in sorted(keys)]
    tree = {"credentials": credentials, "subscriptions": [{"api": "a"}]}
    return resource(Key("application", "acme", name), tree, **hints)  # type: ignore[arg-type]


def context(*keys: str) -> PlanContext:
    return PlanContext(NOW, {f"env:{key}": f"hmac-{key}" for key in keys})


ALL = "abcdef"


@dataclass
class StrictGateway(Gateway):
    """Refuses a key that another application has; notes who could call after each write."""

    served: list[dict[str, str]] = field(default_factory=list)

    def owners(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, spec in self.objects.items():
            for credential in spec.value["credentials"]:  # type: ignore[union-attr]
                name = credential["key"]["$secret"]  # type: ignore[index,call-overload]
                assert name not in found, f"{name} is that of {found[name]} and {key}"
                found[name] = key.name
        return found

    def apply_plan(self, made: Plan, *, force: bool = False) -> None:
        for change in made.changes:
            before = set(self.objects)
            one = Plan(made.gateway, made.gateway_type, made.revision, (change,))
            super().apply_plan(one)
            assert change.action is not Action.CREATE or change.key not in before
            self.served.append(self.owners())


def moved(before: State, after: State) -> StrictGateway:
    """A gateway that one plan brought from one state to another."""
    gateway = StrictGateway()
    gateway.cycle(desired(*(application(n, k) for n, k in before.items())), context(*ALL))
    gateway.served.clear()
    wanted = desired(*(application(n, k) for n, k in after.items()))
    gateway.cycle(wanted, context(*ALL))
    assert gateway.owners() == {f"env:{k}": n for n, keys in after.items() for k in keys}
    assert not gateway.cycle(wanted, context(*ALL)).changes
    return gateway


@st.composite
def states(draw: st.DrawFn) -> State:
    owners = draw(st.dictionaries(st.sampled_from(ALL), st.sampled_from("wxyz"), max_size=6))
    extra = draw(st.sets(st.sampled_from("wxyz"), min_size=1))
    names = sorted(extra | set(owners.values()))
    return {n: frozenset(k for k, owner in owners.items() if owner == n) for n in names}


@given(states(), states())
def test_one_plan_moves_every_key_and_keys_that_stay_are_never_refused(
    before: State, after: State
) -> None:
    gateway = moved(before, after)
    owners = [{f"env:{k}": n for n, keys in s.items() for k in keys} for s in (before, after)]
    stay = {key for key, name in owners[0].items() if owners[1].get(key) == name}
    for served in gateway.served:
        assert stay <= served.keys()
    # A key that moves is refused from one write to a later one, and never after that.
    for key in owners[0].keys() & owners[1].keys():
        who = [served.get(key) for served in gateway.served]
        assert who == [*(owners[0][key] for _ in who)] or _is_one_gap(who)


def _is_one_gap(who: list[str | None]) -> bool:
    phases = [name for name, before in zip(who, [object(), *who], strict=False) if name != before]
    return len(phases) <= 3 and phases[-1] is not None


@pytest.mark.parametrize(
    ("before", "after", "gaps"),
    [
        ({"old": "a"}, {"new": "a"}, 1),
        ({"x": "a", "y": "b"}, {"x": "b", "y": "a"}, 1),
        ({"x": "a", "y": "b", "z": "c"}, {"x": "b", "y": "c", "z": "a"}, 1),
        ({"x": "a", "y": "b"}, {"y": "a", "z": "b"}, 1),
        ({"x": "ab"}, {"x": "b", "y": "a"}, 1),
    ],
    ids=["rename", "swap", "cycle of three", "chain", "part"],
)
def test_a_key_that_moves_is_refused_for_one_write(
    before: dict[str, str], after: dict[str, str], gaps: int
) -> None:
    as_state = [{name: frozenset(keys) for name, keys in s.items()} for s in (before, after)]
    gateway = moved(as_state[0], as_state[1])
    for key in {k for keys in before.values() for k in keys}:
        missing = sum(f"env:{key}" not in served for served in gateway.served)
        assert missing <= gaps + (len(before) > 2)


def plan_of(gateway: Gateway, *wanted: Resource, secrets: PlanContext) -> Plan:
    return gateway.cycle(desired(*wanted), secrets)


def test_what_gets_a_key_waits_for_what_gives_it_up() -> None:
    gateway = StrictGateway()
    plan_of(gateway, application("old", frozenset("a")), secrets=context(*ALL))
    made = plan_of(gateway, application("new", frozenset("a")), secrets=context(*ALL))
    old, new = (Key("application", "acme", name) for name in ("old", "new"))
    assert [change.key for change in made.changes] == [old, new]
    assert change_of(made, new).depends_on == (old,)


def test_a_key_moves_under_another_reference() -> None:
    gateway = StrictGateway()
    same = PlanContext(NOW, {"env:a": "hmac", "env:b": "hmac"})
    plan_of(gateway, application("old", frozenset("a")), secrets=same)
    made = plan_of(gateway, application("new", frozenset("b")), secrets=same)
    assert [change.action for change in made.changes] == [Action.DELETE, Action.CREATE]


def test_a_renamed_application_gives_up_its_key_first() -> None:
    gateway = StrictGateway()
    old = Key("application", "acme", "old")
    plan_of(gateway, application("old", frozenset("a")), secrets=context(*ALL))
    new = application("new", frozenset("a"), moved_from=old)
    made = plan_of(gateway, new, secrets=context(*ALL))
    assert [change.action for change in made.changes] == [Action.DELETE, Action.CREATE]
    assert made.changes[0].depends_on == ()


def test_without_records_an_application_that_goes_goes_first() -> None:
    gateway = StrictGateway()
    plan_of(gateway, application("old", frozenset("a")), secrets=context(*ALL))
    gateway.records.clear()
    made = plan_of(gateway, application("new", frozenset("a")), secrets=context(*ALL))
    assert [change.action for change in made.changes] == [Action.DELETE, Action.CREATE]
    assert made.changes[1].depends_on == ()


def test_an_exchange_says_that_an_application_is_written_twice() -> None:
    gateway = moved(
        {"x": frozenset("a"), "y": frozenset("b")}, {"x": frozenset("a"), "y": frozenset("b")}
    )
    made = plan_of(
        gateway,
        application("x", frozenset("b")),
        application("y", frozenset("a")),
        secrets=context(*ALL),
    )
    first, second, third = made.changes
    assert first.reason == EXCHANGE
    assert first.key == third.key != second.key
    assert (second.depends_on, third.depends_on) == ((first.key,), (second.key,))
    assert _keys(first) == []


def _keys(change: Change) -> list[object]:
    assert change.resource is not None
    return [c["key"] for c in change.resource.spec.value["credentials"]]  # type: ignore[union-attr,index,call-overload]
