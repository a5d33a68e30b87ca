"""`logging` as the action `logInvocation`: calls go to the gateway's own store. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.webmethods.entities.actions import LMT, Action, branch, leaf, value_at
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import (
    Config,
    HeldActions,
    Place,
    PolicyMapping,
    actions_of,
)
from stoa_gitops.model.losses import Loss

TEMPLATE: Final = "logInvocation"
_PAYLOADS: Final = ("storeRequestPayload", "storeResponsePayload")
_REST: Final = (
    "storeRequestHeaders", "storeResponseHeaders", "storeClientMessage", "storeServerMessage",
    "storeAsZip",
)  # fmt: skip


def _write(config: Config, _: Place) -> list[Action]:
    stored = [leaf(name, config["payloads"]) for name in _PAYLOADS]
    parameters = (
        *stored,
        # Headers carry credentials.
        *(leaf(name, False) for name in _REST),
        leaf("logGenerationFrequency", "Always"),
        branch("destination", leaf("destinationType", "GATEWAY")),
    )
    return [Action(LMT, TEMPLATE, parameters, "logging")]


def _read(actions: HeldActions, _: GatewayInfo) -> JsonTree | None:
    for action in actions_of(actions, TEMPLATE):
        held = [value_at(action.get("parameters"), name) == "true" for name in _PAYLOADS]
        return {"sinks": [], "payloads": any(held), "redact": []}
    return None


def _losses(config: Config) -> Iterator[Loss]:
    if config["sinks"]:
        yield Loss(
            f"the sinks {', '.join(config['sinks'])}: webMethods logs to its own store, and from "
            "there to the destinations that are set for the whole gateway",
            is_partial=True,
            at=("config", "sinks"),
        )
    if config["redact"] and config["payloads"]:
        yield Loss(
            "redact: webMethods masks by XPath and JSONPath, not by names of fields, and bodies "
            "would be logged with them",
            at=("config", "redact"),
        )


MAPPING: Final = PolicyMapping(policy_type="logging", write=_write, read=_read, losses=_losses)
