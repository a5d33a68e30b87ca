"""Kong's Admin API, typed: what the node is, lists by pages, whole documents, single entities. No words of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.responses import Response
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapters.kong.entities.entity import COLLECTION_PATHS
from stoa_gitops.errors import GatewayError, GatewayMalformed
from stoa_gitops.model.secret import Value

LIMITS: Final = Limits(read_seconds=120.0, call_seconds=240.0, max_body=256 * 1024 * 1024)
"""A document of 10 MB is loaded in 7 s and answered with 24 MB (contract R.3); GET /config took 35 s at 10,000 units."""

PAGE_SIZE: Final = 1000
"""The largest page that Kong gives."""

EMPTY_HASH: Final = "0" * 32
"""The hash of a node that holds nothing."""

_OFFSET: Final = re.compile(r"[?&](offset=[^&]*)")


@dataclass(frozen=True, slots=True)
class Status:
    """`GET /status`: the hash of the loaded document (empty with a database), the version as the node names itself.

    requests  those that the node has answered since it was started
    """

    hash: str
    server: str
    requests: int = 0
    is_database_reachable: bool = True


@dataclass(frozen=True, slots=True)
class Root:
    """`GET /`: version as text, whether the state is in a database, plugins that the node has, its edition."""

    version: str
    has_database: bool
    plugins: frozenset[str]
    is_enterprise: bool


class KongClient:
    """Calls of one Admin API; raises GatewayError and nothing else."""

    def __init__(self, http: AdminClient) -> None:
        self._http = http

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def status(self) -> Status:
        """Ask for the hash."""
        what = "the status of the node"
        response = await self._http.request("GET", "/status", what)
        value: dict[str, Any] = response.json(what, dict)
        database, counts = value.get("database"), value.get("server")
        requests = counts.get("total_requests") if isinstance(counts, dict) else 0
        held = value.get("configuration_hash")
        return Status(
            hash=held if isinstance(held, str) else "",
            server=response.headers.get("server", ""),
            requests=requests if isinstance(requests, int) else 0,
            is_database_reachable=not isinstance(database, dict)
            or database.get("reachable") is not False,
        )

    async def root(self) -> Root:
        """Ask what the node is; raises GatewayMalformed where it is no Kong."""
        what = "the description of the node"
        value: dict[str, Any] = await self._http.get_json("/", what, dict)
        version, configuration = value.get("version"), value.get("configuration")
        plugins = value.get("plugins")
        if not isinstance(version, str) or not isinstance(configuration, dict):
            raise GatewayMalformed(
                f"{what}: no version and configuration in it: check that baseUrl leads to Kong's Admin API"
            )
        available = plugins.get("available_on_server") if isinstance(plugins, dict) else None
        return Root(
            version=version,
            has_database=configuration.get("database") not in ("off", None),
            plugins=frozenset(available if isinstance(available, dict) else ()),
            is_enterprise=value.get("edition") == "enterprise" or "enterprise" in version,
        )

    async def collections(self) -> Mapping[str, str]:
        """Return entity type -> path for every collection that the node has, custom plugins' ones included.

        `GET /endpoints` names them as `/basic-auths/{basicauth_credentials}` (seen on 3.4.2 and 3.9.1).
        """
        what = "the list of endpoints"
        response = await self._http.request("GET", "/endpoints", what, expect=(200, 404))
        if response.status == 404:
            return COLLECTION_PATHS
        value: dict[str, Any] = response.json(what, dict)
        found = dict(COLLECTION_PATHS)
        for endpoint in value.get("data") or ():
            named = _COLLECTION.fullmatch(str(endpoint))
            if named is not None and named[2] not in _NO_ENTITIES:
                found[named[2]] = f"/{named[1]}"
        return found

    async def list_entities(
        self, path: str, what: str, *, tag: str = "", absent: bool = False
    ) -> list[dict[str, Any]]:
        """Return all entities of a list, following `next` until it is null; short pages mean nothing (R.2, 29).

        `absent` lets a collection be missing: it is then empty. Only the words of a collection that is not there are
        taken for that, never any other failure.
        """
        found: list[dict[str, Any]] = []
        query = {"size": str(PAGE_SIZE), **({"tags": tag} if tag else {})}
        link = f"{path}?{urlencode(query)}"
        seen: set[str] = set()
        while True:
            expect = (200, 400, 404) if absent else (200,)
            response = await self._http.request("GET", link, what, expect=expect)
            if response.status != 200:
                _check_absent(response, what)
                return found
            page: dict[str, Any] = response.json(what, dict)
            found += _entities(page, what)
            follow = _OFFSET.search(str(page.get("next") or ""))
            if follow is None:
                return found
            if follow[1] in seen:
                raise GatewayMalformed(f"{what}: the pages go round in a circle")
            seen.add(follow[1])
            # `next` loses size or tags on some lists, so only its offset is taken (R.1, 11; R.4, 28).
            link = f"{path}?{urlencode(query)}&{follow[1]}"

    async def list_first_page(self, path: str, what: str) -> list[dict[str, Any]]:
        """Return the first page of a nested list; nothing where its parent or its plugin is not there."""
        link = f"{path}?size={PAGE_SIZE}"
        response = await self._http.request("GET", link, what, expect=(200, 404))
        if response.status == 404:
            return []
        page: dict[str, Any] = response.json(what, dict)
        return list(_entities(page, what))

    async def post_config(self, text: str, *, flatten: bool) -> Response:
        """Load a whole document; any status that speaks of the document comes back as an answer.

        Sent as text, so that the hash is the MD5 of it (contract 0.1). Never repeated here: what a 5xx means depends on
        the hash.
        """
        path = "/config?check_hash=1" + ("&flatten_errors=1" if flatten else "")
        return await self._http.request(
            "POST",
            path,
            "the document",
            body={"config": text},
            expect=(200, 201, 304, 400, 413, 500, 502, 504),
            repeatable=False,
        )

    async def config(self) -> str:
        """Return the whole configuration as YAML, for a backup: it holds every secret, and takes 30 s at 10,000 units."""
        what = "the configuration"
        value: dict[str, Any] = await self._http.get_json("/config", what, dict)
        return str(value.get("config", ""))

    async def put(self, path: str, what: str, body: Mapping[str, Value]) -> None:
        """Create or replace one entity by its id (a database only)."""
        await self._http.request("PUT", path, what, body=body)

    async def delete(self, path: str, what: str) -> None:
        """Remove one entity; 204 also where there was none (a database only)."""
        await self._http.request("DELETE", path, f"deleting {what}", expect=(200, 204, 404))


_COLLECTION: Final = re.compile(r"/([a-z0-9_-]+)/\{([a-z0-9_]+)\}")
_NO_ENTITIES: Final = frozenset({"key", "tags", "workspaces", "targets", "schemas", "db_entity_name", "name"})  # fmt: skip


def _check_absent(response: Response, what: str) -> None:
    """Tell a collection that is switched off from a list that could not be read."""
    words = response.text
    if response.status == 404 and words.lower() in ("not found", ""):
        return
    if response.status == 400 and "only available when" in words:
        return
    raise GatewayError(f"{what}: it could not be read ({response.status}: {words})")


def _entities(page: Mapping[str, Any], what: str) -> Iterable[dict[str, Any]]:
    data = page.get("data")
    if isinstance(data, dict) and not data:  # an empty Lua table is an object in JSON (R.1, 3)
        return ()
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise GatewayMalformed(f"{what}: no list of objects in it: check that baseUrl is Kong's")
    return data
