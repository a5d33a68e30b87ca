"""Secret values of entities, so that a node's messages can be shown without them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.model.redaction import MIN_EMBEDDED, Redactor
from stoa_gitops.model.secret import Secret

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "keyauth_credentials": ("key",),
    "basicauth_credentials": ("password",),
    "jwt_secrets": ("secret", "key", "rsa_public_key"),
    "hmacauth_credentials": ("secret",),
    "oauth2_credentials": ("client_secret", "client_id"),
    "oauth2_tokens": ("access_token", "refresh_token"),
    "certificates": ("key", "key_alt"),
    "keys": ("jwk", "pem"),
}
_PARTS: Final = ("password", "secret", "token", "authorization", "key")
"""Parts of names of plugin fields that may hold a secret; so may every value of a header."""


def build_redactor(entities: Mapping[str, Sequence[Entity]]) -> Redactor:
    """Return the scrubber for messages about a document with these entities."""
    # What is a secret is guessed by names of fields here: a short value, as the `iss` of
    # key_claim_name, would only blank out words of the message.
    return Redactor(Secret(text) for text in _secrets(entities) if len(text) >= MIN_EMBEDDED)


def _secrets(entities: Mapping[str, Sequence[Entity]]) -> Iterator[str]:
    for entity_type, held in entities.items():
        for entity in held:
            if entity_type == "plugins":
                yield from _of_plugin(entity.tree.get("config"))
            elif entity_type in _FIELDS:
                tree = entity.tree
                for name in _FIELDS[entity_type]:
                    yield from _texts(tree.get(name))


def _of_plugin(value: object, *, is_secret: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            lower = str(name).lower()
            is_named = any(part in lower for part in _PARTS) and lower != "key_names"
            yield from _of_plugin(item, is_secret=is_secret or is_named or lower == "headers")
    elif isinstance(value, list):
        for item in value:
            yield from _of_plugin(item, is_secret=is_secret)
    elif is_secret and isinstance(value, str):
        # Entries of transformers are `Name:value`.
        yield value.partition(":")[2] or value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
