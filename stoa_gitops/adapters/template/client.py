"""Client of the imaginary admin API, in the vendor's words: services and limits by id."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapters.template.mappers import VendorObject
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.secret import Value

SERVICES = "services"
LIMITS = "limits"


class TemplateClient:
    """Typed calls; every PUT replaces by id, so all may be repeated. Raises GatewayError."""

    def __init__(self, http: AdminClient) -> None:
        self._http = http

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def version(self) -> str:
        """Return the version in `GET /v1/status`."""
        status = await self._http.get_json("/v1/status", "the status", dict)
        return str(status.get("version", ""))

    async def list_objects(self, collection: str) -> list[VendorObject]:
        """Return every object of a collection; raises GatewayMalformed if one has no id."""
        what = f"the list of {collection}"
        items: list[VendorObject] = await self._http.get_json(
            f"/v1/{collection}", what, list, conditional=True
        )
        if not all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in items):
            raise GatewayMalformed(f"{what}: an object without an id: check baseUrl")
        return items

    async def put(self, collection: str, object_id: str, body: Mapping[str, Value]) -> None:
        """Create or replace an object."""
        what = f"writing {collection} {object_id}"
        await self._http.request("PUT", _path(collection, object_id), what, body=body)

    async def delete(self, collection: str, object_id: str) -> None:
        """Delete an object; absent (404) is success."""
        what = f"deleting {collection} {object_id}"
        await self._http.request(
            "DELETE", _path(collection, object_id), what, expect=(200, 204, 404)
        )


def _path(collection: str, object_id: str) -> str:
    # RFC 3986 §3.3: a slash in an id would start another segment.
    return f"/v1/{collection}/{quote(object_id, safe='')}"
