"""What one pulling gateway is to get: its admin API, held here on its behalf.

The ordinary STOA adapter writes to it by a call, as to a gateway in this process, so every guard of
a cycle holds. It answers as the gateway would: with the version and the extensions that it
registered with. Nothing that is written here reaches the gateway before it is published.

Gateways of one document mostly have the same objects. They share these as a snapshot, until one of
them is written to: that one has a copy then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote
from weakref import WeakValueDictionary

from stoa_proxy.admin import saved_table
from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.backend_tls import has_secrets, lacks_secrets, with_secrets
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.withheld import WITHHELD
from stoa_proxy.errors import ObjectRefused, TableUnusable
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.http.heads import RequestHead, lower_names

from stoa_gitops.control.fleet_port import Published
from stoa_gitops.fleet.registration import TABLE, Registration
from stoa_gitops.reconcile.plan_basis import DraftState

log = logging.getLogger(__name__)

TRUSTED: Final = "trusted_backend"
"""The extension that a real gateway has as one that pulls: private backends that the catalog lets
through, by a field of its routes (contract stoa.md §16.3.5)."""

_HEALTH: Final = "/admin/health"
_JSON: Final = (("Content-Type", "application/json"),)
# Which addresses a gateway may reach was checked in the catalog; the gateway checks for itself.
_ALL: Final = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TableContent:
    """A draft at one moment, without number and date.

    lines           lines of JSON, one per object, credentials in clear: for the gateway alone
    saved           the same without any credential, as the data plane's own file has it
    digest          SHA-256 of the lines; secret, because credentials could be guessed from it
    has_no_objects  there is none, not even one that is not for this gateway
    tables          documents that have these lines, by generation, as long as they are served
    """

    lines: bytes = field(repr=False)
    saved: bytes = field(repr=False)
    digest: str = field(repr=False)
    has_no_objects: bool
    tables: WeakValueDictionary[int, Published] = field(
        default_factory=WeakValueDictionary, repr=False, compare=False
    )


T = TypeVar("T")


@dataclass(eq=False, slots=True, weakref_slot=True)
class Snapshot(Generic[T]):
    """The objects of a draft, to which nobody writes any more; only the very same one is equal.

    contents  what was made of them to be published, by the tenant that it is for
    """

    objects: T
    contents: dict[str, TableContent] = field(default_factory=dict)


class Draft(ABC, Generic[T]):
    """One gateway's draft; not for threads. `administer` is `adapter_sdk.info.InProcessAdmin`."""

    def __init__(self, registration: Registration, snapshot: Snapshot[T]) -> None:
        self.registration = registration
        self.is_torn = False
        """Whether something that was published before could not be taken over."""
        # What the draft holds; nobody writes to it as long as there is a snapshot of it.
        self._objects = snapshot.objects
        self._snapshot: Snapshot[T] | None = snapshot

    def update_registration(self, registration: Registration) -> None:
        """Answer with another version, other extensions, and for another tenant from now on."""
        self.registration = registration

    @property
    def snapshot(self) -> Snapshot[T]:
        """The objects as they are: the very same snapshot until somebody writes."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self._objects)
        return self._snapshot

    def take(self, snapshot: Any) -> None:
        """Have the objects of another draft for the same audience, without writing them."""
        self._objects, self._snapshot = snapshot.objects, snapshot

    @property
    def state(self) -> DraftState:
        """What stays equal until somebody writes, or the gateway says other things of itself."""
        one = self.registration
        answers = type(self), one.gateway_type, one.version, one.extensions, one.tenant_id
        return DraftState(one, answers, self.snapshot)

    async def administer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, /
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        """Call the admin API; see `InProcessAdmin`. The caller is this process: no token."""
        await asyncio.sleep(0)  # so that a cycle of many writes lets others run
        pairs = tuple(headers.items())
        head = RequestHead(
            method, target, pairs, lower_names(pairs), "published", has_body=bool(body)
        )
        try:
            is_health = target.partition("?")[0] == _HEALTH
            if method != "GET" and self._snapshot is not None:
                self._objects, self._snapshot = self._fork(self._objects), None
            response = self._health() if is_health else self._handle(head, body)
        except Exception:
            log.exception("unexpected error in an admin request for %s", self.registration.name)
            response = problem(500, "Internal server error")
        named = {name.lower(): value for name, value in response.headers}
        return response.status, named, _parts(response)

    def _health(self) -> Respond:
        health = {
            "status": "ok",
            "version": self.registration.version,
            "extensions": self._extensions(),
        }
        return Respond(200, _JSON, json.dumps(health).encode())

    def restore(self, saved: bytes) -> None:
        """Take over what was published by an earlier process; what cannot be read is left out."""
        name = self.registration.name
        self._objects, self._snapshot = self._fork(self._objects), None
        try:
            problems = self._restore(saved_table.parse(saved))
        except (TableUnusable, ObjectRefused) as error:
            self.is_torn = True
            log.warning("what was published for %s is not used: %s", name, error)
            return
        if problems:
            self.is_torn = True
            shown = "; ".join(problems[:5])
            log.warning("%d objects published for %s are not used: %s", len(problems), name, shown)

    def content(self, known: Mapping[str, TableContent]) -> TableContent:
        """Return the draft as it is now; the very one of `known`, by digest, where it is there.

        Gateways of one document have one content: it is made once and held once.
        """
        made, tenant = self.snapshot.contents, self.registration.tenant_id
        if tenant not in made:
            made[tenant] = self._make_content(known)
        return made[tenant]

    def _make_content(self, known: Mapping[str, TableContent]) -> TableContent:
        lines = b"".join(self._lines())
        digest = hashlib.sha256(lines).hexdigest()
        has_no_objects = self._is_empty()
        found = known.get(digest)
        if found is not None and found.has_no_objects == has_no_objects:
            return found
        return TableContent(lines, self._saved(), digest, has_no_objects)

    @abstractmethod
    def _handle(self, head: RequestHead, body: bytes) -> Respond: ...

    @abstractmethod
    def _fork(self, objects: T) -> T: ...

    @abstractmethod
    def _extensions(self) -> list[str]: ...

    @abstractmethod
    def _restore(self, lines: Iterable[Mapping[str, Any]]) -> list[str]: ...

    @abstractmethod
    def _lines(self) -> Iterator[bytes]: ...

    @abstractmethod
    def _saved(self) -> bytes: ...

    @abstractmethod
    def _is_empty(self) -> bool: ...


@dataclass(slots=True)
class _Table:
    """A store, and what of it came from ours without its credentials and was not written since."""

    store: Store
    bare_routes: Mapping[str, object] = field(default_factory=dict)


class TableDraft(Draft[_Table]):
    """The table of a gateway of ours: the admin API of the data plane itself, without engine."""

    def __init__(self, registration: Registration) -> None:
        super().__init__(registration, Snapshot(_Table(Store())))
        self._admin: tuple[Store, AdminApi] | None = None

    def update_registration(self, registration: Registration) -> None:
        """Answer with another version, other extensions, and for another tenant from now on."""
        if registration.tenant_id != self.registration.tenant_id:
            self._admin = None
        super().update_registration(registration)

    def take(self, snapshot: Any) -> None:
        """Have the objects of another draft for the same audience, without writing them."""
        super().take(snapshot)
        self._admin = None

    @property
    def _store(self) -> Store:
        return self._objects.store

    def _find_admin(self) -> AdminApi:
        """Return the admin API of the store that the draft has now."""
        if self._admin is None or self._admin[0] is not self._store:
            tenant = self.registration.tenant_id or None
            config = ProxyConfig(backends_allow=_ALL, tenant_id=tenant)
            self._admin = self._store, AdminApi(config, self._store, SystemClock())
        return self._admin[1]

    def _fork(self, objects: _Table) -> _Table:
        return _Table(objects.store.fork(), objects.bare_routes)

    def _handle(self, head: RequestHead, body: bytes) -> Respond:
        answer = self._find_admin().handle(head, body)
        # No request goes through a draft, so none can be traced.
        return answer if isinstance(answer, Respond) else Respond(501)

    def _extensions(self) -> list[str]:
        return [name for name in self.registration.extensions if name != TABLE]

    def _restore(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        problems = saved_table.restore(self._store, list(lines), self._find_admin().parsers)
        self._objects.bare_routes = {
            route.id: route for route in self._store.table.routes.values() if lacks_secrets(route)
        }
        return problems

    def _saved(self) -> bytes:
        return b"".join(saved_table.serialise(self._store))

    def _is_empty(self) -> bool:
        store = self._store
        return not (len(store.routes) or len(store.policies) or len(store.consumers))

    def _lines(self) -> Iterator[bytes]:
        """Yield a line per object, sorted by kind and id; of the gateway's tenant alone."""
        tenant, store, table = self.registration.tenant_id, self._store, self._store.table
        apis: set[str] = set()
        for route_id in sorted(table.routes):
            route, content = table.routes[route_id], store.routes.get(route_id)
            if content is None or (tenant and route.tenant_id != tenant):
                continue
            apis |= {route.api_id, route_id}
            if not has_secrets(route):  # most have none, and need no parsing
                yield b'{"apis":' + content + b"}\n"
            elif self._objects.bare_routes.get(route_id) is route:
                yield _line("apis", {"id": route_id, "keep": True})
            else:
                yield _line("apis", with_secrets(route, json.loads(content)))
        for content in store.policies.snapshot():
            view = json.loads(content)
            if tenant and view["api_id"] not in apis:
                continue
            # Kept with all else that is known of it: a gateway without it has to refuse.
            is_bare = view["config"] == WITHHELD
            yield _line("policies", {**view, "keep": True} if is_bare else view)
        for content in store.consumers.snapshot():
            view = json.loads(content)
            if tenant and view["tenant_id"] != tenant:
                continue
            hashes = table.consumers[view["id"]].key_hashes
            keys = [{"type": "api_key", "key_sha256": one} for one in hashes]
            yield _line("consumers", {**view, "credentials": keys})


@dataclass(slots=True)
class _Routes:
    """Routes by id, as JSON; `generation` counts writes, and no other draft has the `tag`."""

    by_id: dict[str, bytes] = field(default_factory=dict)
    generation: int = 0
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


class RouteDraft(Draft[_Routes]):
    """The routes of a real gateway, which fetches these and nothing else.

    As at its admin API every POST is an upsert by id. Bodies are those of our adapter, which knows
    what this gateway makes of them, and are not checked a second time.
    """

    def __init__(self, registration: Registration) -> None:
        super().__init__(registration, Snapshot(_Routes()))

    @property
    def _routes(self) -> dict[str, bytes]:
        return self._objects.by_id

    def _fork(self, objects: _Routes) -> _Routes:
        return _Routes(objects.by_id.copy(), objects.generation)

    def _handle(self, head: RequestHead, body: bytes) -> Respond:
        parts = [unquote(part) for part in head.target.partition("?")[0].split("/")[2:]]
        if parts == ["apis"] and head.method == "POST":
            return self._put(json.loads(body))
        if head.method == "GET" and parts in (["apis"], ["policies"]):
            return self._list(head, parts[0])
        if len(parts) == 2 and head.method == "DELETE":
            is_known = parts[0] == "apis" and self._routes.pop(parts[1], None) is not None
            self._objects.generation += is_known
            return Respond(204 if is_known else 404)
        return problem(404, "Not found", "A gateway that fetches its routes has routes alone.")

    def _put(self, route: Mapping[str, Any]) -> Respond:
        is_new = route["id"] not in self._routes
        self._routes[route["id"]] = json.dumps(route, separators=(",", ":")).encode()
        self._objects.generation += 1
        result = json.dumps({"id": route["id"], "status": "ok"}).encode()
        return Respond(201 if is_new else 200, _JSON, result)

    def _list(self, head: RequestHead, kind: str) -> Respond:
        objects = self._objects
        etag = f'"{objects.tag}-{kind}-{objects.generation if kind == "apis" else 0}"'
        if etag in head.values("if-none-match"):
            return Respond(304, (("ETag", etag),))
        items = self._routes.values() if kind == "apis" else ()
        return Respond(200, (*_JSON, ("ETag", etag)), b"[" + b",".join(items) + b"]")

    def _extensions(self) -> list[str]:
        return [TRUSTED]

    def _restore(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        for line in lines:
            # Another version of the gateway may have had a table, with more than routes.
            route = line.get("apis")
            if route is not None:
                self._routes[str(route["id"])] = json.dumps(route, separators=(",", ":")).encode()
        return []

    def _saved(self) -> bytes:
        lines = [b'{"stoa_proxy_table":1}\n', *self._all_lines()]
        digest = hashlib.sha256(b"".join(lines)).hexdigest()
        return b"".join((*lines, json.dumps({"sha256": digest}).encode() + b"\n"))

    def _is_empty(self) -> bool:
        return not self._routes

    def _lines(self) -> Iterator[bytes]:
        tenant = self.registration.tenant_id
        for line in self._all_lines():
            if not tenant or json.loads(line)["apis"]["tenant_id"] == tenant:
                yield line

    def _all_lines(self) -> Iterator[bytes]:
        for route_id in sorted(self._routes):
            yield b'{"apis":' + self._routes[route_id] + b"}\n"


def _line(kind: str, values: Mapping[str, object]) -> bytes:
    return json.dumps({kind: values}, separators=(",", ":")).encode() + b"\n"


async def _parts(response: Respond) -> AsyncIterator[bytes]:
    """Yield the body of a response; others run before each further part is made."""
    yield response.body
    for part in response.rest or ():
        await asyncio.sleep(0)
        yield part
