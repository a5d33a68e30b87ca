"""`cors` as Kong's cors plugin. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

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
    for origin in config["origins"]:
        if _PLAIN_ORIGIN.fullmatch(origin) is None:
            yield Loss(f"the origin {origin}: Kong would read it as a regular expression")
    if config.get("headers") == []:
        yield Loss("no allowed header: Kong allows every header then", is_partial=True)
    if "maxAge" in config:
        yield from whole_seconds(config["maxAge"], "a maxAge")


MAPPING: Final = single_plugin(
    "cors", "cors", write=_write, read=_read, losses=_losses, whole_fields=frozenset({"origins"})
)
