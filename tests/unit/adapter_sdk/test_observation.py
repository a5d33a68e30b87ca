"""Lists of an adapter become objects, which stay identical between two observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import list_item
from stoa_gitops.adapter_sdk.observation import Items, ObservationCache, observed_objects
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord

ONE, TWO = Key("api", "acme", "one"), Key("api", "acme", "two")


def item(key: Key, *, version: str = "1", managed: bool = True) -> dict[str, Any]:
    return list_item(key, {"version": version}, f"id-{key.name}", managed=managed)


def record(key: Key, version: str = "1") -> AppliedRecord:
    return AppliedRecord(key, Spec.of({"version": version}), f"id-{key.name}", "main@1")


def test_an_object_that_equals_its_record_shares_its_parts() -> None:
    mine = record(ONE)
    (seen,) = observed_objects([item(ONE)], {ONE: mine})
    assert seen.key is mine.key
    assert seen.spec is mine.spec
    assert seen.gateway_id is mine.gateway_id


def test_an_object_that_differs_from_its_record_is_what_the_gateway_says() -> None:
    (seen,) = observed_objects([item(ONE, version="2")], {ONE: record(ONE)})
    assert seen.spec == Spec.of({"version": "2"})


def test_an_unmarked_object_is_ours_only_under_the_recorded_id() -> None:
    items = [item(ONE, managed=False), item(TWO, managed=False)]
    records = {ONE: record(ONE), TWO: AppliedRecord(TWO, record(TWO).spec, "other", "main@1")}
    assert [seen.managed for seen in observed_objects(items, records)] == [True, False]
    assert observed_objects(items, records)[1].gateway_id == "id-two"


@pytest.fixture(params=[list, PackedList])
def kept(request: pytest.FixtureRequest) -> Callable[[list[dict[str, Any]]], Items]:
    """The two ways in which adapters keep their items."""
    form: Callable[[list[dict[str, Any]]], Items] = request.param
    return form


Kept = Callable[[list[dict[str, Any]]], Items]


def test_equal_items_give_the_identical_tuple_of_the_observation_before(kept: Kept) -> None:
    before = ObservationCache().refreshed([kept([item(ONE), item(TWO)])], {})
    after = before.refreshed([kept([item(TWO), item(ONE)])], {})
    assert after.objects is before.objects


def test_one_changed_item_leaves_the_identical_objects_of_the_others(kept: Kept) -> None:
    before = ObservationCache().refreshed([kept([item(ONE), item(TWO)])], {})
    after = before.refreshed([kept([item(ONE), item(TWO, version="2")])], {})
    assert after.objects[0] is before.objects[0]
    assert after.objects[1].spec == Spec.of({"version": "2"})


def test_one_changed_list_of_several_leaves_the_objects_of_the_others(kept: Kept) -> None:
    still = kept([item(ONE)])
    before = ObservationCache().refreshed([still, kept([])], {})
    after = before.refreshed([still, kept([item(TWO)])], {})
    assert [seen.key for seen in after.objects] == [ONE, TWO]
    assert after.objects[0] is before.objects[0]


def test_identical_lists_are_no_new_observation(kept: Kept) -> None:
    lists, records = [kept([item(ONE)]), kept([item(TWO)])], {ONE: record(ONE)}
    seen = ObservationCache().refreshed(lists, records)
    assert seen.matches(lists, records)
    assert not seen.matches(lists, {})
    assert not seen.matches([lists[0], kept([item(TWO, version="2")])], records)
    assert not seen.matches(lists[:1], records)


def test_an_unmarked_object_becomes_ours_when_the_inventory_learns_of_it(kept: Kept) -> None:
    lists = [kept([item(TWO), item(ONE, managed=False)])]
    before = ObservationCache().refreshed(lists, {})
    assert [seen.managed for seen in before.objects] == [False, True]
    after = before.refreshed(lists, {ONE: record(ONE)})
    assert [seen.managed for seen in after.objects] == [True, True]
    assert after.objects[1] is before.objects[1]
    assert [seen.managed for seen in after.refreshed(lists, {}).objects] == [False, True]


@pytest.mark.parametrize("missing", ["kind", "spec", "managed"])
def test_what_is_no_object_is_refused(missing: str) -> None:
    wrong = {name: value for name, value in item(ONE).items() if name != missing}
    with pytest.raises(GatewayMalformed, match="check that baseUrl"):
        observed_objects([wrong], {})
