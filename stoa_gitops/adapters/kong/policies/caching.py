"""`caching` as Kong's proxy-cache plugin, in the memory of the node. Pure.

Kong heeds the backend's Cache-Control only where it is told to; otherwise it keeps answers that are
marked private, with their cookies, and serves them to others (contract kong.md R.7). Told so, it
keeps an answer as long as the backend says, and none for which the backend says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.losses import text_fault
from stoa_gitops.adapters.kong.mapping.plugin_mapping import (
    Config,
    read_seconds,
    single_plugin,
    whole_seconds,
)
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss

_ENCODING: Final = "Accept-Encoding"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT"})
_MEDIA_TYPES: Final = (
    "application/json", "application/javascript", "application/xml", "text/css", "text/html",
    "text/javascript", "text/plain", "text/xml",
)  # fmt: skip
_CONTENT_TYPES: Final = [kind + rest for kind in _MEDIA_TYPES for rest in ("", "; charset=utf-8")]
"""Responses that are cached: Kong wants each content type to the letter, and has no word for all.
"""


def _write(config: Config, _: NodeInfo) -> JsonTree:
    out: JsonTree = {
        "cache_control": True,
        "strategy": "memory",
        "cache_ttl": duration_ms(config["ttl"]) // 1000,
        "content_type": _CONTENT_TYPES,
        "request_method": config["methods"],
        "response_code": config["statuses"],
    }
    # Otherwise a compressed answer is served to clients that cannot read it.
    out["vary_headers"] = sorted([*_vary_headers(config["varyHeaders"]), _ENCODING])
    return out | ({"vary_query_params": config["varyQuery"]} if config["varyQuery"] else {})


def _vary_headers(names: Iterable[str]) -> list[str]:
    """Return names of headers without the one that is always written."""
    return sorted(name for name in names if name.lower() != _ENCODING.lower())


def _stored(config: Config) -> JsonTree:
    return {**config, "varyHeaders": _vary_headers(config["varyHeaders"])}


def _read(config: Config) -> JsonTree:
    # The fallbacks are the plugin's defaults.
    return {
        "ttl": read_seconds(config.get("cache_ttl", 300)),
        "methods": sorted(config.get("request_method") or ("GET", "HEAD")),
        "statuses": sorted(config.get("response_code") or (200, 301, 404)),
        "varyHeaders": _vary_headers(config.get("vary_headers") or ()),
        "varyQuery": sorted(config.get("vary_query_params") or ()),
    }


def _losses(config: Config) -> Iterator[Loss]:
    yield from whole_seconds(config["ttl"], "a ttl", "ttl")
    if config["ttl"] == "0s":
        yield Loss(
            "a ttl of 0s: Kong keeps an answer for some time or not at all", at=("config", "ttl")
        )
    odd = [method for method in config["methods"] if method not in _METHODS]
    if odd or not config["methods"]:
        yield Loss(
            f"methods {', '.join(odd) or 'none'}: Kong keeps answers to GET, HEAD, POST, PATCH and "
            "PUT",
            at=("config", "methods"),
        )
    if not config["statuses"]:
        yield Loss("no status: Kong wants at least one", at=("config", "statuses"))
    for name in config["varyQuery"]:
        if message := text_fault(name):
            yield Loss(f"varyQuery: {message}", at=("config", "varyQuery"))
    if not all(config["varyQuery"]):
        yield Loss(
            "a query parameter without a name in varyQuery: Kong takes none",
            at=("config", "varyQuery"),
        )
    yield Loss(
        f"the ttl of {config['ttl']}: Kong keeps an answer as long as its Cache-Control or Expires "
        "says, and not at all where it says nothing, is private, or answers a request with "
        "Authorization",
        is_partial=True,
    )


MAPPING: Final = single_plugin(
    "caching", "proxy-cache", write=_write, read=_read, losses=_losses, stored=_stored
)
