"""Names of the catalog for ids by which gateways count and keep, and ids for names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from stoa_gitops.control.process_port import UsageAsked
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.operations.snapshot_views import SnapshotPage
from stoa_gitops.operations.usage_views import UsagePage


def api_id(text: str | None, owner: str) -> str | None:
    """Return the id of an API of an owner's catalog, `acme/orders`; an id stays what it is."""
    return _identifier(text, API, owner)


def with_ids(asked: UsageAsked, owner: str) -> UsageAsked:
    """Return the same with ids in the place of names."""
    return replace(
        asked,
        api=api_id(asked.api, owner),
        application=_identifier(asked.application, APPLICATION, owner),
    )


def _identifier(text: str | None, kind: str, owner: str) -> str | None:
    tenant, slash, name = (text or "").partition("/")
    return Key(kind, tenant, name).identifier(owner) if slash else text


def with_names(page: UsagePage, catalog: Catalog) -> UsagePage:
    """Return the rows with the names of what the catalog has now, in their order."""
    names = _names(catalog, {one.tenant_id for one in page.items})
    items = [
        one.model_copy(
            update={
                "api": names.get(one.api_id, ""),
                "application": names.get(one.application_id, ""),
            }
        )
        for one in page.items
    ]
    # Gateways give them in the order of ids, which nobody sees.
    items.sort(
        key=lambda one: (
            one.hour, one.tenant_id, one.api or one.api_id, one.application or one.application_id,
        )
    )  # fmt: skip
    return page.model_copy(update={"items": items})


def snapshots_with_names(page: SnapshotPage, catalog: Catalog) -> SnapshotPage:
    """Return the snapshots with the names of what the catalog has now."""
    names = _names(catalog, {one.tenant_id for one in page.items})
    items = [
        one.model_copy(
            update={
                "api": names.get(one.api_id, ""),
                "consumer": names.get(one.consumer_id or "", ""),
            }
        )
        for one in page.items
    ]
    return page.model_copy(update={"items": items})


def _names(catalog: Catalog, tenants: Collection[str]) -> Mapping[str, str]:
    """Return names of APIs and applications of some tenants by their ids on gateways.

    Of 10,000 APIs it takes some 50 ms.
    """
    keys = {
        key
        for desired in catalog.desired.values()
        for key in desired.resources
        if key.tenant in tenants and key.kind in (API, APPLICATION)
    }
    return {key.identifier(catalog.owner): key.name for key in keys}
