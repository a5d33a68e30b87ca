"""Maps credentials of an application to Kong's key-auth and jwt credentials, and back. Pure.

The texts of these entities hold secrets in clear, as Kong wants them. A tag keeps a fingerprint of
what was written, so that a key that somebody else put there is recognised.

Ids are made of numbers. A key keeps its id wherever it stands: no two credentials may have one key,
so with a database one that changed its id would be refused (409), or away for a moment. Where its
number is not its place, a tag `stoa-place:<place> <number>` has both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ApplicationParts, Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import (
    fingerprint,
    has_owner_tag,
    owner_tag,
    tag_values,
)
from stoa_gitops.adapters.kong.entities.versions import NEWER_TOKENS
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.public_keys import verifying_algorithm
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret

KEYS: Final = "keyauth_credentials"
JWTS: Final = "jwt_secrets"
_PARTS: Final = {KEYS: "key", JWTS: "jwt"}
_PLACE: Final = re.compile(r"([0-9]{1,6}) ([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as read: canonical value, value as listed, Kong's type and tree."""

    value: JsonTree
    shown: JsonTree
    entity_type: str
    tree: JsonTree


def credential_entities(
    parts: ApplicationParts, node: NodeInfo, owner: str, *, keeps: bool = False
) -> list[Entity]:
    """Return an entity for each credential, in their order.

    With `keeps` also for keys that would not be written now: they are on the node, and stay as they
    are while something else of the application changes.

    Raises SecretUnresolved for one without a value, Inexpressible for a type that Kong does not
    get, and for a token's key that is no public key.
    """
    credentials: Any = parts.value["credentials"]
    found = [
        _tree(parts, index, one, owner, None if keeps else node)
        for index, one in enumerate(credentials)
    ]
    numbers = _numbers([(name, tree["key"]) for name, tree in found], parts.credential_numbers)
    for place, ((entity_type, tree), number) in enumerate(zip(found, numbers, strict=True)):
        tree["id"] = parts.key.identifier(owner, f"{_PARTS[entity_type]}|{number}")
        if number != place:
            tree["tags"].append(f"stoa-place:{place} {number}")
    return [Entity.of(entity_type, tree) for entity_type, tree in found]


def _numbers(
    keys: Sequence[tuple[str, str]], known: Mapping[tuple[str, str], int]
) -> Iterator[int]:
    """Yield the number of each key: the one that it has, else its place or the first free one."""
    left = {key: known[key] for key in keys if key in known}
    taken = {(entity_type, number) for (entity_type, _), number in left.items()}
    for place, key in enumerate(keys):
        number = left.pop(key, None)
        if number is None:
            number = next(n for n in chain([place], count()) if (key[0], n) not in taken)
            taken.add((key[0], number))
        yield number


def _tree(
    parts: ApplicationParts,
    index: int,
    credential: Mapping[str, Any],
    owner: str,
    node: NodeInfo | None,
) -> tuple[str, JsonTree]:
    """Return Kong's type of a credential, and its tree without an id."""

    def revealed(name: str) -> str:
        secret = credential.get(name)
        # Kong generates a key or secret where none is sent, and another one at each load.
        if not isinstance(secret, Secret) or not secret.reveal():
            message = f"the {name} of credential {index + 1} leads nowhere"
            raise SecretUnresolved(f"{parts.key}: {message}")
        return secret.reveal()

    tree: JsonTree = {"consumer": {"id": parts.consumer_id}}
    if credential["type"] == "api_key":
        key = revealed("key")
        printed, entity_type = key, KEYS
        tree["key"] = key
    elif credential["type"] == "jwt":
        key, issuer = revealed("key"), revealed("clientId")
        printed, entity_type = token_fingerprint_input(issuer, key), JWTS
        tree |= {"key": issuer, **_verifying(key, node)}
    else:
        raise Inexpressible(f"Kong is not told credentials of type {credential['type']}")
    tree["tags"] = [owner_tag(owner), f"stoa-print:{fingerprint(printed)}"]
    return entity_type, tree


def _verifying(key: str, node: NodeInfo | None) -> dict[str, str]:
    """Return the fields that verify a token; without a node those of a key that is there already.

    Raises Inexpressible for what is no public key, and for one that the node has no algorithm for.
    """
    if node is not None and node.is_imagined:
        return {"rsa_public_key": key}
    try:
        algorithm = verifying_algorithm(key)
    except Inexpressible:
        if node is not None:
            raise
        return {"secret": key}
    if node is not None and algorithm in _NEWER and node.version < NEWER_TOKENS:
        raise Inexpressible(
            f"the key of a jwt credential is for {algorithm}, which Kong knows from 3.7 on"
        )
    return {"rsa_public_key": key, "algorithm": algorithm}


_NEWER: Final = frozenset({"ES512", "EdDSA"})


def key_losses(credentials: Sequence[Mapping[str, Any]], node: NodeInfo | None) -> Iterator[Loss]:
    """Yield the keys of tokens that Kong does not get, where their values are known.

    `node` is None before anybody asked it for its version.
    """
    for index, one in enumerate(credentials):
        key = one.get("key")
        if one["type"] != "jwt" or not isinstance(key, Secret):
            continue
        try:
            if node is None:
                verifying_algorithm(key.reveal())
            else:
                _verifying(key.reveal(), node)
        except Inexpressible as error:
            yield Loss(str(error), at=("credentials", index, "key"))


def token_fingerprint_input(issuer: str, key: str) -> str:
    """Return the text that a token credential's fingerprint is made of: issuer and key."""
    return f"{issuer}\n{key}"


def unsafe_keys(credentials: Sequence[Credential]) -> Iterator[tuple[int, str]]:
    """Yield place and reason of each key on a node with which tokens could be forged."""
    for index, one in enumerate(credentials):
        if one.value["type"] == "jwt":
            try:
                verifying_algorithm(one.value["key"].reveal())
            except Inexpressible as error:
                yield index, str(error)


def read_credentials(
    keys: Sequence[JsonTree], jwts: Sequence[JsonTree], key: Key, owner: str
) -> list[Credential]:
    """Return the credentials of a consumer: ours in the order of writing, then the others."""
    found = [_read_key(tree, owner) for tree in keys]
    found += [_read_jwt(tree, owner) for tree in jwts]
    places = _places(found, key, owner)
    last = (1 + max((place for place, _ in places.values()), default=0), 0)
    return sorted(found, key=lambda one: (places.get(one.tree["id"], last)[0], one.tree["id"]))


def credential_numbers(
    entities: Iterable[Entity], key: Key, owner: str
) -> Mapping[tuple[str, str], int]:
    """Return the numbers of the ids of ours, by Kong's type and key."""
    trees = {
        KEYS: [one.tree for one in entities if one.type == KEYS],
        JWTS: [one.tree for one in entities if one.type == JWTS],
    }
    found = read_credentials(trees[KEYS], trees[JWTS], key, owner)
    places = _places(found, key, owner)
    # Of two with one key, which a document may name, the first counts.
    return {
        (one.entity_type, str(one.tree.get("key", ""))): places[one.tree["id"]][1]
        for one in reversed(found)
        if one.tree["id"] in places
    }


def _places(found: Sequence[Credential], key: Key, owner: str) -> Mapping[str, tuple[int, int]]:
    """Return place and number of each id that is ours."""
    known: dict[str, tuple[int, int]] = {}
    # A few more than there are: one in the middle may have been taken away.
    for number in range(len(found) + 8 if found else 0):
        for part in _PARTS.values():
            known[key.identifier(owner, f"{part}|{number}")] = number, number
    for one in found:
        for text in tag_values(one.tree, "place"):
            written = _PLACE.fullmatch(text)
            if written is None:
                continue
            place, number = int(written[1]), int(written[2])
            if one.tree["id"] == key.identifier(owner, f"{_PARTS[one.entity_type]}|{number}"):
                known[one.tree["id"]] = place, number
    return {one.tree["id"]: known[one.tree["id"]] for one in found if one.tree["id"] in known}


def _read_key(tree: JsonTree, owner: str) -> Credential:
    key = str(tree.get("key", ""))
    value = {"type": "api_key", "key": Secret(key)}
    return Credential(value, _shown(value, tree, key, owner), KEYS, tree)


def _read_jwt(tree: JsonTree, owner: str) -> Credential:
    issuer = str(tree.get("key", ""))
    key = str(tree.get("rsa_public_key") or tree.get("secret") or "")
    value = {"type": "jwt", "key": Secret(key), "clientId": Secret(issuer)}
    return Credential(
        value, _shown(value, tree, token_fingerprint_input(issuer, key), owner), JWTS, tree
    )


def _shown(value: JsonTree, tree: JsonTree, content: str, owner: str) -> JsonTree:
    if has_owner_tag(tree, owner) and next(tag_values(tree, "print"), "") != fingerprint(content):
        return {**value, "type": f"{value['type']} (another key)"}
    return value
