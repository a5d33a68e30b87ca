"""`headers` as transformations of requests and responses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.actions import (
    REQUEST,
    RESPONSE,
    Action,
    branch,
    leaf,
)
from stoa_gitops.adapters.webmethods.mapping.losses import FRAMING, value_fault
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "headers"
_SIDES: Final = {
    "request": (REQUEST, "requestTransformation"),
    "response": (RESPONSE, "responseTransformation"),
}
_CONFIGURATION: Final = "requestTransformationConfiguration"
"""Of both templates (vendor's collection of requests)."""


def _write(config: Config, _: Place) -> list[Action]:
    found = []
    for side, (stage, template) in _SIDES.items():
        edits: Mapping[str, Any] = config.get(side) or {}
        values = {**edits.get("add", {}), **edits.get("set", {})}
        changes = [
            branch(
                "addOrModify",
                leaf("transformationVariable", _variable(side, name)),
                leaf("transformationValue", value),
            )
            for name, value in sorted(values.items())
        ]
        removed = [_variable(side, name) for name in edits.get("remove", ())]
        if removed:
            changes.insert(0, leaf("remove", *removed))
        if changes:
            common = branch(_CONFIGURATION, branch("commonTransformation", *changes))
            found.append(Action(stage, template, (common,), _TYPE))
    return found


def _variable(side: str, name: str) -> str:
    return f"${{{side}.headers.{name}}}"


def _losses(config: Config) -> Iterator[Loss]:
    for side in _SIDES:
        edits: Mapping[str, Any] = config.get(side) or {}
        if edits.get("add"):
            yield Loss(
                f"{side}.add: webMethods puts a value in the place of others, not beside them",
                is_partial=True,
                at=("config", side, "add"),
            )
        for field in ("set", "add", "remove"):
            for name in edits.get(field) or ():
                at = ("config", side, field, name)
                if name.lower() in FRAMING:
                    yield Loss(f"the header {name}: it would break the connection", at=at)
                elif "}" in name:
                    yield Loss(f"the header {name}: webMethods cannot name it", at=at)
                elif field != "remove" and (fault := value_fault(edits[field][name])):
                    yield Loss(f"the value of {name}: {fault}", at=at)
        both = set(edits.get("set") or ()) & set(edits.get("add") or ())
        if both:
            message = f"{side}: {', '.join(sorted(both))} is both set and added"
            yield Loss(message, at=("config", side, "add"))


MAPPING: Final = PolicyMapping(policy_type=_TYPE, write=_write, losses=_losses)
