"""Several backends of an API as targets of an upstream of Kong, and back. Pure.

The upstream has a name of its own beside that of a circuit breaker's: a target is unique in its
upstream, so what moves from one form to the other is never refused, and never away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, JsonTree
from stoa_gitops.adapters.kong.entities.tags import entity_name, owner_tag, tag_values
from stoa_gitops.adapters.kong.mapping.addresses import Address, address_of, normal_url
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.model.losses import Loss

_WORD: Final = "backends"
_ROUND_ROBIN: Final = "round-robin"
_ALGORITHMS: Final = {
    "weighted": _ROUND_ROBIN, "round_robin": _ROUND_ROBIN, "least_connections": "least-connections",
}  # fmt: skip
_USUAL_WEIGHT: Final = 100


def balanced_name(parts: ApiParts) -> str:
    """Return the name of the upstream with several targets; Kong wants a host name."""
    return f"{entity_name(parts.key)}.backends"


def compile_targets(parts: ApiParts, checked: Entity | None, owner: str) -> list[Entity]:
    """Return upstream and targets of an API with several backends.

    `checked` is the upstream that a circuit breaker asks for, whose checks hold for each target.
    """
    assert parts.api is not None, "only an API has backends"
    backend: Any = parts.api["backend"]
    tree: JsonTree = checked.tree if checked is not None else {"tags": [owner_tag(owner)]}
    tree |= {"id": parts.key.identifier(owner, _WORD), "name": balanced_name(parts)}
    tree["tags"].append(f"stoa-{_WORD}:{backend['loadBalancing']}")
    # Kong's defaults are not written: the document must stay small.
    if _ALGORITHMS[backend["loadBalancing"]] != _ROUND_ROBIN:
        tree["algorithm"] = _ALGORITHMS[backend["loadBalancing"]]
    upstream = Entity.of("upstreams", tree)
    return [upstream, *_targets(parts, backend["targets"], upstream.id, owner)]


def _targets(
    parts: ApiParts, targets: list[Mapping[str, Any]], upstream: str, owner: str
) -> Iterator[Entity]:
    for one in targets:
        authority = address_of(one["url"]).authority
        target: JsonTree = {
            "id": parts.key.identifier(owner, f"target|{authority}"),
            "tags": [owner_tag(owner)],
            "target": authority,
            "upstream": {"id": upstream},
        }
        if one["weight"] != _USUAL_WEIGHT:
            target["weight"] = one["weight"]
        yield Entity.of("targets", target)


def read_targets(
    upstream: JsonTree, targets: list[JsonTree], protocol: str, port: int, path: str
) -> JsonTree:
    """Return `url`, `targets` and `loadBalancing` of an upstream of ours with several targets.

    Nothing for any other upstream.
    """
    algorithm = next(tag_values(upstream, _WORD), None)
    if algorithm is None or not targets:
        return {}
    found = [
        {
            "url": target_address(protocol, str(target["target"]), port, path).url,
            "weight": int(target.get("weight", _USUAL_WEIGHT)),
        }
        for target in targets
    ]
    found.sort(key=lambda target: str(target["url"]))
    return {"url": found[0]["url"], "targets": found, "loadBalancing": algorithm}


def target_address(protocol: str, target: str, port: int, path: str) -> Address:
    """Return the address of a target; `port` is the service's, for one without a port."""
    host, colon, digits = target.rpartition(":")
    if not (colon and digits.isdecimal()):
        host, digits = target, str(port)
    return Address(protocol, host.strip("[]").lower(), int(digits), path)


def stored_targets(backend: JsonTree) -> None:
    """Give the URLs of several backends the spelling and the order in which Kong gives them back.

    Does nothing for one backend.
    """
    if "targets" not in backend:
        return
    targets = [{**one, "url": normal_url(one["url"])} for one in backend["targets"]]
    targets.sort(key=lambda one: str(one["url"]))
    backend |= {"url": targets[0]["url"], "targets": targets}


def balancing_losses(backend: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong cannot say of several backends, each of which it can say alone."""
    at = ("backend", "targets")
    if backend["loadBalancing"] not in _ALGORITHMS:
        message = f"{backend['loadBalancing']}: Kong's open source balances in turn or by load"
        yield Loss(message, at=("backend", "loadBalancing"))
    try:
        addresses = [address_of(target["url"]) for target in backend["targets"]]
    except Inexpressible:
        return  # said of the backend itself
    if len({(one.protocol, one.path) for one in addresses}) > 1:
        yield Loss(
            "backends with different schemes or paths: Kong's service has one of both", at=at
        )
    if len({one.authority for one in addresses}) < len(addresses):
        yield Loss("two backends of one host and port: Kong's targets have nothing else", at=at)


def has_probe_of_one_name(backend: Mapping[str, Any]) -> bool:
    """Whether probes of a circuit breaker would ask several https hosts by the name of one."""
    targets = backend.get("targets", ())
    return len(targets) > 1 and str(backend["url"]).startswith("https:")
