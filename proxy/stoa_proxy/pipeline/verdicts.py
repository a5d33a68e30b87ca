"""What a sidecar tells a gateway: to let a request pass, changed in some headers, or to refuse it.

How each form says so:

- Envoy: any status but 200 refuses, and goes to the client as it is. Headers that a request is to
  lose are named in `x-envoy-auth-headers-to-remove`.
- nginx: `auth_request` knows 2xx, 401 and 403; anything else is its own 500. So what is neither is
  403 with the status in X-Stoa-Status.
- JSON: the document of STOA's own gateway, with the status that the client is to get.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from stoa_proxy.core.problems import Respond
from stoa_proxy.http.heads import Header, is_identity, without

_REMOVE: Final = "x-envoy-auth-headers-to-remove"
_URN: Final = "urn:stoa:problem:"
encode_json = json.JSONEncoder(separators=(",", ":")).encode
_OF_BODY = frozenset({"content-type", "content-length"})

# What gateways and their plugins say of who is calling; whoever asks may show us less than it got.
IDENTITY_NAMES: Final = (
    "x-authenticated-groups", "x-authenticated-scope", "x-authenticated-userid",
    "x-consumer-custom-id", "x-consumer-groups", "x-consumer-id", "x-consumer-name",
    "x-consumer-username", "x-credential-identifier", "x-tenant-id", "x-user-email", "x-user-id",
    "x-user-roles",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Allowed(Respond):
    """A request that may pass: `headers` are set in it, those of `removed` (lower case) go.

    `removed_query` are parameters that carry a credential, `notes` headers for the client.
    """

    removed: tuple[str, ...] = ()
    removed_query: tuple[str, ...] = ()
    notes: tuple[Header, ...] = ()


Encode = Callable[[Respond], Respond]


def for_envoy(outcome: Respond) -> Respond:
    """Return what Envoy's `ext_authz` reads."""
    if not isinstance(outcome, Allowed):
        return outcome
    headers = (*outcome.headers, (_REMOVE, _joined(outcome.removed)), *outcome.notes)
    return Respond(200, headers, context=outcome.context)


def for_nginx(outcome: Respond) -> Respond:
    """Return what nginx's `auth_request` reads; it takes no body."""
    if isinstance(outcome, Allowed):
        return Respond(200, (*outcome.headers, *outcome.notes), context=outcome.context)
    status = outcome.status if outcome.status in (401, 403) else 403
    headers = (
        *without(outcome.headers, _OF_BODY),
        ("X-Stoa-Status", str(outcome.status)),
        ("X-Stoa-Reason", reason_of(outcome)),
    )
    return Respond(status, headers, context=outcome.context)


def as_document(outcome: Respond) -> Respond:
    """Return the JSON document of a decision, under the status that the client is to get."""
    document: dict[str, object] = {"allowed": isinstance(outcome, Allowed)}
    if isinstance(outcome, Allowed):
        document["headers_to_add"] = dict(outcome.headers)
        document["headers_to_remove"] = list(outcome.removed)
        document["query_to_remove"] = list(outcome.removed_query)
        document["headers_for_client"] = dict(outcome.notes)
        status, extra = 200, tuple[Header, ...]()
    else:
        problem = _read_problem(outcome)
        kept = without(outcome.headers, _OF_BODY)
        document["status_code"] = status = outcome.status
        document["headers_to_add"], document["headers_to_remove"] = {}, []
        document["denial_reason"] = str(problem.get("detail") or problem.get("title") or "")
        document["denied_by_policy"] = reason_of(outcome)
        document["headers_for_client"] = dict(kept)
        extra = tuple(kept)
    content = encode_json(document).encode()
    headers = (("Content-Type", "application/json"), *extra)
    return Respond(status, headers, content, context=outcome.context)


def reason_of(refusal: Respond) -> str:
    """Return the stable kind of a refusal, or its status where it has none."""
    kind = str(_read_problem(refusal).get("type", ""))
    return kind.removeprefix(_URN) if kind.startswith(_URN) else f"status-{refusal.status}"


def with_removed(outcome: Respond, names: Iterable[str]) -> Respond:
    """Return the outcome with more headers that go."""
    if not isinstance(outcome, Allowed):
        return outcome
    added = {name.lower() for name, _ in outcome.headers}
    more = tuple(name for name in names if name not in added and name not in outcome.removed)
    return replace(outcome, removed=(*outcome.removed, *more)) if more else outcome


@lru_cache(maxsize=1024)
def identity_names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of a request's header names (lower case) that claim who is calling.

    Without the well-known ones, which go in any case.
    """
    return tuple(key for key in keys if is_identity(key) and key not in IDENTITY_NAMES)


@lru_cache(maxsize=1024)
def removed_names(hidden: frozenset[str], added: tuple[str, ...]) -> tuple[str, ...]:
    """Return which names a request loses: the hidden ones, and claims that are not made here."""
    return tuple(sorted({*hidden, *IDENTITY_NAMES} - {name.lower() for name in added}))


@lru_cache(maxsize=1024)
def _joined(names: tuple[str, ...]) -> str:
    return ",".join(names)


def _read_problem(refusal: Respond) -> dict[str, object]:
    try:
        value = json.loads(refusal.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
