"""`POST /search`: what lists leave out, of the same index."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.adapters.webmethods.double.aliases import shown as shown_alias
from tests.adapters.webmethods.double.answers import Refused, Tree, object_of
from tests.adapters.webmethods.double.archive_export import matches
from tests.adapters.webmethods.double.store import Store

_TYPES = {"api": "apis", "policy": "policies", "policy_action": "actions", "alias": "aliases",
          "application": "applications", "gateway_scope": "scopes",
          "url_alias": "url_aliases"}  # fmt: skip


class Search:
    """Handlers of one double."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def post(self, request: web.Request) -> web.Response:
        body = await object_of(request)
        return web.json_response({kind.lower(): self._page(found, body)
                                  for kind, found in self._found(body).items()})  # fmt: skip

    async def count(self, request: web.Request) -> web.Response:
        body = await object_of(request)
        return web.json_response({k.lower(): len(v) for k, v in self._found(body).items()})

    def _found(self, body: Tree) -> dict[str, list[Tree]]:
        kinds = body.get("types")
        if not isinstance(kinds, list) or not kinds:
            raise Refused(400, "Mandatory field types is missing in the input request body")
        if body.get("scope") and body.get("condition") not in ("and", "or"):
            raise Refused(400, "Mandatory field condition is missing in the input request body")
        found = {}
        for kind in kinds:
            if kind.lower() not in _TYPES:
                raise Refused(400, f"Invalid type {kind}")
            records = getattr(self._store, _TYPES[kind.lower()]).listed()
            found[kind] = [shown_alias(one) if kind.lower() == "alias" else one
                           for one in records if matches(one, body)]  # fmt: skip
        return found

    @staticmethod
    def _page(found: list[Tree], body: Tree) -> list[Any]:
        start, size = max(int(body.get("from", 0)), 0), int(body.get("size", -1))
        page = found[start:] if size < 0 else found[start : start + size]
        fields = body.get("responseFields") or ["*"]
        if "*" in fields:
            return page
        return [{name: one[name] for name in (*fields, "id") if name in one} for one in page]
