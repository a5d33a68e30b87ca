"""What Kong returns for an entity that was sent: all fields, defaults and nulls, as recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import Entity, NodeInfo

DATA: Final = Path(__file__).with_name("data")
ENTITIES: Final = json.loads((DATA / "entities.json").read_text())
PLUGINS: Final = {
    version: json.loads((DATA / f"plugin-defaults-{version}.json").read_text())
    for version in ("3.4.2", "3.9.1")
}


def read_back(entity: Entity, node: NodeInfo) -> dict[str, Any]:
    tree = entity.tree
    full = {**ENTITIES[entity.type], **tree}
    if entity.type == "plugins":
        recorded = PLUGINS[node.text][tree["name"]]
        sent = tree.get("config", {})
        full["config"] = _laid_over(_cleared(recorded["config"], recorded["sent"]), sent)
        full["protocols"] = recorded["protocols"]
        if "redis" in full["config"]:
            full["config"] |= {f"redis_{n}": item for n, item in full["config"]["redis"].items()}
    if "healthchecks" in tree:
        full["healthchecks"] = _laid_over(
            ENTITIES["upstreams"]["healthchecks"], tree["healthchecks"]
        )
    return full


def _cleared(config: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Take out of a recorded answer what was sent for it."""
    out = dict(config)
    for name, item in sent.items():
        if isinstance(item, dict):
            out[name] = {**out[name], **{field: [] for field in item}}
        else:
            out[name] = None
    return out


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for name, item in above.items():
        is_record = isinstance(item, dict) and isinstance(out.get(name), dict)
        out[name] = _laid_over(out[name], item) if is_record else item
    return out
