"""Pages of lists: offsets, tags, and what each version does wrong with them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import quote

from tests.adapters.kong.double.lua_errors import failure
from tests.adapters.kong.double.responses import INTERNAL_ERROR, Response, failed
from tests.adapters.kong.double.schema import Entity
from tests.adapters.kong.double.store import Store, with_port

WORKSPACE = "0dc6f45b-8f8d-40d2-a504-473544ee190b"
_RANGE = "size must be an integer between 1 and 1000"
Query = dict[str, str]


class ListRefused(Exception):
    """The list cannot be served; carries the answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer)
        self.answer = answer


def encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class Paginator:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._has_key_offsets = store.database == "off" and store.schemas.is_at_least("3.9")
        self._has_database = store.database == "postgres"

    def list_collection(self, kind: str, path: str, query: Query) -> Response:
        size, tags = _size(query), self._parse_tag_filter(query)
        items = self._store.list_in_order(kind)
        if kind == "keys" and not self._has_key_offsets and not self._has_database:
            items = _without_key_sets(items)
        if self._has_key_offsets:
            scope = "*" if tags else WORKSPACE
            prefix = f"{kind}|*|*|" if tags else f"{kind}|{scope}|*|"
            # 3.9: tags are compared after the page was cut, so pages may be empty while `next` is
            # set.
            chosen, offset = self._after_key(items, prefix, query.get("offset"), size)
            return _page([one for one in chosen if _matches(one, tags)], offset, path, query)
        if tags:
            items = sorted((o for o in items if _matches(o, tags)), key=lambda one: str(one["id"]))
        if self._has_database:
            return _page(*self._after_row(items, query.get("offset"), size), path, query)
        return _page(*_after_number(items, query.get("offset"), size), path, query)

    def list_nested(
        self,
        items: list[Entity],
        scope: str,
        path: str,
        query: Query,
        *,
        shows_offset: bool = False,
    ) -> Response:
        """Children of one entity; `scope` is "routes|<ws>|service|<id>|".

        The next address loses size and tags; that of `targets/all` stands beside its offset.
        """
        size, offset = _size(query), query.get("offset")
        if self._has_key_offsets:
            if offset is not None:
                return _page([], None, path, {})
            page = self._after_key(items, scope, None, size)
            return _page(*page, path, {}, is_nested=not shows_offset)
        if self._has_database:
            return _page(*self._after_row(items, offset, size), path, {})
        # 3.4 without a database: a tag filter empties every nested list.
        if "tags" in query:
            items = []
        return _page(*_after_number(items, offset, size), path, {})

    def list_targets(self, items: list[Entity], scope: str, path: str, query: Query) -> Response:
        """`/upstreams/{u}/targets`: of each address the latest, newest first.

        3.9.1 looks at the first 100 by id, whatever the size, and has no further page.
        """
        if self._has_key_offsets:
            return _page(_latest(items[:100]), None, path, {})
        return self.list_nested(_latest(items), scope, path, query)

    def list_tags(self, only: str | None, path: str, query: Query) -> Response:
        size = _size(query)
        carried = {} if only else query
        if self._has_key_offsets:
            return self._list_tags_by_type(only, size, path, query)
        rows = _tag_rows(self._store, list(self._store.entities), only)
        if self._has_database:
            rows.sort(key=lambda row: str(row["entity_id"]))
            chosen, more = self._after_row(rows, query.get("offset"), size, "entity_id")
            return _page(chosen, more, path, carried)
        if only:
            return Response(200, {"data": {}, "next": None})
        return _page(*_after_number(rows, query.get("offset"), size), path, carried)

    def _list_tags_by_type(self, only: str | None, size: int, path: str, query: Query) -> Response:
        """One entity type a page; those that are mostly empty come first."""
        others = [kind for kind in self._store.schemas.entities if kind != "vaults"]
        kinds = ["vaults", *reversed(others)]
        last = (query.get("offset") or "|").split("|")[0]
        at = kinds.index(last) + 1 if last in kinds else 0
        if at >= len(kinds):
            return _page([], None, path, {})
        rows = _tag_rows(self._store, [kinds[at]], only)
        offset = f"{kinds[at]}|nil" if at + 1 < len(kinds) else None
        return _page(rows, offset, path, {} if only else query)

    def _parse_tag_filter(self, query: Query) -> list[list[str]]:
        """Alternatives of tags that all must be there; [] without a filter."""
        if "tags" not in query:
            return []
        text = query["tags"]
        if not text:
            if self._store.schemas.is_at_least("3.5"):
                raise ListRefused(_bad_option("cannot be null"))
            # 3.4: an empty filter is a 500; 3.9 says why.
            raise ListRefused(INTERNAL_ERROR)
        if "," in text and "/" in text:
            raise ListRefused(_bad_option("invalid filter syntax"))
        parts = re.split("[,/]", text)
        # Kong's limit for one query.
        if len(parts) > 5:
            raise ListRefused(_bad_option("cannot query more than 5 tags"))
        return [[part] for part in parts] if "/" in text else [parts]

    def _after_key(
        self, items: list[Entity], prefix: str, offset: str | None, size: int
    ) -> tuple[list[Entity], str | None]:
        if offset == "":
            raise ListRefused(INTERNAL_ERROR)
        if offset is not None:
            start = _decoded(offset).decode(errors="replace")
            is_inside = start.startswith(prefix)
            items = [one for one in items if is_inside and prefix + one["id"] >= start]
        chosen = items[:size]
        is_full = len(chosen) == size
        return chosen, encode(f"{prefix}{chosen[-1]['id']}\0") if is_full else None

    def _after_row(
        self, items: list[Entity], offset: str | None, size: int, key: str = "id"
    ) -> tuple[list[Entity], str | None]:
        if offset is not None:
            try:
                last = json.loads(_decoded(offset))[0]
            except (ValueError, TypeError, IndexError):
                raise ListRefused(_bad_offset(offset, "bad json encoding")) from None
            items = [one for one in items if str(one[key]) > last]
        chosen = items[:size]
        row = json.dumps([chosen[-1][key]]) if len(items) > size else None
        return chosen, encode(row) if row else None


def _latest(targets: list[Entity]) -> list[Entity]:
    found: dict[str, Entity] = {}
    for one in sorted(targets, key=lambda one: (one["created_at"], str(one["id"])), reverse=True):
        found.setdefault(with_port(str(one["target"])), one)
    return list(found.values())


def _without_key_sets(items: list[Entity]) -> list[Entity]:
    """3.4.2 lists a key without a set twice, and the one in a set not at all."""
    loose = [one for one in items if not one.get("set")]
    return [loose[0] if loose and one.get("set") else one for one in items]


def _after_number(
    items: list[Entity], offset: str | None, size: int
) -> tuple[list[Entity], str | None]:
    start = 1
    if offset is not None:
        text = _decoded(offset)
        if not text.isdigit():
            raise ListRefused(_bad_offset(offset, "invalid offset"))
        start = int(text)
    chosen = items[start - 1 : start - 1 + size]
    return chosen, encode(str(start + size)) if len(chosen) == size else None


def _page(
    data: list[Entity], offset: str | None, path: str, query: Query, *, is_nested: bool = False
) -> Response:
    if offset is None:
        return Response(200, {"data": data, "next": None})
    carried: Query = {name: query[name] for name in ("tags", "size") if name in query}
    pairs: Query = {"offset": offset, **carried}
    words = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())
    body: dict[str, Any] = {"data": data, "next": f"{path}?{words}"}
    return Response(200, body if is_nested else {**body, "offset": offset})


def _size(query: Query) -> int:
    # Kong's default page.
    if "size" not in query:
        return 100
    try:
        size = float(query["size"])
    except ValueError:
        raise ListRefused(failed(failure(9, "size must be a number"))) from None
    if not size.is_integer() or not 1 <= size <= 1000:
        raise ListRefused(failed(failure(9, _RANGE)))
    return int(size)


def _decoded(offset: str) -> bytes:
    try:
        if not re.fullmatch(r"[A-Za-z0-9_+/=-]*", offset):
            raise ValueError(offset)
        return base64.urlsafe_b64decode(offset + "=" * (-len(offset) % 4))
    except (ValueError, binascii.Error):
        raise ListRefused(_bad_offset(offset, "bad base64 encoding")) from None


def _bad_offset(offset: str, reason: str) -> Response:
    return failed(failure(7, f"'{offset}' is not a valid offset: {reason}"))


def _bad_option(reason: str) -> Response:
    text = f"invalid option (tags: {reason})"
    return failed(failure(11, text, options={"tags": reason}))


def _matches(entity: Entity, tags: list[list[str]]) -> bool:
    own = set(entity.get("tags") or [])
    return not tags or any(own.issuperset(wanted) for wanted in tags)


def _tag_rows(store: Store, kinds: list[str], only: str | None) -> list[Entity]:
    return [
        {"tag": tag, "entity_name": kind, "entity_id": one["id"]}
        for kind in kinds
        for one in store.list_in_order(kind)
        for tag in one.get("tags") or []
        if only is None or tag == only
    ]
