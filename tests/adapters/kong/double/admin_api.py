"""A stateful double of Kong's Admin API, written from the contract and the recordings of 3.4.2 and
3.9.1.

`app()` is the Admin API, `status_app()` the status port, `proxy_app()` a small proxy that follows
what is loaded.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Literal

from aiohttp import web

from tests.adapters.kong.double import declarative_text
from tests.adapters.kong.double.config_endpoint import (
    Accepted,
    ConfigEndpoint,
    ConfigRequest,
    Predicate,
    map_full,
    not_here,
    too_large,
)
from tests.adapters.kong.double.dbless import DocumentLoader, Entities
from tests.adapters.kong.double.entity_builder import EntityBuilder
from tests.adapters.kong.double.faults import Faults
from tests.adapters.kong.double.node_info import NodeEndpoints
from tests.adapters.kong.double.pagination import ListRefused, Paginator
from tests.adapters.kong.double.postgres import Database
from tests.adapters.kong.double.proxy import Proxy
from tests.adapters.kong.double.requests import AdminRequest, BadJson, read_request
from tests.adapters.kong.double.resource_paths import ResourceResolver
from tests.adapters.kong.double.responses import (
    BAD_JSON,
    INTERNAL_ERROR,
    NOT_ALLOWED,
    NOT_FOUND,
    Response,
    message,
    page,
)
from tests.adapters.kong.double.schema import Entity, SchemaSet
from tests.adapters.kong.double.single_writes import (
    ReadOnlyWriter,
    SchemaEndpoints,
    is_allowed,
    target_health,
)
from tests.adapters.kong.double.store import Store

_READ = ("GET", "HEAD")


def _clock() -> int:
    return int(time.time())


class KongDouble(Faults):
    """State, hooks and faults; see the methods. `requests` holds "METHOD /path?query" in order."""

    def __init__(
        self,
        version: str = "3.9.1",
        *,
        database: Literal["off", "postgres"] = "off",
        plugins: set[str] | None = None,
        body_limit: int = 10 * 1024 * 1024,
        lmdb_limit: int | None = None,
        declarative_file: str | None = None,
        edition: str = "community",
        now: Callable[[], int] = _clock,
        worker_seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self.version = version
        self.body_limit = body_limit
        self.lmdb_limit = lmdb_limit
        self.declarative_file = declarative_file
        self.hash = declarative_text.EMPTY_HASH
        self.posts: list[str] = []
        self.requests: list[str] = []
        self.before_post: Callable[[], None] | None = None
        self.on_status: Callable[[], None] | None = None
        self.former: Entities = {}
        self.generation = 0
        self.worker_seconds = worker_seconds
        self.written: dict[str, float] = {}
        """Id of each entity that was new in the database -> when, by the monotonic clock."""
        self.deleted: list[tuple[float, str, Entity]] = []
        """When, type and entity of what was deleted from the database."""
        self.changed: list[tuple[float, str, Entity]] = []
        """When, type and former entity of what was changed in the database."""
        self.now = now
        self._refuse: Predicate | None = None
        self.schemas = SchemaSet(version, database, plugins)
        self._store = Store(self.schemas, database)
        builder = EntityBuilder(self.schemas, now)
        self._config = ConfigEndpoint(self.schemas, DocumentLoader(self.schemas, builder), now)
        self._paginator = Paginator(self._store)
        self._resources = ResourceResolver(self._store, self._paginator)
        self._node = NodeEndpoints(self._store, version, edition)
        self._node.worker_seconds = worker_seconds
        self._schema_endpoints = SchemaEndpoints(self.schemas, builder)
        self._writer: ReadOnlyWriter | Database = ReadOnlyWriter(self._store, self._resources)
        if database == "postgres":
            self._writer = Database(self._store, self._resources, builder)
        if declarative_file is not None:
            self.restart("file")

    # Applications
    # --------------------------------------------------------------------------------------------

    def app(self) -> web.Application:
        return self._application(self._admin)

    def status_app(self) -> web.Application:
        return self._application(self._status_port)

    def proxy_app(self, lag: int = 0) -> web.Application:
        """`lag`: for so many requests after a change, the old and the new routes answer in turn."""
        return self._application(Proxy(self, lag).handle)

    def _application(self, handle: Callable[[web.Request], Any]) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", handle)
        return app

    # State, hooks and faults
    # ---------------------------------------------------------------------------------

    @property
    def entities(self) -> Entities:
        """Entity type -> id -> entity as it is read back."""
        return self._store.entities

    @entities.setter
    def entities(self, entities: Entities) -> None:
        self.former, self._store.entities = self._store.entities, entities
        self.generation += 1

    def load(self, document: Entity) -> str:
        """Act as another writer: set entities and hash, return the text of the hash."""
        text = json.dumps(document, indent=1)
        self._load_text(text)
        return text

    def _load_text(self, text: str) -> None:
        accepted = self._config.evaluate(
            ConfigRequest(text, declarative_text.parse(text), False, False), None
        )
        if isinstance(accepted, Response):
            raise AssertionError(f"the double refuses what a test loads: {accepted.body}")
        # From here on the document is committed: what follows may fail and changes nothing of that.
        self.entities, self.hash = accepted.entities, accepted.digest

    def become(self, version: str) -> None:
        """Be started again as another version, over the same store."""
        self.version = version
        self._node = NodeEndpoints(self._store, version, "community")

    def switch_off(self, *plugins: str) -> None:
        """Be started again without some plugins; what is loaded stays."""
        self.restart("persisted")
        for name in plugins:
            del self.schemas.plugins[name]

    def restart(self, to: Literal["persisted", "empty", "file"]) -> None:
        """ "persisted" keeps what LMDB holds, "empty" is a fresh prefix, "file" reads
        `declarative_file` again.
        """
        self._node.answered = 0
        if to == "empty":
            self.entities, self.hash = {}, declarative_text.EMPTY_HASH
        if to == "file":
            assert self.declarative_file is not None
            self._load_text(self.declarative_file)

    def refuse(self, predicate: Predicate | None) -> None:
        """`predicate` sees each valid document.

        It answers None (fine), a text or an error tree (400 whose cause `flatten_errors` loses) or
        a number (500 without a cause).
        """
        self._refuse = predicate

    # Handling -----------------------------------------------------------------------------------
    # -------------

    async def _admin(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.rel_url.raw_path_qs}")
        sent = await read_request(request)
        if self._strikes("401", sent.line):
            return page(401, "Authorization Required").response("", escapes_slashes=False)
        answer = await self._answer(sent)
        response = answer.response(self.version, self.schemas.is_at_least("3.9"))
        if self._strikes("cut", sent.line):
            return await _cut(request, response)
        return response

    async def _answer(self, sent: AdminRequest) -> Response:
        # nginx answers before Kong reads the path: an HTML page, for single writes as well.
        if len(sent.body) > self.body_limit:
            if sent.path == "/config":
                self.posts.append(sent.body.decode(errors="replace"))
            return too_large()
        try:
            if sent.path == "/config":
                return await self._config_answer(sent)
            return await self._dispatch(sent)
        except ListRefused as problem:
            return problem.answer
        except BadJson:
            return BAD_JSON

    async def _config_answer(self, sent: AdminRequest) -> Response:
        if sent.method in _READ:
            return self._exported()
        if sent.method != "POST":
            return NOT_ALLOWED
        posted = self._config.read(sent, self._store.database)
        self.posts.append(_text_of(posted, sent))
        if self.before_post:
            self.before_post()
        if isinstance(posted, Response):
            return posted
        is_same = posted.text is not None and declarative_text.digest(posted.text) == self.hash
        if posted.checks_hash and is_same:
            return Response(304)
        evaluated = self._config.evaluate(posted, self._refuse)
        return (
            evaluated if isinstance(evaluated, Response) else await self._committed(evaluated, sent)
        )

    async def _committed(self, accepted: Accepted, sent: AdminRequest) -> Response:
        # Only after parsing and validation, as seen on 3.4.2 with six posts at a time.
        if self._strikes("busy"):
            wait = f"{self._retry_after:g}"
            return message(429, "Currently loading previous configuration", Retry_After=wait)
        if self._strikes("500"):
            return INTERNAL_ERROR
        if self.lmdb_limit is not None and len(sent.body) > self.lmdb_limit:
            return map_full()
        self.entities, self.hash = accepted.entities, accepted.digest
        return await self._after_commit(self._config.created(accepted.entities))

    async def _after_commit(self, answer: Response) -> Response:
        if self._strikes("hang"):
            await asyncio.Event().wait()
        if self._strikes("504"):
            return message(504, "Timed out while loading configuration")
        return INTERNAL_ERROR if self._strikes("lose") else answer

    def _exported(self) -> Response:
        if self._store.database != "off":
            return not_here()
        return Response(
            200, {"config": declarative_text.dump(self.entities, self._store.list_in_order)}
        )

    async def _dispatch(self, sent: AdminRequest) -> Response:
        parts = sent.path.strip("/").split("/")
        if parts[0] == "schemas" and len(parts) > 1:
            body = sent.json() if sent.method == "POST" else {}
            return self._schema_endpoints.answer(sent.method, parts[1:], body)
        if sent.path in ("/", "/status") or parts[0] == "tags":
            return self._of_node(sent, parts)
        if sent.method == "PUT" and (healthy := target_health(self._store, parts)):
            return healthy
        if sent.method in _READ:
            found = self._resources.get(sent.path, sent.query)
            return found or self._node.other(sent.path)
        return await self._write_entity(sent)

    def _of_node(self, sent: AdminRequest, parts: list[str]) -> Response:
        if sent.method not in _READ:
            return NOT_ALLOWED
        if sent.path == "/":
            return self._node.root()
        if parts[0] == "tags":
            only = parts[1] if len(parts) > 1 else None
            return self._paginator.list_tags(only, sent.path, sent.query)
        if self.on_status:
            self.on_status()
        return self._node.status(self.hash, sent.query)

    async def _write_entity(self, sent: AdminRequest) -> Response:
        place = self._resources.locate(sent.path)
        if place is None:
            return NOT_FOUND
        if sent.method == "OPTIONS":
            allowed = "GET, HEAD, OPTIONS, POST" if place.ident is None else _ENTITY_METHODS
            return Response(204, None, {"Allow": allowed, "Access-Control-Allow-Methods": allowed})
        if not is_allowed(sent.method, place):
            return NOT_ALLOWED
        body = {} if sent.method == "DELETE" else sent.json()
        is_kept = isinstance(self._writer, Database)
        if is_kept and self._strikes("500", sent.line):
            return INTERNAL_ERROR
        kind = place.schema.name
        before = dict(self.entities.get(kind, {}))
        answer = self._writer.write(sent.method, place, body)
        self._note_times(kind, before)
        return await self._after_commit(answer) if is_kept and answer.status < 300 else answer

    def _note_times(self, kind: str, before: dict[str, Entity]) -> None:
        moment, after = time.monotonic(), self.entities.get(kind, {})
        self.written.update(dict.fromkeys(after.keys() - before.keys(), moment))
        self.deleted += [(moment, kind, before[ident]) for ident in before.keys() - after.keys()]
        changed = [ident for ident in before.keys() & after.keys() if before[ident] != after[ident]]
        self.changed += [(moment, kind, before[ident]) for ident in changed]

    async def _status_port(self, request: web.Request) -> web.StreamResponse:
        answer = NOT_FOUND
        if request.path == "/status":
            answer = self._node.status(self.hash, dict(request.query))
        if request.path == "/status/ready":
            # Tells that there is a configuration, not that the latest reached all workers.
            is_empty = self._store.database == "off" and self.hash == declarative_text.EMPTY_HASH
            reason = "no configuration available (empty configuration present)"
            answer = message(503, reason) if is_empty else message(200, "ready")
        return answer.response(self.version, self.schemas.is_at_least("3.9"))


_ENTITY_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


def _text_of(posted: ConfigRequest | Response, sent: AdminRequest) -> str:
    if isinstance(posted, ConfigRequest) and posted.text is not None:
        return posted.text
    return sent.body.decode(errors="replace")


async def _cut(request: web.Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    answer = web.StreamResponse(status=whole.status, headers=whole.headers)
    answer.content_length = max(len(body), 2)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.close()
    return answer
