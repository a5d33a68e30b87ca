"""The routes that STOA's own control plane answers with, for one that has no `table`.

Its list has routes alone, so policies and consumers stay as they are.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.json_body import read_json
from stoa_proxy.control_plane.table_builder import Refusal
from stoa_proxy.errors import BodyRefused, ControlPlaneFailed

MAX_BYTES: Final = 64 * 1024 * 1024
"""Of a whole list; an item may hold an OpenAPI document."""

# Of an item what the admin API documents; its `api_id` is a slug that two tenants may both have.
_FIELDS = (
    "id", "name", "tenant_id", "path_prefix", "backend_url", "methods", "spec_hash", "activated",
    "trusted_backend",
)  # fmt: skip
_DEFAULTS: Mapping[str, object] = {"methods": [], "spec_hash": "", "activated": True}
_SPACE = " \t\r\n"
_FETCHED = {
    "name": "gateway_routes_fetched",
    "status": "success",
    "detail": "route loaded from control plane",
}

Item = Mapping[str, object]


def read_items(content: bytes) -> Iterator[tuple[bytes, Item]]:
    """Yield the items of a list one by one, each as it was written and as it was parsed.

    Raises ControlPlaneFailed for what is no list.

    Parsed one by one, because a list of 10,000 would take the loop for a tenth of a second.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ControlPlaneFailed("the list of routes is not UTF-8") from None
    decoder = json.JSONDecoder()
    position = _skip(text, 0, "[")
    while True:
        position = _skip(text, position)
        if text[position : position + 1] == "]":
            break
        try:
            _, end = decoder.raw_decode(text, position)
            # Once more by the rules of the admin API: no NaN, no field twice, a bounded depth.
            raw = text[position:end].encode()
            yield raw, read_json("application/json", raw).values
        except (ValueError, RecursionError):
            raise ControlPlaneFailed("the list of routes is not JSON") from None
        except BodyRefused as refused:
            raise ControlPlaneFailed(f"the list of routes: {refused.text}") from None
        position = _skip(text, end)
        if text[position : position + 1] == ",":
            position += 1
        elif text[position : position + 1] != "]":
            raise ControlPlaneFailed("the list of routes is not whole")
    if text[position + 1 :].strip(_SPACE):
        raise ControlPlaneFailed("something follows the list of routes")


def _skip(text: str, position: int, sign: str = "") -> int:
    while text[position : position + 1] in _SPACE and position < len(text):
        position += 1
    if text[position : position + len(sign)] != sign or position >= len(text):
        raise ControlPlaneFailed("no list of routes")
    return position + len(sign)


def read_line(raw: bytes) -> Mapping[str, object]:
    """Return an item of `read_items` as the admin API takes a route, under the kind's name."""
    item = json.loads(raw)
    given = {name: item[name] for name in _FIELDS if item.get(name) is not None}
    return {"apis": {**_DEFAULTS, **given}}


def make_acks(
    items: Sequence[Item], refusals: Sequence[Refusal], member_id: str, now: str
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield whom to acknowledge as, and the body: one for each gateway that the items name."""
    reasons = {refusal.id: refusal.reason for refusal in refusals}
    synced: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        if not _is_uuid(item.get("deployment_id")):
            continue
        reason = reasons.get(str(item.get("id")))
        owner = item.get("gateway_instance_id")
        owner = str(uuid.UUID(str(owner))) if _is_uuid(owner) else member_id
        synced.setdefault(owner, []).append(_acknowledge(item, reason))
    for owner, routes in synced.items():
        yield owner, {"synced_routes": routes, "sync_timestamp": now}


def _acknowledge(item: Item, reason: str | None) -> Mapping[str, Any]:
    generation = item.get("generation", 1)
    applied = {
        "name": "gateway_routes_applied",
        "status": "success" if reason is None else "failed",
        "detail": "route table swapped" if reason is None else reason,
    }
    return {
        "deployment_id": item["deployment_id"],
        "status": "applied" if reason is None else "failed",
        "error": reason,
        "steps": [_FETCHED, applied],
        "generation": generation if isinstance(generation, int) else 1,
    }


def _is_uuid(value: object) -> bool:
    try:
        uuid.UUID(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True
