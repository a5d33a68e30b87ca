"""Names of the catalog for the ids by which gateways count, and ids for names that are given."""

from __future__ import annotations

from dataclasses import replace

from stoa_gitops.control.process_port import UsageAsked
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.operations.usage_views import UsagePage


def with_ids(asked: UsageAsked, owner: str) -> UsageAsked:
    """Return the same with ids in the place of names: `acme/orders` is an API of `acme`."""
    return replace(
        asked,
        api=_identifier(asked.api, API, owner),
        application=_identifier(asked.application, APPLICATION, owner),
    )


def _identifier(text: str | None, kind: str, owner: str) -> str | None:
    tenant, slash, name = (text or "").partition("/")
    return Key(kind, tenant, name).identifier(owner) if slash else text


def with_names(page: UsagePage, catalog: Catalog) -> UsagePage:
    """Return the rows with the names of what the catalog has now."""
    tenants = {one.tenant_id for one in page.items}
    keys = {
        key
        for desired in catalog.desired.values()
        for key in desired.resources
        if key.tenant in tenants and key.kind in (API, APPLICATION)
    }
    names = {key.identifier(catalog.owner): key.name for key in keys}
    items = [
        one.model_copy(
            update={
                "api": names.get(one.api_id, ""),
                "application": names.get(one.application_id, ""),
            }
        )
        for one in page.items
    ]
    return page.model_copy(update={"items": items})
