"""`api_key`: callers are identified by a key in the header that the gateway is set to. Pure.

The action that identifies them is made by `mapping.access`, which looks for this policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.webmethods.entities.actions import (
    REQUEST,
    Action,
    branch,
    leaf,
    tree_of,
)
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.access import IDENTIFICATION, KEY
from stoa_gitops.adapters.webmethods.mapping.access import TEMPLATE as EVALUATE
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import (
    Config,
    HeldActions,
    Place,
    PolicyMapping,
    actions_of,
)
from stoa_gitops.model.losses import Loss

TEMPLATE: Final = "requestTransformation"


def _write(config: Config, place: Place) -> list[Action]:
    if not config["hide"]:
        return []
    header = f"${{request.headers.{place.info.options.key_header}}}"
    removal = branch(
        "requestTransformationConfiguration", branch("commonTransformation", leaf("remove", header))
    )
    return [Action(REQUEST, TEMPLATE, (removal,), KEY)]


def _read(actions: HeldActions, info: GatewayInfo) -> JsonTree | None:
    for action in actions_of(actions, EVALUATE):
        rules = tree_of(action.get("parameters")).get("IdentificationRule", [])
        if any(rule.get("identificationType") == [[IDENTIFICATION[KEY]]] for rule in rules):
            return {"in": "header", "name": info.options.key_header, "hide": False}
    return None


def _node_losses(config: Config, info: GatewayInfo) -> Iterator[Loss]:
    known = info.options.key_header
    if config["in"] != "header" or config["name"].lower() != known.lower():
        yield Loss(
            f"the {config['in']} {config['name']}: this gateway takes keys from the header {known} "
            "(extended setting apiKeyHeader). Write that name, or set it there and in "
            "options.apiKeyHeader",
            is_partial=True,
            at=("config", "name"),
        )


MAPPING: Final = PolicyMapping(policy_type=KEY, write=_write, read=_read, node_losses=_node_losses)
