"""Decides which wanted objects are skipped before comparison, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Skip, SkipReason
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.resources import Resource
from stoa_gitops.planning.capabilities import missing_capabilities
from stoa_gitops.planning.classification import ClassifiedState
from stoa_gitops.planning.inputs import GatewayPlanInput

# A warning is one line: three keys fit, and the number of the others follows.
_SHOWN: Final = 3

NOT_SENT: Final = "not sent"
"""Begins the message of an object that was held back before any call."""


def find_skips(view: ClassifiedState, adopting: frozenset[Key] = frozenset()) -> dict[Key, Skip]:
    """Return a skip for each wanted key that is not planned, and for those that need it.

    Held: an API that would take requests of somebody else is skipped with its policies.
    Unsupported: an API is skipped with what it needs (`fail`), or planned without it (`warn`,
    `skip`). Unmanaged: the object exists and is foreign; policies of a foreign API are skipped as
    well, because they would change what it does. Quarantined: what needs it and does not exist yet
    waits as well.
    """
    skipped: dict[Key, Skip] = {}
    held: dict[Key, Skip] = {}
    lacks = MissingCapabilities(view.gateway)
    # Told once for 10,000 objects: nearly always there is nothing to look for.
    further = [*([_loss_skip] if view.gateway.losses else []), *([_held_skip] if view.held else [])]
    ending, ended = view.ending, view.ended_places
    for key, resource in view.wanted.items():
        if key in ending or key in ended:
            continue
        skip = _own_skip(view, lacks, resource, adopting)
        for find in further:
            skip = skip or find(view, resource)
        if skip is None:
            continue
        skipped[key] = skip
        if skip.reason is SkipReason.UNSUPPORTED and skip.is_failure:
            owner = resource.hints.guarded_api or key
            # The lowest key is named as the cause, whatever the order of the inputs.
            held[owner] = min(held.get(owner, skip), skip, key=lambda s: s.key)
        elif skip.reason in (SkipReason.UNMANAGED, SkipReason.HELD) and key.kind == API:
            held[key] = skip
    combined = _combined_skips(view, skipped.keys() | held.keys())
    skipped |= combined
    held |= combined
    if held:
        skipped.update(_skips_of_held(view, held, skipped))
    if skipped:
        _add_dependants(view, skipped)
    return {key: replace(skip, meanwhile=_meanwhile(view, key)) for key, skip in skipped.items()}


def _meanwhile(view: ClassifiedState, key: Key) -> str:
    """Return what is live of a skipped object: whoever reads of a skip asks that first."""
    if key in view.foreign:
        return "what is there stays as it is"
    if key not in view.managed:
        return "nothing of it is live meanwhile"
    record = view.last.get(key)
    applied = f" (last applied at {record.revision})" if record else ""
    return f"it stays live as it is{applied}"


class MissingCapabilities(dict[tuple[str, ...], str | None]):
    """Memoises `missing_capabilities` of one gateway: thousands of objects share few `requires`."""

    def __init__(self, gateway: GatewayPlanInput) -> None:
        super().__init__()
        self._gateway = gateway

    def __missing__(self, requires: tuple[str, ...]) -> str | None:
        message = self[requires] = missing_capabilities(self._gateway, requires)
        return message


def _own_skip(
    view: ClassifiedState, lacks: MissingCapabilities, resource: Resource, adopting: frozenset[Key]
) -> Skip | None:
    """Return why a key is skipped by itself, None where nothing speaks against it."""
    key, hints = resource.key, resource.hints
    if hints.requires and (missing := lacks[hints.requires]):
        is_failure = hints.on_unsupported == "fail"
        message = f"{view.gateway.name} has no {missing}"
        return Skip(key, SkipReason.UNSUPPORTED, message, resource.source, is_failure=is_failure)
    if key in view.foreign and key not in adopting:
        message = _foreign_message(view, key)
        return Skip(key, SkipReason.UNMANAGED, message, resource.source, is_failure=True)
    shared = view.context.shared.get(key)
    if shared is not None:
        return Skip(key, SkipReason.CREDENTIAL, shared, resource.source, is_failure=True)
    unsuitable = view.context.unsuitable.get(key)
    # What stands in for a broken document has the secrets that it was applied with.
    if unsuitable is not None and key not in view.fallback:
        message = f"{NOT_SENT}: {unsuitable}"
        return Skip(key, SkipReason.SECRET, message, resource.source, is_failure=True)
    refusal = view.context.quarantined.get(key)
    if refusal is not None:
        message = refusal if refusal.startswith(NOT_SENT) else _refused(refusal)
        return Skip(key, SkipReason.QUARANTINED, message, resource.source, is_failure=True)
    return None


def _foreign_message(view: ClassifiedState, key: Key) -> str:
    adopt = f"run `stoa-gitops adopt {view.gateway.name} {key}`"
    owner = view.foreign[key].owner
    if not owner:
        return f"exists but is not managed; {adopt}"
    return f"exists and is managed by the catalog {owner}; rename it here, or, to take it, {adopt}"


def _refused(message: str) -> str:
    return f"refused by the gateway: {message}" if message else "refused by the gateway"


def _loss_skip(view: ClassifiedState, resource: Resource) -> Skip | None:
    """Return the skip of a key of which the gateway cannot express something.

    `warn` lets a policy pass that can be written in part; the plan's warnings name what is lost.
    """
    assert view.gateway.losses is not None
    found = view.gateway.losses(resource.key.kind, resource.spec)
    # An API guards itself in its hints; a policy guards another key.
    is_policy = resource.hints.guarded_api not in (None, resource.key)
    if is_policy and resource.hints.on_unsupported != "warn":
        lost = found
    else:
        lost = tuple(loss for loss in found if not loss.is_partial)
    if not lost:
        return None
    reasons = "; ".join(loss.message for loss in lost)
    message = f"{view.gateway.name} cannot express it: {reasons}"
    is_failure = resource.hints.on_unsupported == "fail" or not is_policy
    return Skip(
        resource.key, SkipReason.UNSUPPORTED, message, resource.source, is_failure=is_failure
    )


def _combined_skips(view: ClassifiedState, left_out: Collection[Key]) -> dict[Key, Skip]:
    """Return the skips of APIs that the gateway cannot express together with their policies."""
    found: dict[Key, Skip] = {}
    for key, all_losses in _combined_losses(view, left_out):
        lost = [loss for loss in all_losses if not loss.is_partial]
        if lost:
            reasons = "; ".join(loss.message for loss in lost)
            message = f"{view.gateway.name} cannot express it: {reasons}"
            source = view.wanted[key].source
            found[key] = Skip(key, SkipReason.UNSUPPORTED, message, source, is_failure=True)
    return found


def _combined_losses(
    view: ClassifiedState, left_out: Collection[Key]
) -> Iterator[tuple[Key, tuple[Loss, ...]]]:
    """Yield what is lost of APIs with their policies.

    What is left out of an API by itself is none of its policies here.
    """
    if view.gateway.combined is None:
        return
    policies: dict[Key, dict[str, Spec]] = {}
    for key, resource in view.wanted.items():
        api = key.parent
        if api is not None and key not in left_out and api not in left_out:
            policies.setdefault(api, {})[key.policy_type] = resource.spec
    for key, specs in policies.items():
        if key in view.wanted:
            lost = view.gateway.combined(view.wanted[key].spec, specs)
            if lost:
                yield key, lost


def _held_skip(view: ClassifiedState, resource: Resource) -> Skip | None:
    """Return the skip of an API that would take requests of others."""
    # After all other reasons: what is not written anyway takes nothing.
    reason = view.held.get(resource.key)
    if reason is None:
        return None
    return Skip(resource.key, SkipReason.HELD, reason, resource.source, is_failure=True)


def losses(view: ClassifiedState, skipped: Mapping[Key, Skip]) -> dict[Key, tuple[str, ...]]:
    """Return messages about losses of objects that are written all the same, by key."""
    found: dict[Key, tuple[str, ...]] = {}
    find_losses = view.gateway.losses
    if find_losses is not None:
        found = {
            key: tuple(loss.message for loss in lost)
            for key, resource in view.wanted.items()
            if key not in skipped and (lost := find_losses(key.kind, resource.spec))
        }
    for key, lost in _combined_losses(view, skipped):
        found[key] = (*found.get(key, ()), *(loss.message for loss in lost))
    return found


def loss_warnings(lost: Mapping[Key, Iterable[str]]) -> tuple[str, ...]:
    """Return one warning for each distinct loss, with the objects that it concerns."""
    keys: dict[str, list[Key]] = {}
    for key, found in lost.items():
        for message in found:
            keys.setdefault(message, []).append(key)
    return tuple(f"{_list_keys(sorted(keys[message]))}: {message}" for message in sorted(keys))


def _list_keys(keys: Sequence[Key]) -> str:
    shown = ", ".join(map(str, keys[:_SHOWN]))
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN:,} more"


def _skips_of_held(
    view: ClassifiedState, held: dict[Key, Skip], skipped: dict[Key, Skip]
) -> Iterator[tuple[Key, Skip]]:
    """Yield skips for the held APIs and their policies."""
    for key, resource in view.wanted.items():
        if key in skipped:
            continue
        cause = held.get(key) or held.get(key.parent or key)
        if cause is not None:
            yield key, _skip_with(resource, cause)


def _skip_with(resource: Resource, cause: Skip) -> Skip:
    if cause.reason is SkipReason.UNMANAGED:
        message = f"{cause.key} {cause.message}"
    else:
        message = f"held back with {cause.key}: {cause.message}"
    return Skip(resource.key, cause.reason, message, resource.source, is_failure=True)


def _add_dependants(view: ClassifiedState, skipped: dict[Key, Skip]) -> None:
    """Skip what needs an object that is neither there nor coming, transitively.

    Applications are not skipped for an API: they are planned without that subscription.
    """
    policies = guarding_policies(view.wanted.values())
    has_grown = True
    while has_grown:
        has_grown = False
        # What exists already is no reason to wait, even if its update is skipped.
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
                skipped[key] = _skip_with(resource, cause)
                has_grown = True


def guarding_policies(resources: Iterable[Resource]) -> dict[Key, list[Key]]:
    """Return the policies without which an API must not go live, by API."""
    found: dict[Key, list[Key]] = {}
    for resource in resources:
        api = resource.hints.guarded_api
        if api and api != resource.key and resource.hints.on_unsupported == "fail":
            found.setdefault(api, []).append(resource.key)
    return found


def _needs(resource: Resource, policies: dict[Key, list[Key]], *, is_new: bool) -> list[Key]:
    """Return the keys that must exist before a resource, sorted."""
    # Only a new API waits for its policies: one that is live already would not be closed by
    # waiting.
    key = resource.key
    needs = [k for k in resource.hints.depends_on if (key.kind, k.kind) != (APPLICATION, API)]
    if is_new:
        needs += policies.get(key, [])
    owner = key.parent
    if owner is not None:
        needs.append(owner)
    return sorted(needs)
