"""`logging` as the analytics of a definition: where they go is set on the gateway. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "logging"
_BOTH: Final = {"request": True, "response": True}


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    definition["analytics"] = {
        "enabled": True,
        "logging": {
            "mode": {"entrypoint": True, "endpoint": False},
            "phase": dict(_BOTH),
            "content": {"headers": True, "payload": config["payloads"]},
        },
    }


def _stored(config: Config) -> JsonTree:
    return {"sinks": [], "payloads": config["payloads"], "redact": []}


def _read(definition: Mapping[str, Any], _: Place) -> JsonTree | None:
    analytics = definition.get("analytics") or {}
    logging = analytics.get("logging") or {}
    mode = logging.get("mode") or {}
    if not analytics.get("enabled", True) or not any(mode.values()):
        return None
    content = logging.get("content") or {}
    return {"sinks": [], "payloads": bool(content.get("payload")), "redact": []}


def _losses(config: Config) -> Iterator[Loss]:
    if config["payloads"] and config["redact"]:
        yield Loss(
            "redact beside payloads: Gravitee would log what is to be left out",
            at=("config", "redact"),
        )
    elif config["redact"]:
        yield Loss("redact: Gravitee logs each header", is_partial=True, at=("config", "redact"))
    if "sample" in config:
        yield Loss("sample: Gravitee logs each request", is_partial=True)
    if config["sinks"]:
        yield Loss(
            "sinks: where a Gravitee gateway logs to is set in its gravitee.yml (reporters)",
            is_partial=True,
            at=("config", "sinks"),
        )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    write=_write,
    read=_read,
    stored=_stored,
    losses=_losses,
    fields=("analytics",),
)
