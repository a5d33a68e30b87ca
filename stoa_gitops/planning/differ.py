"""Compares two canonical trees field by field.

Three trees are walked in parallel: what the gateway has (`before`), what is desired (`after`), and
what was last applied (`owned`). A field that is neither desired nor was ever applied belongs to
somebody else and is not compared, unless the canonical form has it: there its absence is what the
document says. Lists are owned as a whole. An absent field equals null.

Secrets are never shown and not compared here, because gateways do not return them;
`secret_comparison` compares their HMACs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stoa_gitops.model.canonical import SECRET_FIELD, Json, JsonObject, Path
from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.secret import MASK

# Fields of `credentials` and `auth` that say how a secret is sent, and are none themselves.
_PLAIN_BESIDE_SECRETS = frozenset({"type", "in", "name", "header", "hide"})
# Optional fields of the canonical forms (docs/canonical-forms.md), and those that are ours with all
# below them: a fallback, a required claim or a header that somebody adds by hand moves requests.
_OPTIONAL_FIELDS = frozenset({"access", "description", "owner"})
_WHOLE_FIELDS = frozenset({"backend", "config", "identifiers"})
_SECRET_PARENTS = frozenset({"credentials", "auth"})
# A gateway may show a value here that the catalog has as a reference, or has not at all.
_SECRET_NAMES = frozenset({"password", "token", "secret", "clientSecret", "privateKey"})


def differences(
    before: JsonObject,
    after: JsonObject,
    owned: JsonObject | None = None,
    *,
    with_references: bool = False,
) -> tuple[FieldChange, ...]:
    """Return the changes from `before` to `after`: names sorted, list items by index.

    `with_references` also compares which secret is referred to, for two revisions of a catalog.
    """
    return tuple(_objects(before, after, owned, (), is_whole=False, refs=with_references))


def is_reference(value: Json) -> bool:
    """Whether a value is a secret reference, as `{"$secret": "env:NAME"}`."""
    return isinstance(value, Mapping) and len(value) == 1 and SECRET_FIELD in value


def is_sensitive(path: Path) -> bool:
    """Whether a field may hold a secret by its name, so that its value is not shown."""
    if not path:
        return False
    if path[-1] in _SECRET_NAMES:
        return True
    return path[-1] not in _PLAIN_BESIDE_SECRETS and any(part in _SECRET_PARENTS for part in path)


def _objects(
    before: JsonObject, after: JsonObject, owned: Json, path: Path, *, is_whole: bool, refs: bool
) -> Iterator[FieldChange]:
    applied: JsonObject = owned if isinstance(owned, Mapping) else {}
    for name in sorted({*before, *after}):
        # Items of lists are whole: what somebody added inside of one is a difference.
        is_whole_here = is_whole or (not path and name in _WHOLE_FIELDS)
        is_ours = is_whole_here or name in after or name in applied
        if not is_ours and (path or name not in _OPTIONAL_FIELDS):
            continue
        yield from _values(
            before.get(name),
            after.get(name),
            applied.get(name),
            (*path, name),
            is_whole=is_whole_here,
            refs=refs,
        )


def _values(
    before: Json, after: Json, owned: Json, path: Path, *, is_whole: bool, refs: bool
) -> Iterator[FieldChange]:
    # Only a change of the reference shows here; whether its value changed, HMACs tell.
    if is_reference(after):
        if refs and before != after:
            yield FieldChange(path, before if is_reference(before) else None, after)
    elif is_reference(before) or (is_reference(owned) and not _is_equal(before, after)):
        yield FieldChange(path, None, None, sensitive=True, note="changed")
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _objects(before, after, owned, path, is_whole=is_whole, refs=refs)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, owned, path, refs=refs)
    elif not _is_equal(before, after):
        yield _field_change(before, after, path)


def _lists(
    before: Sequence[Json], after: Sequence[Json], owned: Json, path: Path, *, refs: bool
) -> Iterator[FieldChange]:
    applied: Sequence[Json] = owned if isinstance(owned, list) else ()
    # By index, not aligned: an item in front changes all behind it, which costs only readability.
    for index in range(max(len(before), len(after))):
        yield from _values(
            _item(before, index),
            _item(after, index),
            _item(applied, index),
            (*path, index),
            is_whole=True,
            refs=refs,
        )


def _item(items: Sequence[Json], index: int) -> Json:
    return items[index] if index < len(items) else None


def _is_equal(before: Json, after: Json) -> bool:
    """Whether two JSON values are equal: `true` is not `1` (in Python it is), but `1` is `1.0`."""
    return isinstance(before, bool) == isinstance(after, bool) and before == after


def _field_change(before: Json, after: Json, path: Path) -> FieldChange:
    has_parts = isinstance(before, (Mapping, list)) or isinstance(after, (Mapping, list))
    if is_sensitive(path) and not has_parts:
        return FieldChange(path, None, None, sensitive=True, note="changed")
    return FieldChange(path, mask_sensitive(before, path), mask_sensitive(after, path))


def mask_sensitive(value: Json, path: Path) -> Json:
    """Return the value with `***` at fields that may hold secrets; references stay."""
    if value is None or is_reference(value):
        return value
    if isinstance(value, Mapping):
        return {name: mask_sensitive(item, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [mask_sensitive(item, (*path, index)) for index, item in enumerate(value)]
    return MASK if is_sensitive(path) else value
