"""Compares two specs of one object: projection, ignored fields, field ownership, secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stoa_gitops.model.canonical import (
    SECRET_MARK,
    Json,
    JsonObject,
    Path,
    Spec,
    canonical_bytes,
    parse_path,
    secret_paths,
    value_at,
    without,
)
from stoa_gitops.model.changes import Direction, FieldChange
from stoa_gitops.model.resources import AppliedRecord, Observed, Resource
from stoa_gitops.planning.differ import differences, is_reference, mask_sensitive
from stoa_gitops.planning.inputs import Project
from stoa_gitops.planning.secret_comparison import NO_SECRETS, SecretComparison, compare_secrets


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between a desired object and the one on the gateway.

    resource  the desired side; ignored fields have the gateway's values, so applying keeps them
    """

    resource: Resource
    fields: tuple[FieldChange, ...]
    direction: Direction
    reason: str
    secret_hmacs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SpecComparer:
    """Compares specs by the rules of one gateway.

    project          rule of the adapter; None is the identity
    secrets          reference -> HMAC, None when it does not resolve
    with_references  compare references instead of HMACs: for two revisions of a catalog
    """

    project: Project | None
    secrets: Mapping[str, str | None]
    with_references: bool = False

    def compare(
        self, wanted: Resource, seen: Observed, record: AppliedRecord | None
    ) -> Comparison | None:
        """Return what differs, None for nothing."""
        # Equal canonical bytes need no parsing, and nearly all of 30,000 objects end here.
        has_secrets = SECRET_MARK in wanted.spec.raw
        projected = self._project(wanted, wanted.spec)
        is_equal = projected.raw == seen.spec.raw
        if is_equal and not has_secrets:
            return None
        rotation = self.compare_secrets(wanted, record)
        fields: tuple[FieldChange, ...] = ()
        direction = Direction.UNKNOWN
        if not is_equal:
            fields, direction = self._fields(wanted, seen, record)
        if not fields and not rotation.rotated:
            return None
        if rotation.rotated and record is not None:
            # The document has the same reference; only the value behind it is another one.
            is_only_secret = not fields and record.spec == wanted.spec
            direction = Direction.SECRET if is_only_secret else _combine(direction, Direction.GIT)
        resource = wanted
        if wanted.hints.ignore_fields:
            resource = replace(wanted, spec=Spec.of(_with_ignored_kept(wanted, seen.spec.value)))
        reason = rotation.reason if not fields else ""
        return Comparison(
            resource, _with_secret_fields(fields, rotation), direction, reason, rotation.hmacs
        )

    def compare_secrets(self, wanted: Resource, record: AppliedRecord | None) -> SecretComparison:
        """Compare the secrets of an object with the record of its last apply."""
        if self.with_references or SECRET_MARK not in wanted.spec.raw:
            return NO_SECRETS
        secrets = wanted.spec.secrets
        if wanted.hints.ignore_fields:
            secrets = tuple(secret_paths(_without(wanted.spec.value, wanted)))
        return compare_secrets(secrets, record, self.secrets)

    def _fields(
        self, wanted: Resource, seen: Observed, record: AppliedRecord | None
    ) -> tuple[tuple[FieldChange, ...], Direction]:
        refs = self.with_references
        after = self._comparable(wanted, wanted.spec)
        if canonical_bytes(after) == seen.spec.raw:
            return (), Direction.UNKNOWN
        before = _without(seen.spec.value, wanted)
        is_same_desired = record is not None and record.spec == wanted.spec
        applied = (
            after if is_same_desired else self._comparable(wanted, record.spec) if record else None
        )
        fields = differences(before, after, applied, with_references=refs)
        if applied is None or not fields:
            return fields, Direction.UNKNOWN
        has_git = bool(differences(applied, after, applied, with_references=refs))
        has_drift = bool(differences(before, applied, applied))
        return fields, _direction(has_git=has_git, has_drift=has_drift)

    def _project(self, wanted: Resource, spec: Spec) -> Spec:
        return spec if self.project is None else self.project(wanted.key.kind, spec)

    def _comparable(self, wanted: Resource, spec: Spec) -> JsonObject:
        return _without(self._project(wanted, spec).value, wanted)


def _direction(*, has_git: bool, has_drift: bool) -> Direction:
    if has_git:
        return Direction.BOTH if has_drift else Direction.GIT
    return Direction.GATEWAY if has_drift else Direction.UNKNOWN


def _combine(one: Direction, other: Direction) -> Direction:
    return other if one in (other, Direction.UNKNOWN) else Direction.BOTH


def _with_secret_fields(
    fields: tuple[FieldChange, ...], rotation: SecretComparison
) -> tuple[FieldChange, ...]:
    """Append the changed secrets, without a path that is among the fields."""
    shown = {field.path for field in fields}
    return (*fields, *(field for field in rotation.fields() if field.path not in shown))


def _without(tree: JsonObject, wanted: Resource) -> JsonObject:
    """Return the tree without the fields that are left to the gateway."""
    if not wanted.hints.ignore_fields:
        return tree
    return without(tree, wanted.hints.ignore_fields)


def _with_ignored_kept(wanted: Resource, seen: JsonObject) -> JsonObject:
    """Return the desired tree with the gateway's values in ignored fields, so they keep them."""
    tree = wanted.spec.value
    for dotted in wanted.hints.ignore_fields:
        path = parse_path(dotted)
        value = value_at(seen, path)
        holder = value_at(tree, path[:-1])
        # What a gateway shows in the place of a secret is a mask, which must never be written.
        if value is None or _has_secret(value, path) or _has_secret(value_at(tree, path), path):
            continue
        if isinstance(holder, dict):
            holder[str(path[-1])] = value
        elif isinstance(holder, list) and isinstance(path[-1], int) and path[-1] < len(holder):
            holder[path[-1]] = value
    return tree


def _has_secret(value: Json, path: Path) -> bool:
    """Whether a secret, its mask or its reference is here or below."""
    if is_reference(value) or mask_sensitive(value, path) != value:
        return True
    if isinstance(value, Mapping):
        return any(_has_secret(item, (*path, name)) for name, item in value.items())
    return isinstance(value, list) and any(_has_secret(item, path) for item in value)
