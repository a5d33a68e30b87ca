"""What this Kong is not sent, and what people should know of how it is written. Pure."""

from __future__ import annotations

from typing import Final

from stoa_gitops.adapter_sdk.capabilities import Rules
from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec
from stoa_gitops.adapter_sdk.results import unsupported
from stoa_gitops.adapters.kong.entities.entity import Node
from stoa_gitops.adapters.kong.mapping.rules import capabilities_of, losses, project
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, POLICY
from stoa_gitops.model.losses import Loss

NEWEST: Final = (3, 9)
"""The newest minor that this adapter was tried with."""


def _losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    return losses(kind, spec, None)


RULES: Final = Rules(project, _losses)


def refusal(spec: ObjectSpec, node: Node) -> AdapterResult | None:
    """Return why an object is not written; the planner asks before any call, this is the second lock.

    What can be written in part is written in part: who does not want that holds it back by `onUnsupported`.
    """
    name = spec.key.kind
    if name == POLICY:
        name = f"policy:{spec.value['type']}"
    capability = capabilities_of(node).get(name)
    if name != API and (capability is None or not capability.supported):
        reason = capability.reason if capability else "unknown to this adapter"
        return unsupported(f"this gateway has no {name} ({reason})")
    found = losses(spec.key.kind, spec.value, node)  # type: ignore[arg-type]
    whole = [loss.message for loss in found if not loss.is_partial]
    return unsupported(f"this gateway cannot express it: {'; '.join(whole)}") if whole else None


def notes_of(node: Node) -> tuple[str, ...]:
    """Return what people see beside the name of the gateway: how it decides who gets a request."""
    paths = (
        "paths as regular expressions" if node.options.paths == "segments" else "paths by letters"
    )
    newer = (f"newer than {NEWEST[0]}.{NEWEST[1]}, the last one tried",)
    return (paths, *(newer if node.version[:2] > NEWEST else ()))
