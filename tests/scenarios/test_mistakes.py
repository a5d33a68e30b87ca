"""One mistake anywhere never lessens what the callers of other documents get."""

from __future__ import annotations

from functools import cache

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog import Reader
from stoa_gitops.catalog.sources.base import Problem
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.planning import BrokenScope, PlanContext
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood, fill_from_last_good
from tests.scenarios.mistakes import (
    CART,
    GOOD,
    LIMIT,
    MISTAKES,
    MOBILE,
    UNREADABLE,
    Files,
    replaced,
)
from tests.unit.planning.world import NOW, Gateway

GATEWAY = "edge"
MOBILE_KEY = Key("application", "shop", "mobile")
ONLY_KEY = Key("application", "guest", "only")


def tree(files: Files) -> FolderTree:
    problems = [
        Problem(path, "file.read", "cannot be read") for path in files if files[path] == UNREADABLE
    ]
    there = {path: data for path, data in files.items() if data != UNREADABLE}
    ids = {path: blob_id(data) for path, data in there.items()}
    return FolderTree(ids, there, tuple(problems))


def read(files: Files) -> Catalog:
    return Reader(gateway_types=gateway_types()).read(tree(files))


@cache
def good() -> Catalog:
    catalog = read(GOOD)
    assert not catalog.errors, catalog.errors
    return catalog


def edited(*mistakes: str) -> Files:
    files = dict(GOOD)
    for name in mistakes:
        MISTAKES[name](files)
    return files


@cache
def with_mistake(name: str) -> Catalog:
    return read(edited(name))


def applied(catalog: Catalog, name: str = GATEWAY) -> Gateway:
    """A gateway to which a catalog was applied."""
    gateway = Gateway()
    gateway.cycle(catalog.desired[name])
    assert Key("api", "shop", "cart") in gateway.objects
    return gateway


def cycle(gateway: Gateway, catalog: Catalog, name: str = GATEWAY) -> Plan:
    return gateway.cycle(catalog.desired[name], PlanContext(NOW, broken=BrokenScope.of(catalog)))


@pytest.mark.parametrize("name", MISTAKES)
def test_everything_that_is_live_stays(name: str) -> None:
    """In a process, and after its restart: both have the store and the last good gateways."""
    before = good()
    broken = fill_from_last_good(with_mistake(name), LastKnownGood.of(before))
    assert broken.errors
    for place in (GATEWAY, "spare"):
        gateway = applied(before, place)
        live = dict(gateway.objects)
        for _ in range(2):
            cycle(gateway, broken, place)
            assert gateway.objects == live


@pytest.mark.parametrize("name", MISTAKES)
def test_everything_stays_where_only_the_valid_parts_are_applied_and_the_store_is_lost(
    name: str,
) -> None:
    broken = with_mistake(name)
    gateway = applied(good())
    live = dict(gateway.objects)
    gateway.records.clear()
    for _ in range(2 if broken.gateway(GATEWAY) else 0):
        cycle(gateway, broken)
        assert gateway.objects == live


@pytest.mark.parametrize("name", MISTAKES)
def test_a_gateway_that_lost_everything_gets_everything_back(name: str) -> None:
    before = good()
    gateway = applied(before)
    live = dict(gateway.objects)
    gateway.objects.clear()
    broken = fill_from_last_good(with_mistake(name), LastKnownGood.of(before))
    cycle(gateway, broken)
    assert gateway.objects == live


def test_a_plan_says_what_stays_as_last_applied_and_because_of_what() -> None:
    broken = read(edited("an unknown field of a policy"))
    plan = cycle(applied(good()), broken)
    messages = {skip.key: skip.message for skip in plan.skipped}
    assert all(skip.reason is SkipReason.CATALOG_BROKEN for skip in plan.skipped)
    because = f"because of the error in {LIMIT}:7"
    cart = messages[Key("api", "shop", "cart")]
    assert cart.startswith(f"stays as last applied (at working tree), {because}")
    kept = f"what it has of api/shop/cart stays as last applied, {because}"
    assert messages[MOBILE_KEY].startswith(kept)
    assert messages[ONLY_KEY] == messages[MOBILE_KEY]
    assert not plan.changes


def test_what_an_application_changes_is_applied_while_an_api_of_another_tenant_is_broken() -> None:
    gateway = applied(good())
    files = edited("an unknown field of a policy")
    path = "tenants/guest/applications/both.yaml"
    replaced(path, "spec:\n", "spec:\n  displayName: Next\n")(files)
    cycle(gateway, read(files))
    both = gateway.objects[Key("application", "guest", "both")].value
    assert both["displayName"] == "Next"
    assert [s["api"] for s in both["subscriptions"]] == ["maps", "shop/cart"]  # type: ignore[index,union-attr,call-overload]


def test_a_subscription_that_is_taken_back_ends_while_the_api_is_broken() -> None:
    gateway = applied(good())
    files = edited("an unknown field of a policy")
    replaced(MOBILE, "    - {api: cart, plan: gold}\n", "")(files)
    cycle(gateway, read(files))
    mobile = gateway.objects[MOBILE_KEY].value
    assert [s["api"] for s in mobile["subscriptions"]] == ["search"]  # type: ignore[index,union-attr,call-overload]


def test_a_new_application_gets_what_is_known() -> None:
    gateway = applied(good())
    del gateway.objects[MOBILE_KEY], gateway.records[MOBILE_KEY]
    cycle(gateway, read(edited("an unknown field of a policy")))
    assert [s["api"] for s in gateway.objects[MOBILE_KEY].value["subscriptions"]] == ["search"]  # type: ignore[index,union-attr,call-overload]


def test_what_no_mistake_touches_follows_its_documents() -> None:
    gateway = applied(good())
    files = edited(f"an unknown field: {CART}")
    replaced("tenants/guest/apis/maps/api.yaml", "maps.example", "atlas.example")(files)
    replaced("tenants/shop/apis/news/api.yaml", "news.example", "press.example")(files)
    cycle(gateway, read(files))
    specs = {key.name: spec for key, spec in gateway.objects.items() if key.kind == "api"}
    assert b"atlas.example" in specs["maps"].raw
    assert b"press.example" in specs["news"].raw


def test_a_mistake_in_one_tenant_is_no_error_of_another() -> None:
    paths = [path for path in GOOD if path.startswith("tenants/shop/")]
    for path in paths:
        files = dict(GOOD)
        files[path] = b"kind: [\n"
        assert read(files).broken_tenants <= {"shop"}, path
