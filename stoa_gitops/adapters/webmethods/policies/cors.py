"""`cors` as webMethods' action of that name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.actions import (
    RESPONSE,
    Action,
    branch,
    leaf,
    value_at,
    values_at,
)
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import (
    Config,
    HeldActions,
    Place,
    PolicyMapping,
    actions_of,
)
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.losses import Loss

TEMPLATE: Final = "cors"
_ATTRIBUTES: Final = "corsAttributes"
METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
"""The values that `allowMethods` takes (contract webmethods.md A.4)."""


def _write(config: Config, _: Place) -> list[Action]:
    methods = [one for one in config.get("methods", METHODS) if one in METHODS]
    attributes = [
        leaf("allowedOrigins", *config["origins"]),
        leaf("allowHeaders", *config.get("headers", ("*",))),
        leaf("exposeHeaders", *config.get("exposeHeaders", ())),
        leaf("allowCredentials", config["credentials"]),
        leaf("allowMethods", *methods),
    ]
    if "maxAge" in config:
        attributes.append(leaf("maxAge", duration_ms(config["maxAge"]) // 1000))
    return [Action(RESPONSE, TEMPLATE, (branch(_ATTRIBUTES, *attributes),), "cors")]


def _read(actions: HeldActions, _: GatewayInfo) -> JsonTree | None:
    for action in actions_of(actions, TEMPLATE):
        parameters = action.get("parameters")

        def listed(name: str, parameters: Any = parameters) -> list[str]:
            return sorted(values_at(parameters, _ATTRIBUTES, name))

        found: JsonTree = {
            "origins": listed("allowedOrigins"),
            "credentials": value_at(parameters, _ATTRIBUTES, "allowCredentials") == "true",
        }
        fields = {"allowMethods": "methods", "allowHeaders": "headers",
                  "exposeHeaders": "exposeHeaders"}  # fmt: skip
        for name, field in fields.items():
            if listed(name) not in ([], ["*"], list(METHODS)):
                found[field] = listed(name)
        age = value_at(parameters, _ATTRIBUTES, "maxAge")
        if age.isdecimal():
            found["maxAge"] = canonical_milliseconds(int(age) * 1000)
        return found if found["origins"] else None
    return None


def _losses(config: Config) -> Iterator[Loss]:
    if "*" in config["origins"] and config["credentials"]:
        yield Loss(
            "credentials for the origin *: every site could act as the user",
            at=("config", "origins"),
        )
    odd = [one for one in config.get("methods", ()) if one not in METHODS]
    if odd:
        yield Loss(
            f"the methods {', '.join(odd)}: webMethods allows {', '.join(METHODS)} alone",
            is_partial=True,
            at=("config", "methods"),
        )
    if "methods" in config and not set(config["methods"]).intersection(METHODS):
        yield Loss("no method: nothing would be allowed", at=("config", "methods"))
    if "maxAge" in config and duration_ms(config["maxAge"]) % 1000:
        yield Loss(
            f"a maxAge of {config['maxAge']}: webMethods counts whole seconds",
            is_partial=True,
            at=("config", "maxAge"),
        )


MAPPING: Final = PolicyMapping(policy_type="cors", write=_write, read=_read, losses=_losses)
