"""Finds applications that would be told from each other by nothing: one key for two of them. Pure.

Secrets are known by their HMACs, so this is seen only where they resolve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from stoa_gitops.model.canonical import SECRET_FIELD, SECRET_MARK, JsonObject
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.resources import AppliedRecord, DesiredState
from stoa_gitops.planning.broken_scope import BrokenScope

_IDENTIFYING: Final[Mapping[str, str]] = {
    "api_key": "key", "basic": "username", "jwt": "clientId", "oauth2": "clientId",
}  # fmt: skip
"""The secret by which a gateway finds the consumer of a request, by type of credential."""

# Said to tenants: whose key it is would be an answer to a guess.
_TAKEN: Final = "its key is not available here; give it another one"

_Identity = tuple[str, str]


def find_shared(
    desired: DesiredState,
    last: Mapping[Key, AppliedRecord],
    secrets: Mapping[str, str | None],
    broken: BrokenScope,
) -> dict[Key, str]:
    """Return why an application is held back, by key; nothing for the one that has its key already.

    A key that is applied stays with its application. Where none has it yet, or several have, nobody
    can say whose it is: none of them is written.
    """
    users: dict[_Identity, set[Key]] = {}
    for key, resource in desired.resources.items():
        if key.kind == APPLICATION and SECRET_MARK in resource.spec.raw:
            for identity in _identities(resource.spec.value, secrets):
                users.setdefault(identity, set()).add(key)
    for key, record in last.items():
        # What stands in for a broken document has its key, too.
        if key.kind == APPLICATION and key not in desired.resources and broken.covers(key):
            for identity in _applied(record):
                users.setdefault(identity, set()).add(key)
    found: dict[Key, str] = {}
    for identity, keys in users.items():
        if len(keys) > 1:
            holders = {k for k in keys if k in last and identity in set(_applied(last[k]))}
            losers = keys - holders if len(holders) == 1 else keys
            found |= {key: _message(key, keys - {key}) for key in losers}
    return found


def _message(key: Key, others: set[Key]) -> str:
    if any(other.tenant != key.tenant for other in others):
        return _TAKEN
    return f"has the key of {', '.join(map(str, sorted(others)))}; give each its own"


def _identities(spec: JsonObject, secrets: Mapping[str, str | None]) -> Iterator[_Identity]:
    """Yield (type, HMAC) of each credential whose secret resolves."""
    listed = spec.get("credentials")
    for item in listed if isinstance(listed, list) else ():
        kind = str(item.get("type")) if isinstance(item, dict) else ""
        field = _IDENTIFYING.get(kind, "")
        value = item.get(field) if field else None
        reference = value.get(SECRET_FIELD) if isinstance(value, dict) else None
        hmac = secrets.get(str(reference)) if reference else None
        if hmac is not None:
            yield kind, hmac


def _applied(record: AppliedRecord) -> Iterator[_Identity]:
    """Yield (type, HMAC) of each credential as it was applied."""
    listed = record.spec.value.get("credentials")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        kind = str(item.get("type")) if isinstance(item, dict) else ""
        hmac = record.secret_hmacs.get(f"credentials.{index}.{_IDENTIFYING.get(kind, '')}")
        if hmac:
            yield kind, hmac
