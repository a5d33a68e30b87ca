"""`mock` as Gravitee's mock policy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import (
    CREDENTIAL,
    make_flow,
    make_step,
    names_and_values,
    read_headers,
    steps_of,
)
from stoa_gitops.adapters.gravitee.mapping.losses import FRAMING, value_fault
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.adapters.gravitee.mapping.routes import MOCK
from stoa_gitops.model.losses import Loss

_TYPE: Final = "mock"

_STATUSES: Final = frozenset(
    {
        *range(200, 208), *range(300, 306), 307, *range(400, 418), 422, 423, 424, 429,
        *range(500, 506), 507,
    }
)  # fmt: skip
"""Those of the plugin's schema (mock 1.15.0), which has neither 308 nor 418."""


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    configuration = {
        "status": str(config["status"]),
        "headers": names_and_values(config["headers"]),
        "content": config["body"],
    }
    definition["flows"].append(make_flow(_TYPE, [make_step(_TYPE, MOCK, configuration)]))


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    for step in steps_of(definition, "request", MOCK, _TYPE, is_ours=place.is_ours):
        configuration = step.get("configuration") or {}
        return {
            "status": int(configuration.get("status") or 200),
            "headers": {
                name: value
                for name, value in read_headers(configuration.get("headers")).items()
                if place.is_ours or not CREDENTIAL.search(name)
            },
            "body": str(configuration.get("content") or ""),
        }
    return None


def _losses(config: Config) -> Iterator[Loss]:
    for text in (config["body"], *config["headers"].values()):
        message = value_fault(text.replace("\n", " ").replace("\t", " ").replace("\r", " "))
        if message:
            yield Loss(message, at=("config",))
    for name in config["headers"]:
        if name.lower() in FRAMING:
            yield Loss(f"the header {name}: Gravitee sets it itself", at=("config", "headers"))
    if config["status"] < 200:
        yield Loss(f"the status {config['status']} is no answer", at=("config", "status"))
    elif config["status"] not in _STATUSES:
        yield Loss(
            f"the status {config['status']}: Gravitee's mock policy does not list it",
            at=("config", "status"),
        )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE, plugins=(MOCK,), rank=60, write=_write, read=_read, losses=_losses
)
