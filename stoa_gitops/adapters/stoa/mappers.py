"""Maps canonical specs to STOA's bodies and back: APIs, policies, consumers. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.adapter_sdk.unreadable import read_each
from stoa_gitops.adapters.stoa.adoption import describe_unmapped
from stoa_gitops.adapters.stoa.consumers import consumer_of, consumers_from
from stoa_gitops.adapters.stoa.routes import apis_from, join_ids, route_id, routes_of, split_ids
from stoa_gitops.adapters.stoa.rules import Extensions, VendorObject, is_extended, owner_by_id
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.secret import Value
from stoa_gitops.model.unmapped import Unmapped

__all__ = [
    "apis_from", "consumer_of", "consumers_from", "join_ids", "policies_from", "policy_of",
    "route_id", "routes_of", "split_ids", "unmapped_from",
]  # fmt: skip


def policy_of(spec: ObjectSpec) -> dict[str, Value]:
    """Return the body of `POST /admin/policies`.

    Its name is `<tenant>/<api>.<type>`, for a policy has no field for its tenant.
    """
    api = Key(API, spec.key.tenant, str(spec.value["api"]))
    return {
        "id": spec.identifier,
        "name": spec.key.short,
        "policy_type": spec.value["type"],
        # STOA gateway 0.9.25 requires both keys, and accepts any value.
        "config": spec.value["config"],
        "priority": spec.value["priority"],
        "api_id": api.identifier(spec.owner),
    }


def policies_from(policies: Iterable[VendorObject], owner: str) -> list[ListItem]:
    """Return all policies, ours and foreign, as items of `list_policies`."""
    return read_each(POLICY, policies, lambda policy: _policy_item(policy, owner))


def _policy_item(policy: VendorObject, owner: str) -> ListItem:
    key = Key.parse_name(POLICY, policy["name"], "")
    api = key.parent
    is_known = api is not None and policy["api_id"] == api.identifier(owner)
    spec = {
        "api": api.name if api is not None and is_known else policy["api_id"],
        "type": policy["policy_type"],
        "priority": policy["priority"],
        "config": policy.get("config"),
    }
    is_ours = policy["id"] == key.identifier(owner)
    other = "" if is_ours else owner_by_id(key, policy["id"])
    return list_item(key, spec, policy["id"], managed=is_ours, owner=other)


def unmapped_from(
    routes: Iterable[VendorObject],
    policies: Iterable[VendorObject],
    owner: str,
    extensions: Extensions,
) -> tuple[Unmapped, ...]:
    """Return what no document can express of the foreign APIs, sorted."""
    listed = list(routes)
    attached: dict[str, list[VendorObject]] = {}
    for policy in policies:
        attached.setdefault(str(policy["api_id"]), []).append(policy)
    by_id = {str(route["id"]): route for route in listed}
    found: list[Unmapped] = []
    for item in apis_from(listed, owner, extensions):
        if item["managed"]:
            continue
        key = Key(API, item["tenant"], item["name"])
        ids = split_ids(item["gateway_id"])
        names = {*ids, *(str(by_id[one].get("api_id", one)) for one in ids)}
        # STOA gateway 0.9.25 never applies a policy: adopting the route changes nothing about it.
        own = [policy for name in sorted(names) for policy in attached.get(name, ())]
        enforced = own if is_extended(extensions) else ()
        found += describe_unmapped(key, item["spec"], enforced)
    return tuple(sorted(found, key=lambda one: one.order))
