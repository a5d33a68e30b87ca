"""Fills in which change waits for which other: a failed one blocks those that wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.planning.skips import guarding_policies


@dataclass(frozen=True, slots=True)
class _Links:
    """The changes of a plan, indexed.

    writes    everything but deletions, by key
    deletes   keys that are deleted
    policies  policies among the writes, by API
    guarding  those of them without which a new API must not go live
    """

    writes: dict[Key, Change]
    deletes: frozenset[Key]
    policies: dict[Key, list[Key]]
    guarding: dict[Key, list[Key]]


def with_dependencies(changes: Sequence[Change]) -> list[Change]:
    """Fill in `depends_on` with keys of this plan, sorted.

    Beyond what the catalog says: a new API waits for the policies that guard it; a policy is
    deleted only after its API, or after the API's other policies were written. An API is at no
    moment open without a policy that it had or is to have.
    """
    links = _links(changes)
    return [_with_links(change, links) for change in changes]


def _links(changes: Sequence[Change]) -> _Links:
    writes = {c.key: c for c in changes if c.action is not Action.DELETE}
    policies: dict[Key, list[Key]] = {}
    for key in writes:
        owner = key.parent
        if owner is not None:
            policies.setdefault(owner, []).append(key)
    return _Links(
        writes=writes,
        deletes=frozenset(c.key for c in changes if c.action is Action.DELETE),
        policies=policies,
        guarding=guarding_policies(c.resource for c in writes.values() if c.resource),
    )


def _with_links(change: Change, links: _Links) -> Change:
    needs = _deletion_needs(change, links) if change.resource is None else _needs(change, links)
    needs.discard(change.key)
    if not needs and not change.depends_on:
        return change
    return replace(change, depends_on=tuple(sorted(needs)))


def _needs(change: Change, links: _Links) -> set[Key]:
    needs = set(change.depends_on)
    if change.resource is not None:
        needs.update(change.resource.hints.depends_on)
    if change.action is Action.CREATE:
        guarding = links.guarding.get(change.key, ())
        # Unless the policy itself waits for the API: a circle would block both.
        needs.update(key for key in guarding if not _waits_for(links.writes[key], change.key))
    # What is not in this plan is on the gateway already, or was skipped with its dependants.
    return needs & links.writes.keys()


def _waits_for(change: Change, key: Key) -> bool:
    return change.resource is not None and key in change.resource.hints.depends_on


def _deletion_needs(change: Change, links: _Links) -> set[Key]:
    needs = set(change.depends_on) & links.writes.keys()
    owner = change.key.parent
    if owner is None:
        return needs
    # The API goes first: without its policies it would be open until it is gone.
    if owner in links.deletes:
        return needs | {owner}
    return needs | set(links.policies.get(owner, ()))
