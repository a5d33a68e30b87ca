"""Compares secrets by their HMACs, path by path, because gateways do not return them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stoa_gitops.foundation.frozen_sets import frozen
from stoa_gitops.model.canonical import SECRET_MARK, Path
from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, DesiredState, Resource
from stoa_gitops.planning.broken_scope import BrokenScope

# The gateway may hold any secret then: it is written rather than trusted.
UNRECORDED = "no record of the secrets applied last, so they are written once"


@dataclass(frozen=True, slots=True)
class SecretComparison:
    """The secrets of one object compared with those of its record.

    hmacs    (dotted path, HMAC) of those that resolved, sorted
    rotated  paths whose value is another one than was applied last
    unknown  paths whose reference did not resolve: not compared, and no change by itself
    reason   set where the object is written only because there is no record of its secrets
    """

    hmacs: tuple[tuple[str, str], ...] = ()
    rotated: tuple[Path, ...] = ()
    unknown: tuple[Path, ...] = ()
    reason: str = ""

    def fields(self) -> tuple[FieldChange, ...]:
        """Return the field changes of rotated and unknown secrets, without values."""
        rotated = [_field(path, "changed") for path in self.rotated]
        return (*rotated, *(_field(path, "not compared") for path in self.unknown))


NO_SECRETS = SecretComparison()


def _field(path: Path, note: str) -> FieldChange:
    return FieldChange(path, None, None, sensitive=True, note=note)


def compare_secrets(
    secrets: Iterable[tuple[Path, str]],
    record: AppliedRecord | None,
    known: Mapping[str, str | None],
) -> SecretComparison:
    """Compare the secrets of a desired object, (path, reference), with what was applied last."""
    applied = record.secret_hmacs if record else {}
    hmacs: list[tuple[str, str]] = []
    rotated: list[Path] = []
    unknown: list[Path] = []
    for path, reference in secrets:
        dotted = ".".join(map(str, path))
        hmac = known.get(reference)
        if hmac is None:
            unknown.append(path)
            continue
        hmacs.append((dotted, hmac))
        # Also where the path is new: the record then has no HMAC of it.
        if applied.get(dotted) != hmac:
            rotated.append(path)
    reason = UNRECORDED if record is None and rotated else ""
    return SecretComparison(tuple(sorted(hmacs)), tuple(rotated), tuple(unknown), reason)


def references(resources: Iterable[Resource | AppliedRecord]) -> frozenset[tuple[str, str]]:
    """Return every secret reference in these specs, as (tenant, `env:NAME`)."""
    return frozenset(
        (item.key.tenant, reference)
        for item in resources
        if SECRET_MARK in item.spec.raw
        for _, reference in item.spec.secrets
    )


def secret_references(
    desired: DesiredState, last: Mapping[Key, AppliedRecord], broken: BrokenScope
) -> frozenset[tuple[str, str]]:
    """Return the references that a plan needs resolved, as (tenant, text).

    The texts are the keys of `PlanContext.secrets`.
    """
    fallback = (
        record
        for key, record in last.items()
        if broken.covers(key) and key not in desired.resources
    )
    return frozen(references(desired.resources.values()) | references(fallback))
