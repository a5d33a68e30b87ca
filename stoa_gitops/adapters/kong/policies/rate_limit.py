"""`rate_limit` as windows of the rate-limiting plugin that it shares with `quota`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, PluginMapping, ReadContext
from stoa_gitops.adapters.kong.mapping.rate_limiting import (
    PLUGIN,
    SECRET_FIELDS,
    compile_limits,
    limit_losses,
    read_limits,
)
from stoa_gitops.model.losses import Loss


def _read(context: ReadContext) -> JsonTree | None:
    return read_limits(context.entities.plugins.get(PLUGIN, {})).get("rate_limit")


def _losses(config: Config) -> Iterator[Loss]:
    yield from limit_losses("rate_limit", config)
    if "burst" in config:
        yield Loss(
            "burst is left out: Kong counts in fixed windows, and lets the whole of one pass at "
            "once",
            is_partial=True,
        )
    if "algorithm" in config:
        message = f"{config['algorithm']}: Kong's open source counts in fixed windows"
        yield Loss(message, is_partial=True, at=("config", "algorithm"))


def _stored(config: Config) -> JsonTree:
    return {name: item for name, item in config.items() if name not in ("burst", "algorithm")}


MAPPING: Final = PluginMapping(
    policy_type="rate_limit",
    plugins=(PLUGIN,),
    compile=compile_limits,
    read=_read,
    losses=_losses,
    stored=_stored,
    secret_fields=SECRET_FIELDS,
)
