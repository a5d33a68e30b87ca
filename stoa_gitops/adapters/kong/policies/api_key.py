"""`api_key` as Kong's key-auth plugin; an acl plugin says whose keys are let in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.losses import header_loss
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, single_plugin
from stoa_gitops.model.losses import Loss


def _write(config: Config, _: NodeInfo) -> JsonTree:
    # Kong looks into header and query unless it is told not to.
    other = "key_in_query" if config["in"] == "header" else "key_in_header"
    return {"key_names": [config["name"]], "hide_credentials": config["hide"], other: False}


def _read(config: Config) -> JsonTree:
    return {
        "in": "query" if config.get("key_in_header") is False else "header",
        "name": str((config.get("key_names") or ("apikey",))[0]),
        "hide": config.get("hide_credentials", False),
    }


def _losses(config: Config) -> Iterator[Loss]:
    # Kong validates `key_names` as header names, also for keys in the query.
    loss = header_loss(config["name"], f"the {config['in']}")
    if loss is not None:
        yield loss


MAPPING: Final = single_plugin(
    "api_key", "key-auth", write=_write, read=_read, losses=_losses, needs=("acl",), identifies=True
)
