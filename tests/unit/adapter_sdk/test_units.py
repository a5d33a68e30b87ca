"""Which changes of a plan are one change: an API, its policies, and who has rights to it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.units import MAX_CALL, MAX_UNIT, pack, split_units
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import Key
from tests.unit.adapter_sdk.scripted import create, delete, key_of


def names(units: list[tuple[Change, ...]]) -> list[list[str]]:
    return [[change.key.name for change in unit] for unit in units]


def subscribed(name: str, *apis: str) -> Change:
    change = create(key_of(name, "application"))
    assert change.resource is not None
    spec = Spec.of({"subscriptions": [{"api": api} for api in apis]})
    return replace(change, resource=replace(change.resource, spec=spec))


def test_an_api_is_one_with_its_policies_and_those_who_subscribe() -> None:
    changes = [
        create(key_of("a")), create(key_of("b")), create(key_of("a.cors", "policy")),
        subscribed("mobile", "a"), delete(key_of("a.rate_limit", "policy")),
        delete(key_of("c.cors", "policy")), create(key_of("other", "scope")),
    ]  # fmt: skip
    assert names(split_units(changes)) == [
        ["a", "a.cors", "mobile", "a.rate_limit"], ["b"], ["c.cors"], ["other"],
    ]  # fmt: skip


def test_an_application_of_another_tenant_is_no_part_of_an_apis_change() -> None:
    """What is wrong with it must not hold up the API."""
    api = create(key_of("a"))
    other = subscribed("m", f"{api.key.tenant}/a")
    foreign = replace(other, key=Key("application", "globex", "m"), depends_on=(api.key,))
    assert names(split_units([api, foreign])) == [["a"], ["m"]]


def test_what_waits_for_each_other_is_one() -> None:
    changes = [create(key_of("a")), create(key_of("b"), key_of("a")), create(key_of("c"))]
    assert names(split_units(changes)) == [["a", "b"], ["c"]]


def test_applications_of_a_tenant_are_one_for_their_keys_may_pass_on() -> None:
    changes = [subscribed("m"), subscribed("n")]
    assert names(split_units(changes)) == [["m", "n"]]


def test_what_is_too_large_to_be_one_is_split_into_apis() -> None:
    apis = [f"a{number}" for number in range(MAX_UNIT)]
    changes = [create(key_of(name)) for name in apis]
    changes += [create(key_of(f"{name}.cors", "policy")) for name in apis]
    units = split_units([*changes, subscribed("m", *apis)])
    assert names(units) == [*([name, f"{name}.cors"] for name in apis), ["m"]]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", ".cors", ".mock"]))))
def test_units_hold_every_change_once_in_the_order_of_the_plan(
    wanted: list[tuple[str, str]],
) -> None:
    keys = dict.fromkeys(key_of(n + p, "policy" if p else "api") for n, p in wanted)
    changes = [create(key) for key in keys]
    units = split_units(changes)
    assert sorted(id(one) for unit in units for one in unit) == sorted(map(id, changes))
    for unit in units:
        assert [changes.index(one) for one in unit] == sorted(changes.index(one) for one in unit)
        assert len({one.key.parent or one.key for one in unit}) == 1
    calls = list(pack(units * 20))
    assert [one for call in calls for one in call] == [one for unit in units * 20 for one in unit]
    assert all(len(call) <= MAX_CALL for call in calls)
