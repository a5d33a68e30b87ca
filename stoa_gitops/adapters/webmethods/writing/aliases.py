"""Writes the aliases of an API: its backend, its issuer, and the URL aliases of its paths.

An alias is never deleted and made again: what names it is bound to its id (contract A.8).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapters.webmethods.api.answers import UNLISTED, HalfWritten
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.marks import read_mark
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.apis import CompiledApi
from stoa_gitops.adapters.webmethods.mapping.routes import find_overlapping
from stoa_gitops.adapters.webmethods.node.expectations import Expectations
from stoa_gitops.adapters.webmethods.node.snapshot import ApiGroup, Snapshot
from stoa_gitops.errors import ObjectConflict
from stoa_gitops.model.keys import Key

RESET: Mapping[str, Any] = {
    "keystoreAlias": None, "keyAlias": None, "truststoreAlias": None,
    "suspendDurationOnFailure": 0, "stage": None,
}  # fmt: skip
"""Fields of an alias of ours that somebody may have set, with what they should be."""

_DUPLICATE = frozenset({400, 409})
"""What a name that is taken gets: by the contract 400, on a running gateway 409 (A.8)."""


class AliasWriter:
    """Writes aliases of one gateway; knows those that it wrote since the snapshot was read."""

    def __init__(self, client: WebMethodsClient, written: Expectations, owner: str) -> None:
        self._client, self._written, self._owner = client, written, owner
        self._snapshot: Snapshot | None = None
        self._aliases: dict[str, JsonTree] = {}
        self._url_aliases: dict[str, JsonTree] = {}
        self._sorted: list[str] = []
        self.claimed: frozenset[str] = frozenset()
        """URL aliases that APIs of this apply want: another one's are taken over, not deleted."""

    def begin(self, snapshot: Snapshot) -> None:
        """Take over what a snapshot holds, where it is another one than before."""
        if self._snapshot is not snapshot:
            self._snapshot = snapshot
            self._aliases = dict(snapshot.aliases)
            self._url_aliases = dict(snapshot.url_aliases)
            self._sorted = sorted(self._url_aliases)

    def imported(self, alias: JsonTree) -> None:
        """Know an alias that an archive brought along."""
        self._aliases[str(alias["name"])] = alias
        self._written.alias(str(alias["name"]), alias)

    # before anything is written

    def check(self, compiled: CompiledApi, api_id: str) -> None:
        """Raise ObjectConflict where a name is taken by what is not ours, or not told apart."""
        for name in compiled.aliases:
            held = self._aliases.get(name)
            if held is not None and not self._is_of(held, compiled.key):
                raise ObjectConflict(
                    f"the alias {name} is there already and is not of {compiled.key}: give it "
                    "another name there, or give the API another one"
                )
        for path in sorted(compiled.url_aliases):
            held = self._url_aliases.get(path)
            if held is not None and not self._may_move(held, api_id):
                raise ObjectConflict(
                    f"the path /{path} is taken on the gateway by {self._owner_of(held)}: take "
                    "another path, or adopt that API"
                )
            if path.startswith("gateway/"):
                raise ObjectConflict(f"the path /{path}: the gateway has its own paths below it")
            other = self._overlapping(path) or find_overlapping(path, sorted(compiled.url_aliases))
            if other:
                raise ObjectConflict(
                    f"the paths /{path} and /{other} begin alike, letter by letter, and webMethods "
                    "may take one for the other: give one of them another beginning"
                )

    def _overlapping(self, path: str) -> str:
        return find_overlapping(path, self._sorted)

    def _is_of(self, alias: Mapping[str, Any], key: Key) -> bool:
        mark = read_mark(alias.get("description"))
        return mark is not None and (mark.owner, mark.key) == (self._owner, key)

    def _may_move(self, alias: Mapping[str, Any], api_id: str) -> bool:
        """Whether a URL alias leads to this API, to one of ours, or to none that is there."""
        group = self._target_of(alias)
        return group is None or group.root == api_id or group.owner == self._owner

    def _target_of(self, alias: Mapping[str, Any]) -> ApiGroup | None:
        return self._snapshot.target_of(alias) if self._snapshot is not None else None

    def _owner_of(self, alias: Mapping[str, Any]) -> str:
        group = self._target_of(alias)
        if group is None:
            return f"a URL alias for {alias.get('urlPath')}"
        whose = f", {group.key.short} of the catalog {group.owner}" if group.owner else ""
        return f"the API {group.name} ({group.root}{whose})"

    # aliases

    async def write(self, key: Key, wanted: Mapping[str, JsonTree]) -> None:
        """Write the aliases of an API that differ. Raises GatewayError."""
        for name, alias in wanted.items():
            held = self._aliases.get(name)
            if held is None:
                held = await self._create(name, alias, key)
            if held is not None and not _has(held, alias):
                # All of it: what a PUT leaves out is lost.
                merged = {**held, **RESET, **alias}
                body = {name: value for name, value in merged.items() if value is not None}
                path, what = f"/alias/{held['id']}", f"writing alias {name}"
                await self._client.write("PUT", path, what, body)
                self._know(name, body)

    async def _create(self, name: str, alias: JsonTree, key: Key) -> JsonTree | None:
        """Create an alias; returns what is there instead where somebody was faster."""
        try:
            found = await self._client.write("POST", "/alias", f"writing alias {name}", alias)
        except RequestRefused as error:
            if error.status not in _DUPLICATE:
                raise
            listed = await self._client.list_names("/alias", "alias")
            held = next((one for one in listed if one.get("name") == name), None)
            if held is None:
                raise HalfWritten(f"{error}: {UNLISTED}") from None
            if not self._is_of(held, key):
                raise ObjectConflict(f"the alias {name} is taken on the gateway") from None
            return held
        made = found.get("alias")
        self._know(name, made if isinstance(made, dict) else dict(alias))
        return None

    def _know(self, name: str, alias: JsonTree) -> None:
        self._aliases[name] = alias
        self._written.alias(name, alias)

    async def delete(self, aliases: Mapping[str, JsonTree], kept: Iterable[str]) -> list[str]:
        """Delete aliases of ours that nothing needs; returns warnings about those in use."""
        warnings = []
        for name in sorted(aliases.keys() - set(kept)):
            ident = str(aliases[name].get("id") or "")
            try:
                await self._client.delete("/alias", ident, f"deleting alias {name}")
            except RequestRefused as error:
                warnings.append(f"the alias {name} stays: {error}")
                continue
            self._aliases.pop(name, None)
            self._written.no_alias(name, ident)
        return warnings

    # URL aliases

    async def write_paths(self, api_id: str, wanted: Mapping[str, str]) -> None:
        """Let paths lead to an API, those of other APIs of ours too. Raises GatewayError."""
        for alias, path in wanted.items():
            held = self._url_aliases.get(alias)
            if held is not None and _leads(held, api_id, path):
                continue
            body = {"alias": alias, "urlPath": path, "apiId": api_id, "package": "WmAPIGateway"}
            await self._write_path(alias, body, api_id, is_new=held is None)
            if held is None:
                insort(self._sorted, alias)
            self._url_aliases[alias] = dict(body)
            self._written.url_alias(alias, self._url_aliases[alias])

    async def _write_path(self, alias: str, body: JsonTree, api_id: str, *, is_new: bool) -> None:
        """Write one URL alias; one that is there and was not listed is looked at first."""
        what = f"writing URL alias {alias}"
        try:
            await self._client.write("POST" if is_new else "PUT", "/urlaliases", what, body)
        except RequestRefused as error:
            if not is_new or error.status not in _DUPLICATE:
                raise
            held = await self._client.find_url_alias(alias)
            if held is None:
                raise
            if not self._may_move(held, api_id):
                raise ObjectConflict(
                    f"the path /{alias} is taken on the gateway by {self._owner_of(held)}: take "
                    "another path, or adopt that API"
                ) from None
            await self._client.write("PUT", "/urlaliases", what, body)

    async def delete_paths(
        self, api_id: str, held: Iterable[Mapping[str, Any]], kept: Iterable[str]
    ) -> None:
        """Delete the URL aliases that still lead to an API and should not."""
        left = set(kept)
        for one in held:
            alias = str(one.get("alias") or "").strip("/")
            now = self._url_aliases.get(alias)
            if alias in left or alias in self.claimed or now is None:
                continue
            if now.get("apiId") and now["apiId"] != api_id:
                # Another API of ours took it over.
                continue
            what = f"deleting URL alias {alias}"
            await self._client.write(
                "DELETE", f"/urlaliases?alias={quote(alias, safe='')}", what, expect=(200, 204, 404)
            )
            del self._url_aliases[alias]
            self._sorted.remove(alias)
            self._written.url_alias(alias, None)


def _has(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an alias holds what is wanted; fields of others are left alone."""
    for name, value in wanted.items():
        other = held.get(name)
        if isinstance(value, Mapping):
            if not isinstance(other, Mapping) or not _has(other, value):
                return False
        elif str(value).lower() != str(other).lower() and (value or other):
            return False
    return not any(held.get(name) for name in RESET)


def _leads(alias: Mapping[str, Any], api_id: str, path: str) -> bool:
    is_same = str(alias.get("urlPath") or "").strip("/") == path
    return is_same and alias.get("apiId") in (None, "", api_id) and not alias.get("portList")
