"""Writes what is configured for the whole gateway: aliases, strategies, scopes, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import AdapterResult, ListItem, ObjectSpec, list_item
from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapter_sdk.results import ok
from stoa_gitops.adapters.webmethods.api.answers import created_id
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.parts import UNMAPPED, JsonTree
from stoa_gitops.adapters.webmethods.mapping.gateway_objects import (
    KINDS,
    compile_object,
    is_of,
    read_objects,
)
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.errors import ObjectConflict
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.kinds import CONFIG, SCOPE

SETTINGS: Final = "settings"
"""The configuration whose keys stand in groups below `preferredSettings` (contract A.9)."""

_DUPLICATE: Final = frozenset({400, 409})


class GatewayObjects:
    """Objects of one gateway that belong to no tenant.

    known_id  returns the id of what was applied: a list may miss it
    """

    def __init__(
        self, client: WebMethodsClient, owner: str, known_id: Callable[[Key], str]
    ) -> None:
        self._client, self._owner, self._known_id = client, owner, known_id

    async def list_objects(self, kind: str) -> list[ListItem]:
        """Return the objects of a kind that a catalog wrote. Raises GatewayError."""
        of_kind = KINDS[kind]
        trees = await self._client.list_names(of_kind.path, of_kind.listed)
        return read_objects(kind, trees, self._owner)

    async def upsert(self, spec: ObjectSpec, apis: Mapping[Key, str]) -> AdapterResult:
        """Write an object by its name; a PUT keeps its id, to which others are bound.

        `apis` has the GUIDs of our APIs, for scopes. Raises StoaGitopsError.
        """
        of_kind = KINDS[spec.key.kind]
        body = compile_object(spec)
        if spec.key.kind == SCOPE:
            body = _with_api_ids(body, apis)
        held = await self._find(spec.key)
        what = f"writing {spec.key.kind} {spec.key.name}"
        if held is None:
            try:
                made = await self._client.write("POST", of_kind.path, what, body)
                return ok(created_id(made, of_kind.envelope))
            except RequestRefused as error:
                if error.status not in _DUPLICATE:
                    raise
                held = await self._find(spec.key)
                if held is None:
                    raise
        ident = str(held["id"])
        # All of it, for a PUT replaces; masked secrets are sent again by the body.
        kept = {n: v for n, v in held.items() if n not in ("id", "owner") and v is not None}
        await self._client.write("PUT", f"{of_kind.path}/{ident}", what, {**kept, **body})
        return ok(ident)

    async def _find(self, key: Key) -> JsonTree | None:
        """Return the object of a name; raises ObjectConflict where it is not ours."""
        of_kind = KINDS[key.kind]
        listed = await self._client.list_names(of_kind.path, of_kind.listed)
        tree = next((one for one in listed if one.get(of_kind.name) == key.name), None)
        if tree is None and (ident := self._known_id(key)):
            tree = await self._client.find_object(of_kind.path, ident, of_kind.envelope)
        if tree is not None and not is_of(tree, self._owner, key):
            raise ObjectConflict(
                f"the gateway has a {key.kind} {key.name} that this catalog did not write: give "
                "one of them another name"
            )
        return tree

    async def delete(self, kind: str, gateway_id: str) -> AdapterResult:
        """Delete an object of ours; absent is success. Raises GatewayError."""
        mine = {one["gateway_id"] for one in await self.list_objects(kind) if one["managed"]}
        if gateway_id in mine:
            await self._client.delete(KINDS[kind].path, gateway_id, f"deleting {kind} {gateway_id}")
        return ok(gateway_id)

    # configurations

    async def apply_config(self, spec: ObjectSpec) -> AdapterResult:
        """Bring the keys that a document names to their values; others stay. Raises GatewayError.

        Nothing is sent where nothing differs.
        """
        name = spec.key.name
        held = await self._client.configuration(name)
        wanted = _grouped(name, spec.value)
        if name == SETTINGS:
            held = {"preferredSettings": held.get("preferredSettings") or {}}
        merged = _merged(held, wanted)
        if merged != held:
            path, what = f"/configurations/{name}", f"writing configuration {name}"
            await self._client.write("PUT", path, what, merged, reads=False)
        return ok(name)

    async def list_config(self, declared: Mapping[str, Mapping[str, Any]]) -> list[ListItem]:
        """Return declared configurations with their declared keys. Raises GatewayError."""
        found = []
        for name, keys in sorted(declared.items()):
            held = await self._client.configuration(name)
            if name == SETTINGS:
                held = held.get("preferredSettings") or {}
            spec = {**_narrowed(held, keys), UNMAPPED: None}
            found.append(list_item(Key(CONFIG, "", name), spec, name, managed=True))
        return found


def _grouped(name: str, value: Mapping[str, Any]) -> JsonTree:
    """Return keys where the configuration has them; a value is text there (contract A.9)."""
    return {"preferredSettings": dict(value)} if name == SETTINGS else dict(value)


def _merged(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> JsonTree:
    found = dict(held)
    for name, value in wanted.items():
        other = found.get(name)
        both = isinstance(value, Mapping) and isinstance(other, Mapping)
        found[name] = _merged(other, value) if both and isinstance(other, Mapping) else value
    return found


def _narrowed(held: Mapping[str, Any], keys: Mapping[str, Any]) -> JsonTree:
    """Return of a configuration what the keys of a document name."""
    found: JsonTree = {}
    for name, value in keys.items():
        other = held.get(name)
        if isinstance(value, Mapping):
            found[name] = _narrowed(other if isinstance(other, Mapping) else {}, value)
        else:
            found[name] = other
    return found


def with_api_names(item: ListItem, names: Mapping[str, str]) -> ListItem:
    """Return a scope with the names of our APIs in place of their GUIDs."""
    value: Any = item["spec"]
    if "apiScopes" not in value:
        return item
    listed = [names.get(str(one), str(one)) for one in value["apiScopes"] or ()]
    return {**item, "spec": {**value, "apiScopes": listed}}


def _with_api_ids(body: JsonTree, apis: Mapping[Key, str]) -> JsonTree:
    """Return a scope with the GUIDs of the APIs that it names as `tenant/name`."""
    listed = []
    for text in body.get("apiScopes") or ():
        tenant, slash, name = str(text).partition("/")
        ident = apis.get(Key(API, tenant, name)) if slash else str(text)
        if ident is None:
            raise Inexpressible(f"the API {text} of scope {body['scopeName']} is not there yet")
        listed.append(ident)
    return {**body, "apiScopes": listed} if "apiScopes" in body else body
