"""What one pulling gateway is to get: its admin API, held here on its behalf.

The ordinary STOA adapter writes to it by a call, as to a gateway in this process, so every guard of
a cycle holds. It answers as the gateway would: with the version and the extensions that it
registered with. Nothing that is written here reaches the gateway before it is published.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from stoa_proxy.admin import saved_table
from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.withheld import WITHHELD
from stoa_proxy.errors import ObjectRefused, TableUnusable
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.http.heads import RequestHead, lower_names

from stoa_gitops.fleet.registration import TABLE, Registration

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
    """

    lines: bytes = field(repr=False)
    saved: bytes = field(repr=False)
    digest: str = field(repr=False)
    has_no_objects: bool


class Draft(ABC):
    """One gateway's draft; not for threads. `administer` is `adapter_sdk.info.InProcessAdmin`."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.is_torn = False
        """Whether something that was published before could not be taken over."""

    def update_registration(self, registration: Registration) -> None:
        """Answer with another version, other extensions, and for another tenant from now on."""
        self.registration = registration

    @property
    def state(self) -> tuple[object, ...]:
        """What stays equal until somebody writes, or the gateway says other things of itself."""
        return self.registration, *self._version()

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
    def _version(self) -> tuple[object, ...]: ...

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


def make_draft(registration: Registration) -> Draft:
    """Return an empty draft for a gateway: a whole table of ours, or the routes of a real one."""
    return TableDraft(registration) if registration.has_table else RouteDraft(registration)


class TableDraft(Draft):
    """The table of a gateway of ours: the admin API of the data plane itself, without engine."""

    def __init__(self, registration: Registration) -> None:
        super().__init__(registration)
        self._store = Store()
        self._admin = self._make_admin()
        # Objects that came from the store without their credentials and were not written since.
        self._bare_routes: dict[str, object] = {}

    def update_registration(self, registration: Registration) -> None:
        """Answer with another version, other extensions, and for another tenant from now on."""
        is_same_tenant = registration.tenant_id == self.registration.tenant_id
        super().update_registration(registration)
        if not is_same_tenant:
            self._admin = self._make_admin()

    def _make_admin(self) -> AdminApi:
        config = ProxyConfig(backends_allow=_ALL, tenant_id=self.registration.tenant_id or None)
        return AdminApi(config, self._store, SystemClock())

    def _handle(self, head: RequestHead, body: bytes) -> Respond:
        answer = self._admin.handle(head, body)
        # No request goes through a draft, so none can be traced.
        return answer if isinstance(answer, Respond) else Respond(501)

    def _version(self) -> tuple[object, ...]:
        return self._store.version

    def _extensions(self) -> list[str]:
        return [name for name in self.registration.extensions if name != TABLE]

    def _restore(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        problems = saved_table.restore(self._store, list(lines), self._admin.parsers)
        self._bare_routes = {
            route.id: route
            for route in self._store.table.routes.values()
            if route.backend_auth is not None and not route.backend_auth.is_resolved
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
            auth = route.backend_auth
            if auth is None:  # most have none, and need no parsing
                yield b'{"apis":' + content + b"}\n"
            elif self._bare_routes.get(route_id) is route:
                yield _line("apis", {"id": route_id, "keep": True})
            else:
                yield _line("apis", {**json.loads(content), "backend_auth": auth.as_body()})
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


class RouteDraft(Draft):
    """The routes of a real gateway, which fetches these and nothing else.

    As at its admin API every POST is an upsert by id. Bodies are those of our adapter, which knows
    what this gateway makes of them, and are not checked a second time.
    """

    def __init__(self, registration: Registration) -> None:
        super().__init__(registration)
        self._routes: dict[str, bytes] = {}
        self._generation = 0

    def _handle(self, head: RequestHead, body: bytes) -> Respond:
        parts = [unquote(part) for part in head.target.partition("?")[0].split("/")[2:]]
        if parts == ["apis"] and head.method == "POST":
            return self._put(json.loads(body))
        if head.method == "GET" and parts in (["apis"], ["policies"]):
            return self._list(head, parts[0])
        if len(parts) == 2 and head.method == "DELETE":
            is_known = parts[0] == "apis" and self._routes.pop(parts[1], None) is not None
            self._generation += is_known
            return Respond(204 if is_known else 404)
        return problem(404, "Not found", "A gateway that fetches its routes has routes alone.")

    def _put(self, route: Mapping[str, Any]) -> Respond:
        is_new = route["id"] not in self._routes
        self._routes[route["id"]] = json.dumps(route, separators=(",", ":")).encode()
        self._generation += 1
        result = json.dumps({"id": route["id"], "status": "ok"}).encode()
        return Respond(201 if is_new else 200, _JSON, result)

    def _list(self, head: RequestHead, kind: str) -> Respond:
        etag = f'"{id(self)}-{kind}-{self._generation if kind == "apis" else 0}"'
        if etag in head.values("if-none-match"):
            return Respond(304, (("ETag", etag),))
        items = self._routes.values() if kind == "apis" else ()
        return Respond(200, (*_JSON, ("ETag", etag)), b"[" + b",".join(items) + b"]")

    def _version(self) -> tuple[object, ...]:
        return (self._generation,)

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
