"""Flows and steps of a definition: how policies stand in it, and how they are found. Pure.

Each policy type of the catalog is a flow of its own, named `stoa:<type>`, for all requests of the
API. Policies of Gravitee are no objects: they are steps of flows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree

PREFIX: Final = "stoa:"
LIMITS: Final = "limits"
"""Name of the flow of a plan that has limits."""

CREDENTIAL: Final = re.compile(
    "authorization|cookie|token|secret|password|credential|api-?_?key|signature", re.IGNORECASE
)
"""Names of headers whose values are left out of what others wrote: a policy has no place for them.
"""

_ALL: Final[JsonTree] = {"type": "HTTP", "path": "/", "pathOperator": "STARTS_WITH", "methods": []}


def make_step(
    name: str, policy: str, configuration: Mapping[str, Any], condition: str = ""
) -> JsonTree:
    """Return one step; `condition` is an expression, empty for always."""
    step = {
        "name": f"{PREFIX}{name}",
        "enabled": True,
        "policy": policy,
        "configuration": dict(configuration),
    }
    return {**step, "condition": condition} if condition else step


def make_flow(
    name: str,
    request: Sequence[JsonTree],
    response: Sequence[JsonTree] = (),
    *,
    selectors: Sequence[JsonTree] = (_ALL,),
) -> JsonTree:
    """Return a flow of ours."""
    return {
        "name": f"{PREFIX}{name}",
        "enabled": True,
        "selectors": [dict(selector) for selector in selectors],
        "request": list(request),
        "response": list(response),
    }


def flow_named(holder: Mapping[str, Any], name: str) -> JsonTree | None:
    """Return our flow of this name in a definition or plan."""
    wanted = f"{PREFIX}{name}"
    return next((flow for flow in holder.get("flows") or () if flow.get("name") == wanted), None)


def steps_of(
    holder: Mapping[str, Any], phase: str, policy: str, name: str, *, is_ours: bool
) -> list[JsonTree]:
    """Return the steps of one of Gravitee's policies in the order in which they run.

    Ours are found by the name of their flow; of others those that are switched on and meet every
    request count.
    """
    if is_ours:
        flow = flow_named(holder, name)
        return [] if flow is None else _steps(flow, phase, policy)
    return [
        step
        for flow in holder.get("flows") or ()
        if takes_everything(flow)
        for step in _steps(flow, phase, policy)
        if step.get("enabled") is not False and not step.get("condition")
    ]


def takes_everything(flow: Mapping[str, Any]) -> bool:
    """Whether a flow meets every request of its API."""
    if flow.get("enabled") is False:
        return False
    return all(
        selector.get("type") == "HTTP"
        and (selector.get("path") or "/") == "/"
        and selector.get("pathOperator") == "STARTS_WITH"
        and not selector.get("methods")
        for selector in flow.get("selectors") or ()
    )


def _steps(flow: Mapping[str, Any], phase: str, policy: str) -> list[JsonTree]:
    return [step for step in flow.get(phase) or () if step.get("policy") == policy]


def all_steps(definition: Mapping[str, Any]) -> Iterator[tuple[str, JsonTree]]:
    """Yield every step of a definition and its plans with the name of its flow."""
    plans: Sequence[Mapping[str, Any]] = definition.get("plans") or ()
    for holder in (definition, *plans):
        for flow in holder.get("flows") or ():
            for phase in ("request", "response"):
                for step in flow.get(phase) or ():
                    yield str(flow.get("name")), step


def names_and_values(headers: Mapping[str, str]) -> list[JsonTree]:
    """Return headers in Gravitee's form, sorted by name."""
    return [{"name": name, "value": value} for name, value in sorted(headers.items())]


def read_headers(listed: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return headers of Gravitee's form by name."""
    return {str(item["name"]): str(item.get("value", "")) for item in listed or ()}
