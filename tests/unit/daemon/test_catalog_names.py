"""Usage and errors have the names of the catalog, and are asked for by them."""

from __future__ import annotations

from dataclasses import replace

from stoa_gitops.control.process_port import UsageAsked
from stoa_gitops.daemon.catalog_names import snapshots_with_names, with_ids, with_names
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.operations.snapshot_views import SnapshotPage
from stoa_gitops.operations.usage_views import UsagePage, UsageView
from tests.unit.control.conftest import snapshot_view
from tests.unit.reconcile.world import catalog, resource

ASKED = UsageAsked(None, None, None, None, None, None, is_total=True)
HERE = catalog(resource())
ORDERS = next(iter(HERE.desired["kong"].resources))


def used(tenant: str, api_id: str, application_id: str = "") -> UsageView:
    return UsageView(
        hour="2026-06-01T00:00:00Z", tenant_id=tenant, api_id=api_id, requests=1, errors=0,
        application_id=application_id, refused=0, received_bytes=0, sent_bytes=0, seconds=0.0,
    )  # fmt: skip


def test_what_the_catalog_has_is_named_and_what_it_has_no_more_is_not() -> None:
    own = ORDERS.identifier(HERE.owner)
    page = UsagePage(
        items=[used(ORDERS.tenant, own, "gone"), used("rival", own), used("rival", "x")],
        is_whole=True,
    )
    named = with_names(page, HERE)
    assert [(one.api_id, one.api) for one in named.items] == [
        (own, ORDERS.name), (own, ORDERS.name), ("x", ""),
    ]  # fmt: skip
    assert [one.application for one in named.items] == ["", "", ""]
    mixed = [used(ORDERS.tenant, "z"), used(ORDERS.tenant, own), used(ORDERS.tenant, "a")]
    assert [
        one.api or one.api_id
        for one in with_names(UsagePage(items=mixed, is_whole=True), HERE).items
    ] == sorted(["a", ORDERS.name, "z"])
    other = with_names(page.model_copy(update={"items": page.items[1:]}), HERE)
    assert [one.api for one in other.items] == ["", ""], "of the tenants that are shown alone"


def test_errors_name_what_the_catalog_has() -> None:
    own = ORDERS.identifier(HERE.owner)
    ids = [("acme", own), ("rival", own), ("acme", "x")]
    page = SnapshotPage(items=[snapshot_view("1", *one) for one in ids], next="1")
    named = snapshots_with_names(page, HERE)
    assert [(one.api, one.consumer) for one in named.items] == [
        (ORDERS.name, ""), (ORDERS.name, ""), ("", ""),
    ]  # fmt: skip
    assert named.next == "1"


def test_names_that_are_asked_for_are_ids_and_ids_stay() -> None:
    asked = with_ids(replace(ASKED, api="acme/orders", application="acme/mobile"), "default")
    assert asked.api == Key(API, "acme", "orders").identifier("default")
    assert asked.application == Key(APPLICATION, "acme", "mobile").identifier("default")
    ids = replace(ASKED, api="r1", application="")
    assert with_ids(ids, "default") == ids
    assert with_ids(ASKED, "default") == ASKED
