"""`quota` as a window of the rate-limiting plugin that it shares with `rate_limit`. Pure."""

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
    return read_limits(context.entities.plugins.get(PLUGIN, {})).get("quota")


def _losses(config: Config) -> Iterator[Loss]:
    return limit_losses("quota", config)


MAPPING: Final = PluginMapping(
    policy_type="quota",
    plugins=(PLUGIN,),
    compile=compile_limits,
    read=_read,
    losses=_losses,
    shared_rank=1,
    secret_fields=SECRET_FIELDS,
)
