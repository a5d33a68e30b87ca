"""`headers` as Gravitee's transform-headers policy, a step in each direction. Pure.

Its `addHeaders` puts a value in the place of others, and `appendHeaders` beside them.
"""

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
from stoa_gitops.model.losses import Loss

_TYPE: Final = "headers"
_PLUGIN: Final = "transform-headers"
_SIDES: Final = ("request", "response")
_LISTS: Final = {"set": "addHeaders", "add": "appendHeaders"}


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    steps = {side: [_step(side, config[side])] for side in _SIDES if side in config}
    definition["flows"].append(
        make_flow(_TYPE, steps.get("request", ()), steps.get("response", ()))
    )


def _step(side: str, edits: Config) -> JsonTree:
    configuration: JsonTree = {
        theirs: names_and_values(edits[ours]) for ours, theirs in _LISTS.items() if edits[ours]
    }
    if edits["remove"]:
        configuration["removeHeaders"] = sorted(edits["remove"])
    return make_step(_TYPE, _PLUGIN, {"scope": side.upper(), **configuration})


def _stored(config: Config) -> JsonTree:
    """Return the sides that edit something: there is no step for an empty one."""
    return {side: config[side] for side in _SIDES if side in config and any(config[side].values())}


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    sides = {}
    for side in _SIDES:
        steps = steps_of(definition, side, _PLUGIN, _TYPE, is_ours=place.is_ours)
        if steps:
            sides[side] = _read_edits(steps[0].get("configuration") or {}, is_ours=place.is_ours)
    found = {side: edits for side, edits in sides.items() if any(edits.values())}
    return found or None


def _read_edits(configuration: Mapping[str, Any], *, is_ours: bool) -> JsonTree:
    found: JsonTree = {}
    for ours, theirs in _LISTS.items():
        values = read_headers(configuration.get(theirs))
        found[ours] = {
            name: value for name, value in values.items() if is_ours or not CREDENTIAL.search(name)
        }
    return {**found, "remove": sorted(configuration.get("removeHeaders") or ())}


def _losses(config: Config) -> Iterator[Loss]:
    stored = _stored(config)
    if not stored:
        yield Loss("it edits nothing, and Gravitee has no form for that")
    for side, edits in stored.items():
        at = ("config", side)
        for name in (*edits["set"], *edits["add"], *edits["remove"]):
            if name.lower() in FRAMING:
                yield Loss(f"the {side} header {name}: an edit of it breaks the connection", at=at)
        for values in (edits["set"], edits["add"]):
            for name, value in values.items():
                message = value_fault(value)
                if message:
                    yield Loss(f"the {side} header {name}: {message}", at=at)


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    plugins=(_PLUGIN,),
    rank=50,
    write=_write,
    read=_read,
    stored=_stored,
    losses=_losses,
)
