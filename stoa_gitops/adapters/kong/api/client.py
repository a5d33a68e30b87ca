"""Typed client of Kong's Admin API: node information, paged lists, documents, single entities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.responses import Response
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapters.kong.entities.entity import COLLECTION_PATHS, JsonTree
from stoa_gitops.errors import GatewayError, GatewayMalformed
from stoa_gitops.model.secret import Value

LIMITS: Final = Limits(read_seconds=120.0, call_seconds=240.0, max_body=256 * 1024 * 1024)
"""Kong 3.4.2 and 3.9.1 load 10 MB in 7 s and answer with up to 24 MB.

GET /config took 35 s at 10,000 services with a route and two plugins each.
"""

PAGE_SIZE: Final = 1000
"""The largest `size` that Kong takes; 1001 is a 400."""

EMPTY_HASH: Final = "0" * 32
"""`configuration_hash` of a node that holds nothing: Kong's DECLARATIVE_EMPTY_CONFIG_HASH."""

_REBUILDING: Final = 1.2
_MOST_SETTLING_SECONDS: Final = 30.0
# Periods are extended by the time that a rebuild takes, and bounded below the time for one write.

# Offsets are opaque: a number in base64 up to 3.8, a key of LMDB in base64 since.
_OFFSET: Final = re.compile(r"[?&](offset=[^&]*)")


@dataclass(frozen=True, slots=True)
class Status:
    """`GET /status`.

    hash      of the loaded document; empty with a database
    server    the `Server` header, `kong/3.9.1`
    requests  answered by the node since it was started
    """

    hash: str
    server: str
    requests: int = 0
    is_database_reachable: bool = True


@dataclass(frozen=True, slots=True)
class Root:
    """`GET /`: version as text, database mode, enabled plugins, edition, flavour of the router.

    settling_seconds  until a write to the database is in force on every worker of every node
    """

    version: str
    has_database: bool
    plugins: frozenset[str]
    is_enterprise: bool
    router_flavor: str
    settling_seconds: float


class KongClient:
    """Calls of one Admin API; every method raises GatewayError and nothing else."""

    def __init__(self, http: AdminClient) -> None:
        self._http = http

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def status(self) -> Status:
        """Return the configuration hash and counters of the node."""
        what = "the status of the node"
        response = await self._http.request("GET", "/status", what)
        value: JsonTree = response.json(what, dict)
        database, counts = value.get("database"), value.get("server")
        requests = counts.get("total_requests") if isinstance(counts, dict) else 0
        # Without a database only; with one there is `database.reachable` instead (since 3.4).
        held = value.get("configuration_hash")
        return Status(
            hash=held if isinstance(held, str) else "",
            server=response.headers.get("server", ""),
            requests=requests if isinstance(requests, int) else 0,
            is_database_reachable=not isinstance(database, dict)
            or database.get("reachable") is not False,
        )

    async def root(self) -> Root:
        """Return what the node is; raises GatewayMalformed where it is no Kong."""
        what = "the description of the node"
        value: JsonTree = await self._http.get_json("/", what, dict)
        version, configuration = value.get("version"), value.get("configuration")
        plugins = value.get("plugins")
        if not isinstance(version, str) or not isinstance(configuration, dict):
            raise GatewayMalformed(
                f"{what}: no version and configuration in it: check that baseUrl leads to Kong's "
                "Admin API"
            )
        available = plugins.get("available_on_server") if isinstance(plugins, dict) else None
        return Root(
            version=version,
            # "off" or "postgres".
            has_database=configuration.get("database") not in ("off", None),
            # Name -> version and priority; 2.8 had booleans. Only the names are of interest.
            plugins=frozenset(available if isinstance(available, dict) else ()),
            # `edition` exists since 3.6; before, the version text tells (`3.4.3.1-enterprise-
            # edition`).
            is_enterprise=value.get("edition") == "enterprise" or "enterprise" in version,
            # Kong's own default since 3.0.
            router_flavor=str(configuration.get("router_flavor") or "traditional_compatible"),
            settling_seconds=_settling_seconds(configuration),
        )

    async def collections(self) -> Mapping[str, str]:
        """Return entity type -> path for every collection of the node, those of custom plugins too.

        `GET /endpoints` names them as `/basic-auths/{basicauth_credentials}` (Kong 3.4.2, 3.9.1).
        It names other paths alike, as `/proxy-cache/{cache_key}`, so a type that is not of Kong's
        core is one only where `/schemas/{type}` knows it.
        """
        what = "the list of endpoints"
        response = await self._http.request("GET", "/endpoints", what, expect=(200, 404))
        if response.status == 404:
            # An Admin API without /endpoints: the collections of stock Kong are assumed.
            return COLLECTION_PATHS
        value: JsonTree = response.json(what, dict)
        found = dict(COLLECTION_PATHS)
        for endpoint in value.get("data") or ():
            named = _COLLECTION.fullmatch(str(endpoint))
            if named is None or named[2] in _NO_ENTITIES:
                continue
            if named[2] in found or await self._is_entity_type(named[2]):
                found[named[2]] = f"/{named[1]}"
        return found

    async def _is_entity_type(self, name: str) -> bool:
        what = f"the schema of {name}"
        response = await self._http.request("GET", f"/schemas/{name}", what, expect=(200, 404))
        return response.status == 200

    async def list_entities(
        self, path: str, what: str, *, tag: str = "", absent: bool = False
    ) -> list[JsonTree]:
        """Return all entities of a list, following `next` until it is null.

        A short or empty page is no end: Kong 3.9 filters tags after paging. With `absent`, a
        collection that the node does not have is empty; no other failure is taken for that.
        """
        found: list[JsonTree] = []
        query = {"size": str(PAGE_SIZE), **({"tags": tag} if tag else {})}
        link = f"{path}?{urlencode(query)}"
        seen: set[str] = set()
        while True:
            expect = (200, 400, 404) if absent else (200,)
            response = await self._http.request("GET", link, what, expect=expect)
            if response.status != 200:
                _check_absent(response, what)
                return found
            page: JsonTree = response.json(what, dict)
            found += _entities(page, what)
            follow = _OFFSET.search(str(page.get("next") or ""))
            if follow is None:
                return found
            # A server that repeats an offset would be read for ever.
            if follow[1] in seen:
                raise GatewayMalformed(f"{what}: the pages go round in a circle")
            seen.add(follow[1])
            # Kong drops `size` or `tags` from the `next` of some lists: only its offset is taken.
            link = f"{path}?{urlencode(query)}&{follow[1]}"

    async def find_entity(self, path: str, ident: str, what: str) -> JsonTree | None:
        """Return one entity of a collection by its id; None where there is none."""
        response = await self._http.request("GET", f"{path}/{ident}", what, expect=(200, 404))
        if response.status == 404:
            return None
        found: JsonTree = response.json(what, dict)
        return found

    async def list_first_page(self, path: str, what: str) -> list[JsonTree]:
        """Return the first page of a nested list; empty where parent or plugin is missing."""
        link = f"{path}?size={PAGE_SIZE}"
        response = await self._http.request("GET", link, what, expect=(200, 404))
        if response.status == 404:
            return []
        page: JsonTree = response.json(what, dict)
        return list(_entities(page, what))

    async def post_config(self, text: str, *, flatten: bool) -> Response:
        """Load a whole document; any status that is about the document is returned as a response.

        The document goes as text in `config`: only then is Kong's hash the MD5 of what was sent,
        and only then does `check_hash` work. Never repeated here: a 5xx may come after the commit,
        so the hash decides what it means.
        """
        # Exactly "1": Kong ignores `check_hash=true`.
        path = "/config?check_hash=1" + ("&flatten_errors=1" if flatten else "")
        return await self._http.request(
            "POST",
            path,
            "the document",
            body={"config": text},
            # 304: the node holds this text. 413: body limit (HTML) or full LMDB (JSON).
            expect=(200, 201, 304, 400, 413, 500, 502, 504),
            repeatable=False,
        )

    async def config(self) -> str:
        """Return the whole configuration as YAML, for a backup.

        It holds every secret, and takes 30 s at 10,000 services with their routes and plugins.
        """
        what = "the configuration"
        value: JsonTree = await self._http.get_json("/config", what, dict)
        return str(value.get("config", ""))

    async def put(self, path: str, what: str, body: Mapping[str, Value]) -> bool:
        """Create or replace one entity by its id; with a database only.

        False for a target that does not exist yet, which Kong does not create by PUT.
        """
        expect = (200, 201, 404) if "/targets/" in path else (200, 201)
        return (await self._http.request("PUT", path, what, body=body, expect=expect)).status != 404

    async def post(self, path: str, what: str, body: Mapping[str, Value]) -> None:
        """Create one entity with its id; with a database only. A second time it is a 400."""
        await self._http.request("POST", path, what, body=body, expect=(201,))

    async def delete(self, path: str, what: str) -> None:
        """Remove one entity; with a database only. Kong answers 204 also where there was none."""
        await self._http.request("DELETE", path, f"deleting {what}", expect=(200, 204, 404))


_COLLECTION: Final = re.compile(r"/([a-z0-9_-]+)/\{([a-z0-9_]+)\}")
# Other endpoints with one parameter, and `targets`, which are listed below their upstream only.
_NO_ENTITIES: Final = frozenset(
    {"key", "tags", "workspaces", "targets", "schemas", "db_entity_name", "name"}
)


def _check_absent(response: Response, what: str) -> None:
    """Raise GatewayError unless the response means that the collection does not exist."""
    message = response.text
    # 404: the plugin that owns the collection is not enabled.
    if response.status == 404 and message.lower() in ("not found", ""):
        return
    # 400: `/filter-chains` without wasm.
    if response.status == 400 and "only available when" in message:
        return
    raise GatewayError(f"{what}: it could not be read ({response.status}: {message})")


def _entities(page: Mapping[str, Any], what: str) -> Iterable[JsonTree]:
    data = page.get("data")
    if isinstance(data, dict) and not data:  # Lua encodes an empty table as an object
        return ()
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise GatewayMalformed(f"{what}: no list of objects in it: check that baseUrl is Kong's")
    return data


def _settling_seconds(configuration: Mapping[str, Any]) -> float:
    """Return how long a write to the database may take to be in force on every worker.

    A node looks for what others wrote each `db_update_frequency`, and a worker rebuilds its routes
    and its plugins each `worker_state_update_frequency`; `strict` ones with the next request. The
    fallbacks are Kong's own (kong.conf.default of 3.4 and 3.9: 5, 0 and 5).
    """
    if configuration.get("database") in ("off", None):
        return 0.0
    if configuration.get("worker_consistency") == "strict":
        return 0.0
    periods = {
        "db_update_frequency": 5,
        "db_update_propagation": 0,
        "worker_state_update_frequency": 5,
    }
    found = [configuration.get(name, period) for name, period in periods.items()]
    seconds = sum(one for one in found if isinstance(one, int | float) and one > 0)
    return min(seconds * _REBUILDING, _MOST_SETTLING_SECONDS)
