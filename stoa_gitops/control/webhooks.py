"""Signatures of webhooks of Git servers.

A body is hashed as it arrives; it is neither kept nor parsed: the catalog is read again whatever
happened. So a forged or huge body costs no memory and reaches no parser.

| server | header | what is compared |
|---|---|---|
| GitHub | `X-Hub-Signature-256: sha256=<hex>` | HMAC-SHA256 of the body |
| Gitea, Forgejo | `X-Gitea-Signature: <hex>` | HMAC-SHA256 of the body |
| GitLab, signing token | `webhook-signature: v1,<base64> …` | HMAC-SHA256 of `id.timestamp.body` |
| GitLab, secret token | `X-Gitlab-Token` | the secret itself |

GitLab's signing form is that of the Standard Webhooks specification: `webhook-id`,
`webhook-timestamp` (Unix seconds) and `webhook-signature`, with a key that is written
`whsec_<base64>` (gitlab-org/gitlab!230944, !231325).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from stoa_gitops.model.secret import Secret

MAX_BODY: Final = 25 * 1024 * 1024
"""Bytes; GitHub sends at most 25 MB."""

TOLERANCE_SECONDS: Final = 300
"""How far a signed timestamp may be from our clock, as the libraries of Standard Webhooks."""

MAX_DELIVERIES: Final = 1_000
"""Ids of deliveries that are remembered."""

MAX_ID: Final = 200
"""Characters of an id that are kept: the sender chooses it."""

_KEY_PREFIX: Final = "whsec_"


class Verification(Protocol):
    """One delivery being checked: fed with the body, then asked."""

    def update(self, chunk: bytes) -> None:
        """Hash a part of the body."""

    def is_right(self) -> bool:
        """Whether the whole body carries the right signature."""


@dataclass
class _Signed:
    """An HMAC that grows with the body, and what was sent as signature."""

    digest: hmac.HMAC
    given: tuple[bytes, ...]

    def update(self, chunk: bytes) -> None:
        self.digest.update(chunk)

    def is_right(self) -> bool:
        expected = self.digest.digest()
        # All are compared, whichever is right, so that the time tells nothing.
        return sum(hmac.compare_digest(expected, one) for one in self.given) > 0


@dataclass(frozen=True)
class _Decided:
    """Decided before the body: by a token, or a refusal."""

    right: bool

    def update(self, chunk: bytes) -> None:
        """Ignore the body: it is not signed."""

    def is_right(self) -> bool:
        return self.right


def verification(headers: Mapping[str, str], secret: Secret, now: datetime) -> Verification | None:
    """Return the check for a delivery by its headers; None for one without a signature.

    Of several signatures the strongest form decides, and a wrong one is not rescued by another.
    """
    raw = secret.reveal()
    if "webhook-signature" in headers:
        return _standard(headers, raw, now)
    for name, prefix in (("X-Hub-Signature-256", "sha256="), ("X-Gitea-Signature", "")):
        given = headers.get(name)
        if given is not None:
            return _hexadecimal(given, prefix, raw.encode())
    token = headers.get("X-Gitlab-Token")
    if token is None:
        return None
    sent = token.encode("utf-8", "surrogateescape")
    return _Decided(hmac.compare_digest(sent, raw.encode()))


def _hexadecimal(given: str, prefix: str, key: bytes) -> Verification:
    try:
        sent = bytes.fromhex(given.removeprefix(prefix)) if given.startswith(prefix) else b""
    except ValueError:
        sent = b""
    return _Signed(hmac.new(key, digestmod=hashlib.sha256), (sent,))


def _standard(headers: Mapping[str, str], secret: str, now: datetime) -> Verification:
    identifier, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = _decoded(secret.removeprefix(_KEY_PREFIX)) if secret.startswith(_KEY_PREFIX) else b""
    is_fresh = (
        moment.isascii()
        and moment.isdecimal()
        and len(moment) <= 12  # int() of a long text takes quadratic time
        and abs(now.timestamp() - int(moment)) <= TOLERANCE_SECONDS
    )
    if not (key and identifier and is_fresh):
        return _Decided(right=False)
    given = tuple(
        _decoded(entry.removeprefix("v1,"))
        for entry in headers["webhook-signature"].split(" ")[:10]  # several while a key is rotated
        if entry.startswith("v1,")
    )
    digest = hmac.new(key, f"{identifier}.{moment}.".encode(), hashlib.sha256)
    return _Signed(digest, given)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def delivery_id(headers: Mapping[str, str]) -> str:
    """Return the id of a delivery, the same when it is sent again; empty if it has none."""
    names = (
        "webhook-id",
        "X-GitHub-Delivery",
        "X-Gitea-Delivery",
        "Idempotency-Key",
        "X-Gitlab-Event-UUID",
    )
    for name in names:
        identifier = headers.get(name)
        if identifier:
            return identifier[:MAX_ID]
    return ""


class Deliveries:
    """Ids of the last deliveries, so that one that is sent again does nothing."""

    def __init__(self, limit: int = MAX_DELIVERIES) -> None:
        self._limit = limit
        self._known: OrderedDict[str, None] = OrderedDict()

    def is_new(self, identifier: str) -> bool:
        """Remember a delivery; whether it is the first with its id. Without an id it is new."""
        if not identifier:
            return True
        if identifier in self._known:
            self._known.move_to_end(identifier)
            return False
        self._known[identifier] = None
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return True
