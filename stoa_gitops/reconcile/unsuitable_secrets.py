"""Finds objects whose secrets cannot be sent as they are, while a plan is made.

Where references do not resolve nothing is known: their objects are planned without being compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, TypeAlias

from stoa_gitops.errors import SecretUnresolved, SecretUnsuitable
from stoa_gitops.model.canonical import SECRET_MARK, JsonObject
from stoa_gitops.model.identity import is_unchanged
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.resources import DesiredState, Resource
from stoa_gitops.reconcile.spec_resolver import SpecResolver

FindLosses: TypeAlias = Callable[[str, JsonObject], tuple[Loss, ...]]
"""Says what a gateway cannot express of a canonical spec, secrets resolved or not."""

_KEPT: Final = 8
"""Desired states whose unsuitable objects are kept for gateways that share them."""


@dataclass(slots=True)
class _Checked:
    """What was found for the objects of one desired state, once it was looked for."""

    resources: Mapping[Key, Resource]
    secrets: Mapping[str, str | None]
    rule: object
    found: Mapping[Key, str] | None = None
    lock: Lock = field(default_factory=Lock)

    def is_for(
        self, desired: DesiredState, secrets: Mapping[str, str | None], rule: object
    ) -> bool:
        return (
            is_unchanged(self.resources, desired.resources)
            and self.rule is rule
            and self.secrets == secrets
        )


class UnsuitableSecrets:
    """What `find_unsuitable` found last, for all gateways of one desired state.

    A hundred gateways of one document plan the same objects at once: one looks, the others wait.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._checked: list[_Checked] = []

    def find(
        self,
        desired: DesiredState,
        secrets: Mapping[str, str | None],
        rule: object,
        find: Callable[[], Mapping[Key, str]],
    ) -> Mapping[Key, str]:
        """Return what `find` returned for the same resources, HMACs of secrets and rule.

        May be called by several threads; raises what `find` raises.
        """
        with self._lock:
            checked = next(
                (one for one in self._checked if one.is_for(desired, secrets, rule)), None
            )
            if checked is None:
                checked = _Checked(desired.resources, secrets, rule)
                self._checked = [*self._checked[1 - _KEPT :], checked]
        with checked.lock:
            if checked.found is None:
                checked.found = find()
            return checked.found


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
