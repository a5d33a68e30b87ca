"""Maps credentials of an application to Kong's key-auth and jwt credentials, and back. Pure.

The texts of these entities hold secrets in clear, as Kong wants them. A tag keeps a fingerprint of
what was written, so that a key that somebody else put there is recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    return [
        _entity(parts, index, one, owner, None if keeps else node)
        for index, one in enumerate(credentials)
    ]


def _entity(
    parts: ApplicationParts,
    index: int,
    credential: Mapping[str, Any],
    owner: str,
    node: NodeInfo | None,
) -> Entity:
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
        printed, entity_type, part = key, KEYS, f"key|{index}"
        tree["key"] = key
    elif credential["type"] == "jwt":
        key, issuer = revealed("key"), revealed("clientId")
        printed, entity_type, part = token_fingerprint_input(issuer, key), JWTS, f"jwt|{index}"
        tree |= {"key": issuer, **_verifying(key, node)}
    else:
        raise Inexpressible(f"Kong is not told credentials of type {credential['type']}")
    tree["id"] = parts.key.identifier(owner, part)
    tree["tags"] = [owner_tag(owner), f"stoa-print:{fingerprint(printed)}"]
    return Entity.of(entity_type, tree)


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
    found = {tree["id"]: _read_key(tree, owner) for tree in keys}
    found |= {tree["id"]: _read_jwt(tree, owner) for tree in jwts}
    places = {identifier: n for n, identifier in enumerate(_places(key, owner, len(found)))}
    return [found[i] for i in sorted(found, key=lambda i: (places.get(i, len(places)), i))]


def _places(key: Key, owner: str, count: int) -> Iterator[str]:
    # A few more than there are: one in the middle may have been taken away.
    for index in range(count + 8 if count else 0):
        yield key.identifier(owner, f"key|{index}")
        yield key.identifier(owner, f"jwt|{index}")


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
