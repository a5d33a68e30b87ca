"""`caching` as Gravitee's cache policy with a cache of the API. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.marks import read_memory
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, make_step
from stoa_gitops.adapters.gravitee.mapping.losses import number_loss
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss

_TYPE: Final = "caching"
_PLUGIN: Final = "cache"
_RESOURCE: Final = "stoa-cache"
_ENTRIES: Final = 1000
"""Answers that the cache of one API holds in the gateway's memory."""

_NOT_KEPT: Final = ".*(private|no-store|no-cache|max-?age=0+([^0-9]|$)).*"
"""Directives of RFC 9111 §5.2.2 of an answer that a cache for several callers must not keep."""

_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    seconds = duration_ms(config["ttl"]) // 1000
    definition.setdefault("resources", []).append(
        {
            "name": _RESOURCE,
            "type": _PLUGIN,
            "enabled": True,
            "configuration": {
                "timeToIdleSeconds": 0,
                "timeToLiveSeconds": seconds,
                "maxEntriesLocalHeap": _ENTRIES,
            },
        }
    )
    configuration: JsonTree = {
        "cacheName": _RESOURCE,
        "timeToLiveSeconds": seconds,
        "methods": config["methods"],
        # By application: the answer to one caller must not reach another.
        "scope": "APPLICATION",
        # A shorter time of the backend counts.
        "useResponseCacheHeaders": True,
        "responseCondition": _condition(config["statuses"]),
    }
    # Users of one application, and all of an API without plans, differ by their Authorization
    # alone (RFC 9111 §3.5).
    names = dict.fromkeys(("Authorization", *config["varyHeaders"]))
    configuration["key"] = ".".join(f"{{#request.headers['{name}']}}" for name in names)
    step = make_step(_TYPE, _PLUGIN, configuration)
    definition["flows"].append(make_flow(_TYPE, [step]))


def _condition(statuses: list[int]) -> str:
    """Return when an answer is kept.

    The policy takes a time from Cache-Control and nothing else: 3.0.0 keeps what is private or has
    a cookie, and gives it to every caller without an application.
    """
    answer = "#upstreamResponse"
    status = " || ".join(f"{answer}.status == {status}" for status in statuses)
    control = f"{answer}.headers['Cache-Control']"
    is_kept = f"!{control}.toString().toLowerCase().matches('{_NOT_KEPT}')"
    return (
        f"{{({status}) && {answer}.headers['Set-Cookie'] == null && "
        f"({control} == null || {is_kept})}}"
    )


def _read(_: Mapping[str, Any], place: Place) -> JsonTree | None:
    held = read_memory(place.marks, _TYPE) if place.is_ours else None
    return held if isinstance(held, dict) else None


def _losses(config: Config) -> Iterator[Loss]:
    at = ("config", "ttl")
    seconds, rest = divmod(duration_ms(config["ttl"]), 1000)
    if rest or not seconds:
        yield Loss(f"a ttl of {config['ttl']}: Gravitee counts whole seconds, from 1 on", at=at)
    loss = number_loss(seconds, "the seconds of a ttl", "ttl")
    if loss is not None:
        yield loss
    odd = [method for method in config["methods"] if method not in _METHODS]
    if odd or not config["methods"]:
        yield Loss(
            f"methods {', '.join(odd) or 'none'}: Gravitee keeps answers to GET, HEAD and OPTIONS",
            at=("config", "methods"),
        )
    if not config["statuses"]:
        yield Loss("no status: nothing would be kept", at=("config", "statuses"))
    for name in config["varyHeaders"]:
        if "'" in name:
            yield Loss(f"the header {name}: Gravitee cannot name it", at=("config", "varyHeaders"))
    if config["varyQuery"]:
        yield Loss(
            "varyQuery: Gravitee's cache always tells whole queries apart",
            is_partial=True,
            at=("config", "varyQuery"),
        )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    plugins=(_PLUGIN,),
    resources=(_PLUGIN,),
    rank=40,
    write=_write,
    read=_read,
    losses=_losses,
    has_memory=True,
    fields=("resources",),
)
