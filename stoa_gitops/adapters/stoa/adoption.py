"""Says which unmapped fields of a foreign STOA route keep it from being adopted. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, refuse_unreadable
from stoa_gitops.model.canonical import Json, JsonObject
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.unmapped import Unmapped

_FORM: Final = frozenset({"path", "methods", "hosts", "headers", "stripPath"})
"""Fields of an observed route that a document has; all others are unmapped."""

_EFFECTS: Final[Mapping[str, tuple[str, bool]]] = {
    "upstreams": (
        "requests go to these and not to backend_url; the adoption is refused while they are there",
        True,
    ),
    "upstream_http_version": (
        "the backend is called by this version; the adoption is refused while it is there", True,
    ),
    "contract_key": (
        "the route belongs to this contract of the gateway; the adoption is refused while it does",
        True,
    ),
    "load_balancer": ("goes back to round_robin, which chooses among `upstreams` only", False),
    "trusted_backend": ("becomes true, as with every route that the admin API writes", False),
}  # fmt: skip
_GONE: Final = "gone when it is adopted"
_OVERWRITTEN: Final = (
    "the first route of the API has another value, and adopted all have the same; the adoption is"
    " refused while they differ"
)
_BLOCKING: Final = frozenset({
    "upstreams", "upstream_http_version", "contract_key", "tenant_id", "backend_url", "activated",
    "timeout_ms", "retries", "fallback_url", "backend_auth", "plans", "health_check",
    "backend_tls",
})  # fmt: skip
"""Fields whose loss sends requests elsewhere or treats them otherwise, or that another owner would
write again."""

_MAX_SHOWN: Final = 400
"""Characters of a value that are shown."""


def refuse_adoption(kind: str, spec: JsonObject) -> str:
    """Return why an observed foreign object cannot be adopted; empty where it can.

    Adopting replaces a route by what its document says: where that would send requests elsewhere,
    a person has to decide on the gateway first.
    """
    if kind != API or UNREADABLE in spec:
        return refuse_unreadable(spec)
    blocking = sorted({name for _, name, _ in _unmapped_fields(spec) if name in _BLOCKING})
    if not blocking:
        return ""
    return (
        f"{', '.join(blocking)} on the gateway decides what becomes of its requests, and no"
        " document can say that: remove it there, or leave the route foreign"
    )


def describe_unmapped(
    key: Key, spec: JsonObject, policies: Iterable[Mapping[str, Any]]
) -> Iterator[Unmapped]:
    """Yield what no document can express of one foreign API, and of policies attached to it."""
    for path, name, value in _unmapped_fields(spec):
        effect, changes = _EFFECTS.get(name, (_GONE, False))
        if name in _BLOCKING and name not in _EFFECTS:
            effect, changes = _OVERWRITTEN, True
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield Unmapped(f"route {path}", name, shown[:_MAX_SHOWN], effect, key, changes)
    for policy in policies:
        what = f"policy {policy['name']}"
        effect = "stays attached to the old route, so it is not enforced once that is adopted"
        yield Unmapped(what, "policy_type", str(policy["policy_type"]), effect, key, changes=True)


def _unmapped_fields(spec: JsonObject) -> Iterator[tuple[str, str, Json]]:
    """Yield the path of a route, the name of a field and its value."""
    routes: Any = spec.get("routes", ())
    for route in routes:
        for name, value in route.items():
            if name not in _FORM:
                yield str(route["path"]), name, value
