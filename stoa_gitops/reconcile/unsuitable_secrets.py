"""Finds objects whose secrets cannot be sent as they are, while a plan is made.

Where references do not resolve nothing is known: their objects are planned without being compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from stoa_gitops.errors import SecretUnresolved, SecretUnsuitable
from stoa_gitops.model.canonical import SECRET_MARK, JsonObject
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.resources import DesiredState, Resource
from stoa_gitops.reconcile.spec_resolver import SpecResolver

FindLosses: TypeAlias = Callable[[str, JsonObject], tuple[Loss, ...]]
"""Says what a gateway cannot express of a canonical spec, secrets resolved or not."""


def find_unsuitable(
    desired: DesiredState, resolver: SpecResolver, find_losses: FindLosses | None
) -> dict[Key, str]:
    """Return why objects are not sent, by key, without any value; may read files."""
    found: dict[Key, str] = {}
    for key, resource in desired.resources.items():
        if SECRET_MARK in resource.spec.raw:
            message = "; ".join(_flaws(resource, resolver, find_losses))
            if message:
                found[key] = message
    return found


def _flaws(
    resource: Resource, resolver: SpecResolver, find_losses: FindLosses | None
) -> Iterator[str]:
    try:
        resolved = resolver(resource).value
    except SecretUnsuitable as error:
        yield str(error)
        return
    except SecretUnresolved:
        return  # the plan says which references do not resolve
    if find_losses is None:
        return
    kind, known = resource.key.kind, set(find_losses(resource.key.kind, resource.spec.value))
    for loss in find_losses(kind, resolved):  # type: ignore[arg-type]  # Secrets beside JSON
        # What is lost whatever the secret is has its own reason in the plan.
        if not loss.is_partial and loss not in known:
            yield loss.message
