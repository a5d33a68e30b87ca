"""Objects of the whole gateway (aliases, authorization servers, strategies, scopes) and back. Pure.

A document says some fields of such an object, and the server fills in others and masks secrets. The
mark in its description names the fields that are ours, with the fingerprint of a secret: only these
are read back and compared.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.adapters.webmethods.entities.marks import (
    Mark,
    fingerprint,
    read_mark,
    without_mark,
)
from stoa_gitops.adapters.webmethods.entities.parts import UNMAPPED, JsonTree
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import ALIAS, AUTH_SERVER, SCOPE, STRATEGY
from stoa_gitops.model.secret import WITHHELD, Secret


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """Where a kind of object is, and what its fields are called.

    path, listed   of its list
    envelope       of an answer to a write
    name, text     fields with its name and its description
    defaults       fields that a document need not say
    """

    path: str
    listed: str
    envelope: str
    name: str = "name"
    text: str = "description"
    defaults: Mapping[str, Any] | None = None


KINDS: Final[Mapping[str, ObjectKind]] = {
    AUTH_SERVER: ObjectKind("/alias", "alias", "alias", defaults={"type": "authServerAlias"}),
    ALIAS: ObjectKind("/alias", "alias", "alias", defaults={"type": "simple"}),
    STRATEGY: ObjectKind("/strategies", "strategies", "strategy", defaults={"type": "OAUTH2"}),
    SCOPE: ObjectKind("/scopes", "scopes", "scope", "scopeName", "scopeDescription"),
}

_ENCODED: Final = frozenset({"password", "secret"})
"""Secrets that are sent in base64 (contract webmethods.md A.6, A.8)."""

_FIELD, _SECRET = "field", "secret"


def compile_object(spec: ObjectSpec) -> JsonTree:
    """Return the body of an object of the whole gateway, without an envelope, secrets in it.

    Raises SecretUnresolved for a secret without a value, Inexpressible for a name of a field that
    no mark can hold.
    """
    kind = KINDS[spec.key.kind]
    value: Any = {**(kind.defaults or {}), **spec.value}
    described = str(value.pop(kind.text, "") or "")
    words = [("kind", spec.key.kind)]
    for path, item in _leaves(value):
        if item is None:
            raise SecretUnresolved(f"{spec.key}: {path} leads nowhere")
        if any(letter.isspace() or letter in "=]:" for letter in path):
            raise Inexpressible(f"{spec.key}: the field {path}: its name has a blank or a sign")
        is_secret = isinstance(item, Secret)
        printed = f":{fingerprint(item.reveal())}" if isinstance(item, Secret) else ""
        words.append((_SECRET if is_secret else _FIELD, f"{path}{printed}"))
    mark = Mark(spec.owner, spec.key, tuple(words))
    return {**_encoded(value), kind.name: spec.key.name, kind.text: mark.below(described)}


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        path = f"{before}{name}"
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, f"{path}.")
        else:
            yield path, item


def _encoded(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {field: _encoded(item, field) for field, item in value.items()}
    if isinstance(value, Secret) and name in _ENCODED:
        return Secret(base64.b64encode(value.reveal().encode()).decode())
    return value


def project_object(kind: str, spec: Mapping[str, Any]) -> JsonTree:
    """Return what a list reports of an object that was written."""
    of_kind = KINDS[kind]
    value = {**(of_kind.defaults or {}), **spec}
    if not value.get(of_kind.text):
        value.pop(of_kind.text, None)
    return value


def is_of(tree: Mapping[str, Any], owner: str, key: Key) -> bool:
    """Whether an object carries the mark of this catalog and key."""
    mark = read_mark(tree.get(KINDS[key.kind].text), key.kind)
    return mark is not None and mark.owner == owner and mark.key == key


def read_objects(kind: str, trees: list[JsonTree], owner: str) -> list[ListItem]:
    """Return the objects of a kind that carry a mark; others are no document's matter."""
    of_kind = KINDS[kind]
    found = []
    for tree in trees:
        mark = read_mark(tree.get(of_kind.text), kind)
        if mark is None or mark.key != Key(kind, "", mark.key.name):
            continue
        value: JsonTree = {}
        for name, word in mark.words:
            path, _, printed = word.partition(":")
            if name == _FIELD:
                _put(value, path, _at(tree, path))
            elif name == _SECRET and printed:
                _put(value, path, WITHHELD)
        text = without_mark(tree.get(of_kind.text))
        if text:
            value[of_kind.text] = text
        managed = mark.owner == owner
        gateway_id = str(tree.get("id") or "")
        spec = {**value, UNMAPPED: None}
        found.append(list_item(mark.key, spec, gateway_id, managed=managed, owner=mark.owner))
    return found


def _at(tree: Mapping[str, Any], path: str) -> Any:
    held: Any = tree
    for name in path.split("."):
        held = held.get(name) if isinstance(held, Mapping) else None
    return held


def _put(value: JsonTree, path: str, item: Any) -> None:
    *holders, last = path.split(".")
    for name in holders:
        value = value.setdefault(name, {})
    value[last] = item
