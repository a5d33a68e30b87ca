"""Which change of a plan waits for which other: a failed one blocks those that wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.planning.skips import guarding_policies


@dataclass(frozen=True, slots=True)
class _Links:
    """The writes of a plan by key, its deletions, and the policies among the writes by API.

    `closing` are those policies without which a new API must not go live.
    """

    writes: dict[Key, Change]
    deletes: frozenset[Key]
    policies: dict[Key, list[Key]]
    closing: dict[Key, list[Key]]


def with_dependencies(changes: Sequence[Change]) -> list[Change]:
    """Fill in `depends_on` with keys of this plan, sorted.

    Beside what the catalog says: a new API waits for the policies that it must not be without; a policy is
    deleted only after its API was, or after the API's other policies were written, so that no door stands
    open in between.
    """
    links = _links(changes)
    return [_linked(change, links) for change in changes]


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
        closing=guarding_policies(c.resource for c in writes.values() if c.resource),
    )


def _linked(change: Change, links: _Links) -> Change:
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
        closing = links.closing.get(change.key, ())
        needs.update(key for key in closing if not _waits_for(links.writes[key], change.key))
    return needs & links.writes.keys()


def _waits_for(change: Change, key: Key) -> bool:
    return change.resource is not None and key in change.resource.hints.depends_on


def _deletion_needs(change: Change, links: _Links) -> set[Key]:
    needs = set(change.depends_on) & links.writes.keys()
    owner = change.key.parent
    if owner is None:
        return needs
    if owner in links.deletes:
        return needs | {owner}
    return needs | set(links.policies.get(owner, ()))
