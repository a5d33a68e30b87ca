"""Maps the backend of an API to Kong's service, upstream and target, and back. Pure.

Kong's service has no field for plans (they are enforced per consumer), so they are in its tags.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, JsonTree
from stoa_gitops.adapters.kong.entities.tags import (
    INCOMPLETE_TAG,
    entity_name,
    owner_tag,
    parse_pairs,
    tag_values,
    upstream_name,
)
from stoa_gitops.adapters.kong.mapping.addresses import PORTS, Address, address_of
from stoa_gitops.adapters.kong.mapping.balancing import (
    balanced_name,
    balancing_losses,
    compile_targets,
    read_targets,
    target_address,
)
from stoa_gitops.adapters.kong.mapping.grouping import ApiEntities
from stoa_gitops.adapters.kong.mapping.hosts import host_fault
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.model.canonical import canonical_duration, duration_ms
from stoa_gitops.model.losses import Loss

STUB: Final = "not-written-yet.invalid"
"""Host of a service whose API is not written yet; it has no routes either."""

RATES: Final[Mapping[str, str]] = {
    "perSecond": "second", "perMinute": "minute", "perDay": "day", "perMonth": "month",
    "burst": "burst",
}  # fmt: skip

SUBSCRIBED_TAG: Final = "stoa-access:subscribed"
"""Tag of a service whose API lets in only consumers that subscribe."""

_TIMEOUTS: Final = ("connect_timeout", "read_timeout", "write_timeout")
_LONGEST: Final = 2**31 - 2  # milliseconds; the bound of Kong's timeouts


def backend_losses(backend: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong cannot say of a backend, its credential apart."""
    if "targets" in backend:
        for target in backend["targets"]:
            yield from _url_losses(target["url"], ("backend", "targets"))
        yield from balancing_losses(backend)
    else:
        yield from _url_losses(backend["url"], ("backend", "url"))
    if "fallback" in backend:
        yield Loss(
            "Kong has no other backend for the time when one fails", at=("backend", "fallback")
        )
    if not 0 < duration_ms(backend["timeout"]) <= _LONGEST:
        yield Loss(
            f"the timeout {backend['timeout']}: Kong takes 1ms to {_LONGEST}ms",
            at=("backend", "timeout"),
        )


def _url_losses(url: str, at: tuple[str, str]) -> Iterator[Loss]:
    try:
        address = address_of(url)
    except Inexpressible as error:
        yield Loss(str(error), at=at)
        return
    if address.protocol not in PORTS:
        yield Loss("Kong's services are written for http and https only", at=at)
    fault = host_fault(address.host)
    if fault:
        yield Loss(f"Kong refuses the backend's host {address.host}: {fault}", at=at)


def plan_losses(plans: list[Mapping[str, Any]]) -> Iterator[Loss]:
    """Yield what Kong does not do of plans."""
    names = [plan["name"] for plan in plans if "burst" in plan]
    if names:
        message = f"burst of the plan {', '.join(names)}: Kong's windows have no second measure"
        yield Loss(message, is_partial=True, at=("plans",))


def compile_backend(parts: ApiParts, owner: str) -> list[Entity]:
    """Return the service, and upstream and target where a policy needs them."""
    service: JsonTree = {
        "id": parts.service_id,
        "name": entity_name(parts.key),
        "tags": [owner_tag(owner)],
    }
    address = _put_api(service, parts.api)
    upstream: Entity | None = None
    for policy_type, config in parts.policies.items():
        mapping = MAPPINGS.get(policy_type)
        if mapping is None:
            continue
        if mapping.write_service is not None:
            mapping.write_service(service, config, parts)
        if mapping.compile_upstream is not None:
            upstream = mapping.compile_upstream(parts, config, owner)
    if parts.api is not None and "targets" in parts.api["backend"]:  # type: ignore[operator]
        service["host"] = balanced_name(parts)
        return [Entity.of("services", service), *compile_targets(parts, upstream, owner)]
    if upstream is None:
        return [Entity.of("services", service)]
    out = [upstream]
    if address is not None:
        # A service whose host is the name of an upstream is sent to the upstream's targets.
        service["host"] = upstream_name(entity_name(parts.key))
        target = {
            "id": parts.key.identifier(owner, "target|0"),
            "tags": [owner_tag(owner)],
            "target": address.authority,
            "upstream": {"id": upstream.id},
        }
        out.append(Entity.of("targets", target))
    return [Entity.of("services", service), *out]


def _put_api(service: JsonTree, api: Mapping[str, Any] | None) -> Address | None:
    if api is None:
        service |= {"host": STUB, "port": 80}
        service["tags"].append(INCOMPLETE_TAG)
        return None
    backend = api["backend"]
    address = address_of(backend["url"])
    service["host"] = address.host
    service["port"] = address.port
    if address.protocol != "http":
        service["protocol"] = address.protocol
    if address.path:
        service["path"] = address.path
    timeout = duration_ms(backend["timeout"])
    # Kong's defaults (60000 ms, 5 retries) are not written: the document must stay small.
    if timeout != 60_000:
        service |= dict.fromkeys(_TIMEOUTS, timeout)
    if backend["retries"] != 5:
        service["retries"] = backend["retries"]
    service["tags"].extend(_plan_tag(plan) for plan in api["plans"])
    if "access" in api:
        service["tags"].append(SUBSCRIBED_TAG)
    return address


def _plan_tag(plan: Mapping[str, Any]) -> str:
    rates = [f" {word}={plan[name]}" for name, word in RATES.items() if name in plan]
    return f"stoa-plan:{plan['name']}{''.join(rates)}"


def read_backend(found: ApiEntities, service: JsonTree, policies: Collection[str]) -> JsonTree:
    """Return `url`, `timeout` and `retries` of the backend.

    `policies` are the types that were read.
    """
    upstream = found.upstream
    protocol = service.get("protocol", "http")
    host, port = str(service.get("host", "")), int(service.get("port", 80))
    path = service.get("path") or ""
    path = "" if path == "/" else path
    # The name of an upstream that others made stays: behind it there may be more than one backend.
    is_ours = any(MAPPINGS[name].compile_upstream is not None for name in policies)
    if is_ours and upstream is not None and host == upstream.get("name"):
        first = str(found.targets[0]["target"]) if found.targets else STUB
        held = target_address(protocol, first, port, path)
        host, port = held.host, held.port
    address = Address(protocol, host.strip("[]").lower(), port, path)
    backend = {
        "url": address.url,
        "timeout": canonical_duration(f"{service.get('read_timeout', 60_000)}ms"),
        "retries": service.get("retries", 5),
    }
    if upstream is not None and service.get("host") == upstream.get("name"):
        backend |= read_targets(upstream, found.targets, protocol, port, path)
    for restore in _RESTORE_BACKEND:
        backend |= restore(service)
    return backend


_RESTORE_BACKEND: Final = [
    mapping.restore_backend for mapping in MAPPINGS.values() if mapping.restore_backend
]


def read_plans(service: JsonTree) -> list[JsonTree]:
    """Return the plans that a service's tags hold."""
    plans = []
    for text in tag_values(service, "plan"):
        name, words = parse_pairs(text)
        rates = {field: int(words[w]) for field, w in RATES.items() if words.get(w, "").isdecimal()}
        plans.append({"name": name, **rates})
    return sorted(plans, key=lambda plan: str(plan["name"]))
