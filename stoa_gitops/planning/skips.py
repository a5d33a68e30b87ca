"""Wanted objects that are set aside before anything is compared, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from stoa_gitops.model.changes import Skip, SkipReason
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import Resource
from stoa_gitops.planning.capabilities import missing_capabilities
from stoa_gitops.planning.classification import ClassifiedState
from stoa_gitops.planning.inputs import GatewayPlanInput

_SHOWN: Final = 3


def find_skips(view: ClassifiedState, adopting: frozenset[Key] = frozenset()) -> dict[Key, Skip]:
    """Return a skip for each wanted key that is not planned, and for each that falls with it.

    Unsupported: an API goes with what it needs (`fail`), or goes on without it (`warn`, `skip`).
    Unmanaged: the object exists and is foreign; policies of a foreign API are left out, too, because they
    would change what it does. Quarantined: what needs it and does not exist yet waits as well.
    """
    skipped: dict[Key, Skip] = {}
    held: dict[Key, Skip] = {}
    lacks = MissingCapabilities(view.gateway)
    for key, resource in view.wanted.items():
        skip = _own(view, lacks, resource, adopting) or _inexpressible(view, resource)
        if skip is None:
            continue
        skipped[key] = skip
        if skip.reason is SkipReason.UNSUPPORTED and skip.is_failure:
            owner = resource.hints.guarded_api or key
            held[owner] = min(held.get(owner, skip), skip, key=lambda s: s.key)
        elif skip.reason is SkipReason.UNMANAGED and key.kind == API:
            held[key] = skip
    if held:
        skipped.update(_of_held(view, held, skipped))
    if skipped:
        _add_dependants(view, skipped)
    return skipped


class MissingCapabilities(dict[tuple[str, ...], str | None]):
    """What a target lacks for each `requires`, in words: few of them occur, in thousands of objects."""

    def __init__(self, gateway: GatewayPlanInput) -> None:
        super().__init__()
        self._gateway = gateway

    def __missing__(self, requires: tuple[str, ...]) -> str | None:
        words = self[requires] = missing_capabilities(self._gateway, requires)
        return words


def _own(
    view: ClassifiedState, lacks: MissingCapabilities, resource: Resource, adopting: frozenset[Key]
) -> Skip | None:
    """Return why a key is set aside for its own sake."""
    key, hints = resource.key, resource.hints
    if hints.requires and (missing := lacks[hints.requires]):
        is_failure = hints.on_unsupported == "fail"
        message = f"{view.gateway.name} has no {missing}"
        return Skip(key, SkipReason.UNSUPPORTED, message, resource.source, is_failure=is_failure)
    if key in view.foreign and key not in adopting:
        message = (
            "exists but is not managed; "
            f"run `stoa-gitops adopt {view.gateway.name} {key}`"
        )  # fmt: skip
        return Skip(key, SkipReason.UNMANAGED, message, resource.source, is_failure=True)
    words = view.context.quarantined.get(key)
    if words is not None:
        message = f"refused by the gateway: {words}" if words else "refused by the gateway"
        return Skip(key, SkipReason.QUARANTINED, message, resource.source, is_failure=True)
    return None


def _inexpressible(view: ClassifiedState, resource: Resource) -> Skip | None:
    """Return why a key is set aside for what the gateway cannot express of it.

    `warn` lets pass what can be written in part; the plan's warnings then say what is lost.
    """
    if view.gateway.losses is None:
        return None
    found = view.gateway.losses(resource.key.kind, resource.spec)
    is_policy = resource.hints.guarded_api not in (None, resource.key)
    if is_policy and resource.hints.on_unsupported != "warn":
        lost = found
    else:
        lost = tuple(loss for loss in found if not loss.is_partial)
    if not lost:
        return None
    words = "; ".join(loss.message for loss in lost)
    message = f"{view.gateway.name} cannot express it: {words}"
    is_failure = resource.hints.on_unsupported == "fail" or not is_policy
    return Skip(
        resource.key, SkipReason.UNSUPPORTED, message, resource.source, is_failure=is_failure
    )


def losses(view: ClassifiedState, skipped: Mapping[Key, Skip]) -> dict[Key, tuple[str, ...]]:
    """Return by key, in words, with which losses objects are written all the same."""
    judge = view.gateway.losses
    if judge is None:
        return {}
    return {
        key: tuple(loss.message for loss in found)
        for key, resource in view.wanted.items()
        if key not in skipped and (found := judge(key.kind, resource.spec))
    }


def loss_warnings(lost: Mapping[Key, Iterable[str]]) -> tuple[str, ...]:
    """Return a warning for each loss, and which objects it concerns."""
    keys: dict[str, list[Key]] = {}
    for key, found in lost.items():
        for words in found:
            keys.setdefault(words, []).append(key)
    return tuple(f"{_named(sorted(keys[words]))}: {words}" for words in sorted(keys))


def _named(keys: Sequence[Key]) -> str:
    shown = ", ".join(map(str, keys[:_SHOWN]))
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN:,} more"


def _of_held(
    view: ClassifiedState, held: dict[Key, Skip], skipped: dict[Key, Skip]
) -> Iterator[tuple[Key, Skip]]:
    """Yield the held APIs themselves and their policies."""
    for key, resource in view.wanted.items():
        if key in skipped:
            continue
        cause = held.get(key) or held.get(key.parent or key)
        if cause is not None:
            yield key, _because(resource, cause)


def _because(resource: Resource, cause: Skip) -> Skip:
    if cause.reason is SkipReason.UNMANAGED:
        message = f"{cause.key} {cause.message}"
    else:
        message = f"held back with {cause.key}: {cause.message}"
    return Skip(resource.key, cause.reason, message, resource.source, is_failure=True)


def _add_dependants(view: ClassifiedState, skipped: dict[Key, Skip]) -> None:
    """Set aside what needs an object that is neither there nor coming, and so on along the chain.

    Applications are spared: they go on without that subscription.
    """
    policies = guarding_policies(view.wanted.values())
    has_grown = True
    while has_grown:
        has_grown = False
        missing = {
            key: skip
            for key, skip in skipped.items()
            if skip.is_failure and key not in view.managed and key not in view.foreign
        }
        for key in sorted(view.wanted.keys() - skipped.keys()) if missing else ():
            resource = view.wanted[key]
            needs = _needs(resource, policies, is_new=key not in view.managed)
            cause = next((missing[need] for need in needs if need in missing), None)
            if cause is not None:
                skipped[key] = _because(resource, cause)
                has_grown = True


def guarding_policies(resources: Iterable[Resource]) -> dict[Key, list[Key]]:
    """Return by API the policies without which it must not go live."""
    found: dict[Key, list[Key]] = {}
    for resource in resources:
        holds = resource.hints.guarded_api
        if holds and holds != resource.key and resource.hints.on_unsupported == "fail":
            found.setdefault(holds, []).append(resource.key)
    return found


def _needs(resource: Resource, policies: dict[Key, list[Key]], *, is_new: bool) -> list[Key]:
    """Return what must exist before a resource: an API that is there already may lose a policy."""
    key = resource.key
    needs = [k for k in resource.hints.depends_on if (key.kind, k.kind) != (APPLICATION, API)]
    if is_new:
        needs += policies.get(key, [])
    owner = key.parent
    if owner is not None:
        needs.append(owner)
    return sorted(needs)
