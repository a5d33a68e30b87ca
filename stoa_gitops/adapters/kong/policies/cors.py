"""`cors` as Kong's cors plugin. Pure.

A preflight is answered by the plugin only where a route takes OPTIONS: routes with methods get it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.defaults import PLUGIN_DEFAULTS
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.plugin_mapping import (
    Config,
    read_seconds,
    single_plugin,
    whole_seconds,
)
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss

# Kong compiles an origin with any other character as a regular expression (PCRE).
_PLAIN_ORIGIN: Final = re.compile(r"\*|[A-Za-z0-9.:/-]+")
_ORIGINS: Final = ("config", "origins")
_METHODS: Final = frozenset(PLUGIN_DEFAULTS["cors"]["methods"])
"""The plugin's default: every method that its schema takes."""

_LISTS: Final = {
    "methods": "methods",
    "headers": "headers",
    "exposeHeaders": "exposed_headers",
}
"""Canonical field -> Kong's; absent and [] differ in both."""


def _write(config: Config, _: NodeInfo) -> JsonTree:
    out: JsonTree = {"origins": config["origins"], "credentials": config["credentials"]}
    out |= {theirs: config[name] for name, theirs in _LISTS.items() if name in config}
    if "maxAge" in config:
        out["max_age"] = duration_ms(config["maxAge"]) // 1000
    return out


def _read(config: Config) -> JsonTree:
    out: JsonTree = {
        # `origins` null is every origin for Kong, as "*" is.
        "origins": sorted(config.get("origins") or ("*",)),
        "credentials": config.get("credentials", False),
    }
    for name, theirs in _LISTS.items():
        if config.get(theirs) is not None:
            out[name] = sorted(config[theirs])
    if config.get("max_age") is not None:
        out["maxAge"] = read_seconds(config["max_age"])
    return out


def _losses(config: Config) -> Iterator[Loss]:
    origins = config["origins"]
    if "*" in origins and len(origins) > 1:
        yield Loss(
            "the origin * beside others: Kong 3.4 admits the others alone, 3.9 everybody",
            at=_ORIGINS,
        )
    if "*" in origins and config["credentials"]:
        yield Loss(
            "credentials for the origin *: Kong would let every site act as the user", at=_ORIGINS
        )
    odd = [method for method in config.get("methods", ()) if method not in _METHODS]
    if odd:
        yield Loss(
            f"the methods {', '.join(odd)}: Kong's cors plugin does not know them",
            at=("config", "methods"),
        )
    for origin in origins:
        if _PLAIN_ORIGIN.fullmatch(origin) is None:
            yield Loss(
                f"the origin {origin}: Kong would read it as a regular expression", at=_ORIGINS
            )
    if config.get("headers") == []:
        yield Loss("no allowed header: Kong allows every header then", is_partial=True)
    if "maxAge" in config:
        yield from whole_seconds(config["maxAge"], "a maxAge", "maxAge")


MAPPING: Final = single_plugin(
    "cors",
    "cors",
    write=_write,
    read=_read,
    losses=_losses,
    whole_fields=frozenset({"origins"}),
    route_methods=("OPTIONS",),
)
