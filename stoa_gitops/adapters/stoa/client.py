"""Client of STOA's admin API in its own words: routes, policies, consumers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapter_sdk.http.body_memo import BodyMemo
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapters.stoa.pace import AdminPace
from stoa_gitops.adapters.stoa.rules import VendorObject
from stoa_gitops.errors import GatewayError, GatewayMalformed, GatewayUnauthorized
from stoa_gitops.model.secret import Value

ROUTES = "apis"
POLICIES = "policies"
CONSUMERS = "consumers"

# Fields that every STOA gateway sends, 0.9.25 included; those of extensions are optional.
_REQUIRED: Mapping[str, Mapping[str, type[Any]]] = {
    ROUTES: {
        "id": str, "name": str, "tenant_id": str, "path_prefix": str, "backend_url": str,
        "methods": list, "spec_hash": str, "activated": bool,
    },
    POLICIES: {"id": str, "name": str, "policy_type": str, "priority": int, "api_id": str},
    CONSUMERS: {
        "id": str, "name": str, "tenant_id": str, "credentials": list, "subscriptions": list,
    },
}  # fmt: skip


def classify(status: int, text: str) -> GatewayError | None:
    """Return GatewayUnauthorized for the 503 of a STOA gateway 0.9.25 without an admin token.

    Its text is `Admin API disabled - no admin_api_token configured`; a retry cannot help.
    """
    if status == 503 and "admin_api_token" in text:
        return GatewayUnauthorized(
            "the gateway's admin API is off because it has no token: set STOA_ADMIN_API_TOKEN there"
        )
    return None


_SHARED: Final = BodyMemo()


class StoaClient:
    """Typed calls of `/admin`; every POST is an upsert by id, so all may be repeated.

    `is_shared` is for gateways whose tables this process holds: most of them are the same.
    """

    def __init__(
        self, http: AdminClient, pace: AdminPace | None = None, *, is_shared: bool = False
    ) -> None:
        self._http = http
        self._is_shared = is_shared
        self.pace = pace or AdminPace()
        if not is_shared:  # nothing of this process counts its own calls
            http.on_response = self.pace.count_response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def health(self) -> VendorObject:
        """Return `GET /admin/health`; raises GatewayMalformed if it has no version."""
        what = "the health of the gateway"
        value: VendorObject = await self._http.get_json("/admin/health", what, dict)
        # Any JSON service may answer 200 here; only a STOA gateway names its version.
        if not isinstance(value.get("version"), str):
            raise GatewayMalformed(
                f"{what}: a response without a version: check that baseUrl is a STOA gateway's"
            )
        return value

    def clear_cache(self) -> None:
        """Drop cached collections: the next calls read everything."""
        self._http.clear_cache()

    async def list_objects(
        self,
        collection: str,
        convert: Callable[[list[VendorObject]], Sequence[ListItem]],
        purpose: Hashable = None,
    ) -> Sequence[ListItem]:
        """Return `convert` of all objects of a collection, requested with the last ETag.

        An unchanged collection gives the identical list of the last time. With a `purpose`, under
        which equal responses are converted to equal lists, gateways that are held in this process
        share these. Raises GatewayMalformed if no object has the fields that every STOA gateway
        sends.
        """

        def checked(items: list[VendorObject]) -> Sequence[ListItem]:
            _check_objects(collection, items)
            return convert(items)

        items: Sequence[ListItem] = await self._http.get_json(
            f"/admin/{collection}",
            f"the list of {collection}",
            list,
            conditional=True,
            transform=checked,
            memo=(_SHARED, (collection, purpose)) if self._is_shared else None,
        )
        return items

    async def list_raw(self, collection: str) -> Sequence[VendorObject]:
        """Return all objects of a collection as the gateway has them; raises as `list_objects`."""
        items: list[VendorObject] = await self._http.get_json(
            f"/admin/{collection}", f"the list of {collection}", list
        )
        _check_objects(collection, items)
        return [item for item in items if _wrong_field(item, _REQUIRED[collection]) is None]

    async def put(self, collection: str, body: Mapping[str, Value]) -> None:
        """Create or replace an object by its id."""
        what = f"{_SINGULAR[collection]} {body['name']}"
        # 201 for a new object, 200 for a replaced one; STOA gateway 0.9.25 never answers 409.
        await self._http.request("POST", f"/admin/{collection}", what, body=body, expect=(200, 201))

    async def change(
        self, puts: Mapping[str, list[Value]], removes: Mapping[str, list[str]]
    ) -> set[tuple[str, str, str]]:
        """Write and delete objects as one change, all or none (extension `batch`).

        Returns collection, id and reason of each object that is refused; none when all is done.
        """
        body: dict[str, Value] = {**puts, "delete": {**removes}}
        response = await self._http.request(
            "POST", "/admin/batch", "a change of several objects", body=body, expect=(200, 400, 409)
        )
        if response.status == 200:
            return set()
        result = response.json("the refusal of a change", dict)
        objects, errors = result.get("objects"), result.get("errors")
        if not isinstance(objects, list) or not isinstance(errors, list):
            return {("", "", response.text)}
        text = "; ".join(map(str, errors))
        return {
            (str(item.get("kind")), str(item.get("id")), _reason(item, errors) or text)
            for item in objects
            if isinstance(item, dict)
        } or {("", "", text)}

    async def delete(self, collection: str, object_id: str) -> bool:
        """Delete an object by id; False if it was absent (404)."""
        what = f"deleting {_SINGULAR[collection]} {object_id}"
        # Ids of foreign objects are free text: a slash would name another resource.
        path = f"/admin/{collection}/{quote(object_id, safe='')}"
        response = await self._http.request("DELETE", path, what, expect=(200, 204, 404))
        return response.status != 404


def _reason(item: Mapping[str, Any], errors: list[Any]) -> str:
    """Return the reasons that name an object, as in `apis 'r1': name must not be empty`."""
    start = f"{item.get('kind')} '{item.get('id')}': "
    return "; ".join(str(text).removeprefix(start) for text in errors if start in str(text))


_SINGULAR: Mapping[str, str] = {ROUTES: "route", POLICIES: "policy", CONSUMERS: "consumer"}


def _check_objects(collection: str, items: list[VendorObject]) -> None:
    """Raise GatewayMalformed if no object has the fields that every STOA gateway sends.

    One among others that lacks them is the mappers' to set aside.
    """
    wrong = [_wrong_field(item, _REQUIRED[collection]) for item in items]
    if wrong and None not in wrong:
        raise GatewayMalformed(
            f"the list of {collection}: an object with an unusable `{wrong[0]}`: check that"
            " baseUrl is a STOA gateway's"
        )


def _wrong_field(item: object, fields: Mapping[str, type[Any]]) -> str | None:
    if not isinstance(item, dict):
        return "id"
    for name, kind in fields.items():
        value = item.get(name)
        # In Python a bool is an int; in JSON it is no number.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return name
    return None
