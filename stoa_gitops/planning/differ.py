"""Field changes between two canonical trees.

Three trees walk side by side: what the gateway has (`before`), what is wanted (`after`), and what was last
applied (`owned`). A field that is neither wanted nor was ever applied belongs to somebody else and is not
compared. Lists are owned as a whole. An absent field and null are one.

Values at places of secrets are never shown and never compared here: gateways do not give them back.
See `planning.sealed` for how they are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stoa_gitops.model.canonical import SECRET_FIELD, Json, JsonObject, Path
from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.secret import MASK

_PLAIN_BESIDE_SECRETS = frozenset({"type", "in", "name", "header", "hide"})
_SECRET_PARENTS = frozenset({"credentials", "auth"})
_SECRET_NAMES = frozenset({"password", "token", "secret", "clientSecret", "privateKey"})


def differences(
    before: JsonObject,
    after: JsonObject,
    owned: JsonObject | None = None,
    *,
    with_references: bool = False,
) -> tuple[FieldChange, ...]:
    """Return what turns `before` into `after`, by path: names sorted, list items by index.

    `with_references` also compares which secret is referred to, for two revisions of a catalog.
    """
    return tuple(_objects(before, after, owned, (), is_whole=False, refs=with_references))


def is_reference(value: Json) -> bool:
    """Whether this mapping stands for a secret."""
    return isinstance(value, Mapping) and len(value) == 1 and SECRET_FIELD in value


def is_sensitive(path: Path) -> bool:
    """Whether a place may hold a secret by its name, so that a gateway's value of it is withheld."""
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
        if name not in after and name not in applied and not is_whole:
            continue
        yield from _values(
            before.get(name), after.get(name), applied.get(name), (*path, name),
            is_whole=is_whole, refs=refs,
        )  # fmt: skip


def _values(
    before: Json, after: Json, owned: Json, path: Path, *, is_whole: bool, refs: bool
) -> Iterator[FieldChange]:
    if is_reference(after):
        if refs and before != after:
            yield FieldChange(path, before if is_reference(before) else None, after)
    elif is_reference(before) or (is_reference(owned) and not _is_same(before, after)):
        yield FieldChange(path, None, None, sensitive=True, note="changed")
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _objects(before, after, owned, path, is_whole=is_whole, refs=refs)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, owned, path, refs=refs)
    elif not _is_same(before, after):
        yield _shown(before, after, path)


def _lists(
    before: Sequence[Json], after: Sequence[Json], owned: Json, path: Path, *, refs: bool
) -> Iterator[FieldChange]:
    applied: Sequence[Json] = owned if isinstance(owned, list) else ()
    for index in range(max(len(before), len(after))):
        yield from _values(
            _item(before, index), _item(after, index), _item(applied, index), (*path, index),
            is_whole=True, refs=refs,
        )  # fmt: skip


def _item(items: Sequence[Json], index: int) -> Json:
    return items[index] if index < len(items) else None


def _is_same(before: Json, after: Json) -> bool:
    """JSON equality: `true` is not `1`, and `1` is `1.0`."""
    return isinstance(before, bool) == isinstance(after, bool) and before == after


def _shown(before: Json, after: Json, path: Path) -> FieldChange:
    has_parts = isinstance(before, (Mapping, list)) or isinstance(after, (Mapping, list))
    if is_sensitive(path) and not has_parts:
        return FieldChange(path, None, None, sensitive=True, note="changed")
    return FieldChange(path, mask_sensitive(before, path), mask_sensitive(after, path))


def mask_sensitive(value: Json, path: Path) -> Json:
    """Return a value fit for print: what may be a secret by its place is masked, references stay."""
    if value is None or is_reference(value):
        return value
    if isinstance(value, Mapping):
        return {name: mask_sensitive(item, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [mask_sensitive(item, (*path, index)) for index, item in enumerate(value)]
    return MASK if is_sensitive(path) else value
