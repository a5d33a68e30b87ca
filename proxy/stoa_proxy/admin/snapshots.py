"""`/admin/snapshots`: records of requests that were answered 500 or above."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.snapshots import Snapshots
from stoa_proxy.http.heads import RequestHead

NAME: Final = "snapshots"

_MOST: Final = 500
_DEFAULT: Final = 20
_JSON: Final = (("Content-Type", "application/json"),)
_READS: Final = Respond(405, (("Allow", "GET,HEAD"),))
_ALL: Final = Respond(405, (("Allow", "GET,HEAD,DELETE"),))


class _Query(NamedTuple):
    """Which snapshots are asked for; None for those of all. `before` is an id, or empty."""

    tenant_id: str | None
    api_id: str | None
    before: str
    limit: int
    offset: int


class SnapshotAdmin:
    """Serves snapshots; of a gateway of one tenant (`tenant_id`) that tenant's alone."""

    def __init__(self, kept: Snapshots, tenant_id: str | None) -> None:
        self._kept = kept
        self._tenant_id = tenant_id

    def handle(self, head: RequestHead, parts: Sequence[str], query: str, now: float) -> Respond:
        """Return the response to an authorized request for what is below `/admin/snapshots`."""
        self._kept.expire(now)
        is_read = head.method in ("GET", "HEAD")
        if len(parts) == 1:
            return self._show(parts[0]) if is_read else _READS
        if parts:
            return Respond(404)
        if not is_read and head.method != "DELETE":
            return _ALL
        asked = _parse(query, self._tenant_id)
        if isinstance(asked, Respond):
            return asked
        return self._list(asked) if is_read else self._clear(asked)

    def _list(self, asked: _Query) -> Respond:
        found = self._kept.find(asked.tenant_id, asked.api_id)
        if asked.before:
            found = [one for one in found if one.id < asked.before]
        shown = ",".join(one.content for one in found[asked.offset : asked.offset + asked.limit])
        counts = json.dumps({"total": len(found), "limit": asked.limit, "offset": asked.offset})
        # Each is JSON already.
        return Respond(200, _JSON, f'{{"snapshots":[{shown}],{counts[1:]}'.encode())

    def _show(self, request_id: str) -> Respond:
        for one in self._kept.find(self._tenant_id, None):
            if one.id == request_id:
                return Respond(200, _JSON, one.content.encode())
        body = {"error": "snapshot not found", "request_id": request_id}
        return Respond(404, _JSON, json.dumps(body).encode())

    def _clear(self, asked: _Query) -> Respond:
        if asked.api_id is not None or asked.before:
            return problem(400, "Snapshot query refused", "DELETE takes a tenant, or nothing")
        cleared = self._kept.clear(asked.tenant_id)
        return Respond(200, _JSON, json.dumps({"cleared": cleared}).encode())


def _parse(query: str, tenant_id: str | None) -> _Query | Respond:
    values = parse_qs(query, keep_blank_values=True)
    unknown = sorted(values.keys() - {"tenant", "api", "before", "limit", "offset"})
    if unknown or any(len(one) > 1 for one in values.values()):
        detail = "there are tenant, api, before, limit and offset, each once"
        return problem(400, "Snapshot query refused", detail)
    texts = {name: one[0] for name, one in values.items()}
    limit, offset = texts.get("limit", str(_DEFAULT)), texts.get("offset", "0")
    if not _is_number(limit) or not 1 <= int(limit) <= _MOST or not _is_number(offset):
        detail = f"limit is a number from 1 to {_MOST}, offset one from 0"
        return problem(400, "Snapshot query refused", detail)
    asked = texts.get("tenant")
    if tenant_id is not None and asked not in {None, tenant_id}:
        return problem(404, "No such tenant here")
    before = texts.get("before", "")
    return _Query(tenant_id or asked, texts.get("api"), before, int(limit), int(offset))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
