"""A published table in the words of STOA's internal API (contract stoa.md §2.2, §16.3). Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from stoa_proxy.policies import POLICIES

from stoa_gitops.catalog.evaluation.backend_urls import Backend, denial_reason, literal_addresses
from stoa_gitops.fleet.binding import Binding
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import NAMESPACE

View: TypeAlias = Mapping[str, Any]
"""An object as the data plane's admin API shows it."""

NOTHING_YET: Final = (
    "the catalog has nothing for it, so what it asks for is answered 503, and it is not ready"
)
"""Said of a gateway for which nothing was published: an empty table would delete what it has."""

_KINDS: Final = ("apis", "policies", "consumers")


def read_objects(lines: bytes) -> Iterator[tuple[str, View]]:
    """Yield kind and view of each object of a table."""
    for line in lines.splitlines():
        yield from json.loads(line).items()


def route_items(lines: bytes, instance: GatewayInstance, generation: int) -> list[JsonObject]:
    """Return the items of `GET /v1/internal/gateways/routes`, sorted by id.

    `instance` is the gateway; it says which backends the catalog lets through.
    """
    return [
        {
            "id": view["id"],
            # The name of the API, as the real control plane sends it; not our id of it.
            "api_id": view["name"].partition("#")[0],
            "deployment_id": deployment_id(instance.registration_id, view["id"]),
            "gateway_instance_id": instance.registration_id,
            "name": view["name"],
            "tenant_id": view["tenant_id"],
            "path_prefix": view["path_prefix"],
            "backend_url": view["backend_url"],
            "methods": view["methods"],
            "spec_hash": view["spec_hash"],
            "activated": view["activated"],
            "generation": generation,
            "trusted_backend": _is_trusted(view["backend_url"], instance),
        }
        for kind, view in read_objects(lines)
        # One whose credential is not here is for a gateway that keeps what it has of it.
        if kind == "apis" and not view.get("keep")
    ]


def deployment_items(
    routes: Iterable[JsonObject], *, applied: Container[str], failed: Container[str]
) -> list[JsonObject]:
    """Return the items of `pending_deployments`; `applied` and `failed` have ids of deployments."""

    def state(name: object) -> str:
        if name in applied:
            return "synced"
        return "failed" if name in failed else "pending"

    return [
        {
            "id": route["deployment_id"],
            "api_catalog_id": route["id"],
            "sync_status": state(route["deployment_id"]),
            "desired_state": route,
            "sync_attempts": 0,
        }
        for route in routes
    ]


def policy_items(lines: bytes) -> list[JsonObject]:
    """Return the items of `pending_policies`; a config that may hold a credential is left out."""
    return [
        {
            "id": view["id"],
            "name": view["name"],
            "policy_type": view["policy_type"],
            "config": view["config"] if _is_public(view) else {},
            "priority": view["priority"],
            "enabled": True,
        }
        for kind, view in read_objects(lines)
        if kind == "policies" and not view.get("keep")
    ]


def _is_public(view: View) -> bool:
    return POLICIES.is_public(view["policy_type"], view["config"])


def api_items(lines: bytes) -> list[JsonObject]:
    """Return the items of `GET /v1/internal/catalog/apis`: one per API, sorted by id."""
    return [
        {"id": view["id"], "name": view["name"], "backend_url": view["backend_url"]}
        for kind, view in read_objects(lines)
        if kind == "apis" and not view.get("keep") and "#" not in view["name"]
    ]


def object_ids(lines: bytes, gateway_id: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return every id that a gateway may acknowledge, and those of the deployments among them."""
    ids, deployments = set(), set()
    for kind, view in read_objects(lines):
        ids.add(view["id"])
        if kind == "apis":
            deployments.add(deployment_id(gateway_id, view["id"]))
    return frozenset(ids | deployments), frozenset(deployments)


@lru_cache(maxsize=20_000)  # 4 µs each, and a table has mostly the routes of the one before
def deployment_id(gateway_id: str, route_id: str) -> str:
    """Return the id by which a gateway acknowledges one route: the same one each time."""
    return str(uuid.uuid5(NAMESPACE, f"deployment|{gateway_id}|{route_id}"))


def _is_trusted(url: str, instance: GatewayInstance) -> bool:
    """Whether a backend is a literal address that the catalog lets through.

    The real gateway refuses private ones otherwise; at names it does not look.
    """
    host = urlsplit(url).hostname or ""
    addresses = literal_addresses(host)
    return bool(addresses) and not denial_reason(Backend((), host, addresses), instance)


def never_asks_message(binding: Binding) -> str:
    """Return what is wrong with a gateway that did not fetch, and what to do."""
    if binding.registration.has_table:
        return "it has not asked for its table since it started"
    return (
        "it has not asked for its routes since it started, and its document has no auth to write "
        "them: set "
        "STOA_ROUTE_RELOAD_ENABLED=true on the gateway, or STOA_ADMIN_API_TOKEN there and auth "
        f"with registration.networks in {binding.document.source}"
    )
