"""Orders changes of applications so that credentials can move from one to another.

A gateway takes each key, user name and client id once: who gives one up comes before who gets it,
also where that is a deletion. Where applications exchange credentials, the first of them is written
twice: at first without what the others still have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from stoa_gitops.model.canonical import Json, Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.resources import AppliedRecord

# Two applications may have these in common.
_NOT_UNIQUE: Final = frozenset({"type", "password", "clientSecret"})

EXCHANGE: Final = "at first without the credentials that another application still has"
"""Why an application is written twice in one plan; part of outputs."""

_Identities = AbstractSet[str]
"""What credentials are told apart by: references to secrets, and HMACs of their values."""


def with_handovers(
    changes: Sequence[Change], last: Mapping[Key, AppliedRecord]
) -> tuple[Change, ...]:
    """Return ordered changes with those that pass on a credential before those that get it.

    What waits has the other in its `depends_on`. A deletion of an application of which no record
    says what it had comes first as well, and nothing waits for it.
    """
    applications = [change for change in changes if change.key.kind == APPLICATION]
    if not any(change.action is not Action.CREATE for change in applications):
        return tuple(changes)
    links = _links(applications, last)
    if not links.waits and not links.unknown:
        return tuple(changes)
    return _Ordering(changes, links).run()


@dataclass(frozen=True, slots=True)
class _Links:
    """waits: keys that give up what a key gets; gains: what; unknown: deletions without record."""

    waits: Mapping[Key, frozenset[Key]]
    gains: Mapping[Key, _Identities]
    unknown: frozenset[Key]


def _links(applications: Sequence[Change], last: Mapping[Key, AppliedRecord]) -> _Links:
    before = {c.key: _recorded(last.get(c.key)) for c in applications}
    after = {c.key: _desired(c) for c in applications}
    holders = {identity: key for key in sorted(after) for identity in before[key] - after[key]}
    gains = {key: after[key] - before[key] for key in after}
    waits = {
        key: found
        for key, gained in gains.items()
        if (found := frozenset(holders[i] for i in gained if holders.get(i, key) != key))
    }
    deleted = (c.key for c in applications if c.action is Action.DELETE)
    unknown = frozenset(key for key in deleted if key not in last)
    has_gains = any(gains.values())
    return _Links(waits, gains, unknown if has_gains else frozenset())


def _recorded(record: AppliedRecord | None) -> _Identities:
    return _identities(record.spec, record.secret_hmacs) if record else frozenset()


def _desired(change: Change) -> _Identities:
    if change.resource is None:
        return frozenset()
    return _identities(change.resource.spec, dict(change.secret_hmacs))


def _identities(spec: Spec, hmacs: Mapping[str, str]) -> _Identities:
    found: set[str] = set()
    for index, credential in enumerate(_credentials(spec)):
        found |= _identities_of(credential, index, hmacs)
    return found


def _identities_of(credential: Json, index: int, hmacs: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    for name, value in credential.items() if isinstance(credential, dict) else ():
        if name in _NOT_UNIQUE:
            continue
        found.add(str(value.get("$secret")) if isinstance(value, dict) else f"{name}={value}")
        # A key may move under another reference.
        if hmac := hmacs.get(f"credentials.{index}.{name}"):
            found.add(hmac)
    return found


def _credentials(spec: Spec) -> Sequence[Json]:
    found = spec.value.get("credentials")
    return found if isinstance(found, list) else ()


@dataclass
class _Ordering:
    """Walks changes in their order, and takes first what the next one waits for."""

    changes: Sequence[Change]
    links: _Links
    done: list[Change] = field(default_factory=list)
    _open: dict[Key, bool] = field(default_factory=dict)

    def run(self) -> tuple[Change, ...]:
        by_key = {c.key: c for c in self.changes if c.key.kind == APPLICATION}
        is_first = True
        for change in self.changes:
            if change.key.kind != APPLICATION:
                self.done.append(change)
                continue
            if is_first:
                for key in sorted(self.links.unknown):
                    self._take(by_key[key], by_key)
                is_first = False
            self._take(change, by_key)
        return tuple(self.done)

    def _take(self, change: Change, by_key: Mapping[Key, Change]) -> None:
        key = change.key
        if key in self._open:
            return
        self._open[key] = True
        holders = self.links.waits.get(key, frozenset())
        for holder in sorted(holders):
            if self._open.get(holder):
                self._take_partly(by_key[holder])
            else:
                self._take(by_key[holder], by_key)
        self.done.append(self._waiting(change, holders))
        self._open[key] = False

    def _take_partly(self, change: Change) -> None:
        """Write an application in the middle of an exchange without what others have."""
        if change.resource is None or any(c.key == change.key for c in self.done):
            return
        gained = self.links.gains[change.key]
        hmacs = dict(change.secret_hmacs)
        kept: list[Json] = []
        kept_hmacs: list[tuple[str, str]] = []
        for index, credential in enumerate(_credentials(change.resource.spec)):
            if not gained.isdisjoint(_identities_of(credential, index, hmacs)):
                continue
            old, new = f"credentials.{index}.", f"credentials.{len(kept)}."
            kept_hmacs += [
                (path.replace(old, new, 1), hmac)
                for path, hmac in change.secret_hmacs
                if path.startswith(old)
            ]
            kept.append(credential)
        spec = Spec.of({**change.resource.spec.value, "credentials": kept})
        self.done.append(
            replace(
                change,
                resource=replace(change.resource, spec=spec),
                fields=(),
                reason=EXCHANGE,
                secret_hmacs=tuple(sorted(kept_hmacs)),
            )
        )

    def _waiting(self, change: Change, holders: frozenset[Key]) -> Change:
        """Return a change that waits for these, and for nothing that waits for it."""
        waiting = {k for k, found in self.links.waits.items() if change.key in found}
        if change.action is not Action.DELETE:
            waiting = set()
        needs = (set(change.depends_on) - waiting) | holders
        if needs == set(change.depends_on):
            return change
        return replace(change, depends_on=tuple(sorted(needs)))
