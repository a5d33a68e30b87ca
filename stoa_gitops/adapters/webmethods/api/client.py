"""Typed client of webMethods' administration API (`/rest/apigateway`).

Its traps are met here: a page in place of JSON, a refusal inside a 200, 401 for an id that nobody
has, 500 while the store takes no writes (contract webmethods.md section 0 and A.1).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.responses import RequestRefused, Response
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapters.webmethods.api.answers import (
    FAILED,
    parsed,
    refuse_failed,
    trees_in,
    version_in,
)
from stoa_gitops.adapters.webmethods.api.files import FileCalls
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayMalformed,
    GatewayUnauthorized,
)
from stoa_gitops.model.secret import Value

LIMITS: Final = Limits(read_seconds=30.0, call_seconds=90.0)
"""An import parses a document and writes to the store; a search answers all APIs at once."""

BASE: Final = "/rest/apigateway"
PAGE_SIZE: Final = 200
"""APIs of one page with their definitions."""

_GONE: Final = frozenset({404})
_WRITTEN: Final = (200, 201, 202, 204)
_STATUS: Final = re.compile(rb'"responseStatus"\s*:\s*"(\w+)"')

FIELDS: Final = (
    "id", "name", "description", "type",
    # APIs
    "apiName", "apiVersion", "apiDescription", "isActive", "lastModified", "creationDate",
    "policies", "scopes", "maturityState", "systemVersion",
    # policies and their actions
    "names", "descriptions", "policyScope", "global", "active", "systemPolicy", "scope",
    "policyEnforcements", "templateKey", "parameters",
    # aliases
    "endPointURI", "value", "connectionTimeout", "readTimeout", "optimizationTechnique",
    "passSecurityHeaders", "suspendDurationOnFailure", "keystoreAlias", "keyAlias",
    "truststoreAlias", "stage", "authServerType", "localIntrospectionConfig",
    # URL aliases
    "alias", "apiId", "urlPath", "portList", "package",
    # applications, without their tokens
    "identifiers", "consumingAPIs", "contactEmails", "siteURLs", "jsOrigins", "authStrategyIds",
    "isSuspended",
)  # fmt: skip
"""What a read asks for: definitions of APIs, tokens and secrets are left out."""

TYPES: Final = ("api", "policy", "policy_action", "alias", "url_alias", "application")


def classify(status: int, text: str) -> GatewayError | None:
    """Return what webMethods means by a status; None for what the status says itself."""
    lowered = text.lower()
    if status == 403 and ("licen" in lowered or "<html" in lowered):
        return GatewayUnauthorized(
            f"the gateway answers a page in place of JSON (403): its licence has ended, or a proxy "
            f"stands before it ({text})"
        )
    if status in (500, 503) and ("read-only" in lowered or "clusterblock" in lowered):
        return GatewayBusy(
            "the gateway's store takes no writes (read-only): free space on its disks and lift the "
            "block"
        )
    if status == 503 and "quiesce" in lowered:
        return GatewayBusy("the gateway is in quiesce mode: it takes no changes until that ends")
    return None


class WebMethodsClient:
    """Calls one gateway; every method raises GatewayError and nothing else."""

    def __init__(self, http: AdminClient, base_url: str) -> None:
        self.http = http
        # People copy the address with the path of the API, too.
        self._base = "" if base_url.rstrip("/").endswith(BASE) else BASE
        self.files = FileCalls(http, self._base)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    # what the gateway is

    async def health(self) -> str:
        """Return `green`, `yellow` or `red`; asks for no credentials."""
        found = await self._tree("GET", "/health", "the health check")
        return str(found.get("status") or "")

    async def version(self) -> str:
        """Return the version; empty where the gateway does not say it."""
        what = "the server's description"
        response = await self.http.request(
            "GET", f"{self._base}/is/serverinfo", what, expect=(200, 404)
        )
        return version_in(response.json(what, dict)) if response.status == 200 else ""

    async def watt_setting(self, name: str) -> str | None:
        """Return a setting of the Integration Server; None where it is not among those shown."""
        found = await self.configuration("settings")
        preferred = found.get("preferredSettings")
        for holder in (found.get("allSettings"), (preferred or {}).get("wattKeys")):
            if isinstance(holder, dict) and name in holder:
                return str(holder[name])
        return None

    async def templates(self) -> list[JsonTree]:
        """Return the templates of policy actions; none where the gateway lists them otherwise."""
        what = "the list of policy action templates"
        path = f"{self._base}/policyActionTemplates"
        response = await self.http.request("GET", path, what, expect=(200, 404))
        if response.status != 200:
            return []
        found = await parsed(response, what, None)
        listed = found.get("policyActionTemplates") if isinstance(found, dict) else None
        return [one for one in listed or () if isinstance(one, dict)]

    async def configuration(self, config_id: str) -> JsonTree:
        """Return one configuration by its id."""
        return await self._tree("GET", f"/configurations/{config_id}", f"configuration {config_id}")

    # what it holds

    async def search(self, types: Sequence[str] = TYPES) -> Response:
        """Return all objects of some types, each kind under its name. The body is not parsed."""
        body: JsonTree = {
            "types": list(types), "responseFields": list(FIELDS), "from": 0, "size": -1,
        }  # fmt: skip
        return await self.http.request(
            "POST", f"{self._base}/search", "the search for all objects", body=body
        )

    async def definitions(self, start: int) -> list[JsonTree]:
        """Return a page of APIs with their definitions; fewer than PAGE_SIZE end the list."""
        what = "the definitions of APIs"
        body: JsonTree = {
            "types": ["api"], "responseFields": ["id", "lastModified", "apiDefinition"],
            "from": start, "size": PAGE_SIZE,
        }  # fmt: skip
        response = await self.http.request("POST", f"{self._base}/search", what, body=body)
        return trees_in(await parsed(response, what), "api")

    async def find_api(self, api_id: str) -> JsonTree | None:
        """Return an API in full; None where there is none."""
        what = f"API {api_id}"
        found = await self._find("/apis", api_id, what)
        return None if found is None else _api_in(found, what)

    async def find_policy(self, policy_id: str) -> JsonTree | None:
        """Return a policy; None where there is none."""
        found = await self._find("/policies", policy_id, f"policy {policy_id}")
        return _inner(found, "policy")

    async def policy_actions(self, ids: Sequence[str]) -> list[JsonTree]:
        """Return actions by their ids, those that are there."""
        path = f"/policyActions?policyActionIds={','.join(ids)}"
        found = await self._tree("GET", path, "the policy actions of an API")
        return trees_in(found, "policyaction")

    async def global_policies(self) -> list[JsonTree]:
        """Return all global policies."""
        return await self.list_names("/policies?policyType=global", "policy")

    async def apis_of_policy(self, policy_id: str) -> list[str]:
        """Return the ids of the APIs that a policy is enforced at."""
        what = f"the APIs of policy {policy_id}"
        found = await self._tree("GET", f"/policies/{policy_id}/apis", what)
        inner = (_inner(one, "api") or {} for one in trees_in(found, "apiresponse"))
        return [str(one.get("id") or "") for one in inner]

    async def find_application(self, application_id: str) -> JsonTree | None:
        """Return an application; None where there is none."""
        what = f"application {application_id}"
        found = await self._find("/applications", application_id, what)
        listed = trees_in(found, "applications") if found is not None else []
        return listed[0] if listed else None

    async def find_object(self, path: str, ident: str, envelope: str) -> JsonTree | None:
        """Return an object of the whole gateway by its id; None where there is none."""
        return _inner(await self._find(path, ident, f"{envelope} {ident}"), envelope)

    async def find_alias(self, alias_id: str) -> JsonTree | None:
        """Return an alias; None where there is none."""
        return await self.find_object("/alias", alias_id, "alias")

    async def find_url_alias(self, name: str) -> JsonTree | None:
        """Return a URL alias by its name; None where there is none."""
        path, what = f"/urlaliases?alias={quote(name, safe='')}", f"URL alias {name}"
        response = await self.http.request(
            "GET", f"{self._base}{path}", what, expect=(200, 400, 401, 404)
        )
        if response.status != 200:
            return None
        found = await parsed(response, what)
        listed = [one for one in trees_in(found, "urlaliases") if one.get("alias") == name]
        return listed[0] if listed else None

    async def linked_apis(self, application_id: str) -> list[str]:
        """Return the ids of the APIs that an application may call."""
        path = f"/applications/{application_id}/apis"
        found = await self._tree("GET", path, f"the APIs of application {application_id}")
        listed = found.get("apiIDs")
        return [str(one) for one in listed] if isinstance(listed, list) else []

    async def list_names(self, path: str, key: str) -> list[JsonTree]:
        """Return a whole list: `/alias`, `/urlaliases`, `/strategies`, `/scopes`."""
        what = f"the list of {path.strip('/')}"
        response = await self.http.request("GET", f"{self._base}{path}", what)
        found = await parsed(response, what, None)
        # One build lists strategies without an envelope (contract A.6).
        return [one for one in found if isinstance(one, dict)] if isinstance(
            found, list) else trees_in(found, key)  # fmt: skip

    # writes

    async def write(
        self,
        method: str,
        path: str,
        what: str,
        body: Mapping[str, Value] | None = None,
        *,
        expect: Collection[int] = _WRITTEN,
        reads: bool = True,
    ) -> JsonTree:
        """Send one write; creations once. Returns the answer's object, empty for none.

        Without `reads` the answer is looked through for a refusal alone.

        Answers may hold keys and are shown to nobody. Raises RequestRefused for a refusal inside a
        200.
        """
        response = await self.http.request(
            method,
            f"{self._base}{path}",
            what,
            body=body,
            expect=expect,
            repeatable=method != "POST",
        )
        if not response.body.strip() or response.status in _GONE:
            return {}
        if not reads and response.body.lstrip()[:1] == b"{":
            # An API comes back with its whole definition, and nobody asks for it.
            status = _STATUS.search(response.body)
            if status is None or status[1].decode() not in FAILED:
                return {}
        found: JsonTree = response.json(what, dict)
        refuse_failed(found, what)
        return found

    async def delete(self, path: str, ident: str, what: str, query: str = "") -> bool:
        """Delete an object by its id; whether it was there.

        Raises RequestRefused where the gateway says why it did not, with whatever status.
        """
        try:
            response = await self.http.request(
                "DELETE", f"{self._base}{path}/{ident}{query}", what, expect=(200, 204, 404)
            )
        except GatewayUnauthorized:
            if await self.is_listed(path, ident):
                raise
            return False
        if response.status == 200 and response.body.strip():
            found: JsonTree = response.json(what, dict)
            if found.get("errorReason"):
                raise RequestRefused(f"{what}: the gateway kept it: {found['errorReason']}", 200)
        return response.status != 404

    async def switch(self, api_id: str, *, is_on: bool) -> None:
        """Activate or deactivate an API; one that is in that state already is left alone.

        So is one that is to be deactivated and is gone.
        """
        verb = "activate" if is_on else "deactivate"
        what = f"{verb[:-1]}ing API {api_id}"
        try:
            await self.write("PUT", f"/apis/{api_id}/{verb}", what, reads=False)
        except GatewayUnauthorized:
            if is_on or await self.is_listed("/apis", api_id):
                raise
        except RequestRefused as error:
            if error.status != 400:
                raise
            held = await self.find_api(api_id)
            if held is None or held.get("isActive") is not is_on:
                raise

    async def is_listed(self, path: str, ident: str) -> bool:
        """Whether an id is in its list: 401 is also what an id that nobody has gets (0.6).

        Raises GatewayUnauthorized where the list is refused as well.
        """
        if path == "/apis":
            found = await self._tree("GET", f"/apis?apiIds={ident}", "the list of APIs")
            entries = trees_in(found, "apiresponse")
            return any(
                one.get("responseStatus", "SUCCESS") == "SUCCESS"
                and (_inner(one, "api") or {}).get("id") == ident
                for one in entries
            )
        keys = {"/policies": "policy", "/policyActions": "policyaction",
                "/applications": "applications"}  # fmt: skip
        key = keys.get(path, path.strip("/").lower())
        return any(one.get("id") == ident for one in await self.list_names(path, key))

    async def _find(self, path: str, ident: str, what: str) -> JsonTree | None:
        try:
            response = await self.http.request(
                "GET", f"{self._base}{path}/{ident}", what, expect=(200, 404)
            )
        except GatewayUnauthorized:
            if await self.is_listed(path, ident):
                raise
            return None
        return None if response.status == 404 else await parsed(response, what)

    async def _tree(self, method: str, path: str, what: str) -> JsonTree:
        response = await self.http.request(method, f"{self._base}{path}", what)
        found: JsonTree = await parsed(response, what)
        return found


def _api_in(found: Mapping[str, Any], what: str) -> JsonTree | None:
    inner = found.get("apiResponse")
    if not isinstance(inner, dict):
        raise GatewayMalformed(f"{what}: no API in the answer: check that baseUrl is webMethods'")
    if inner.get("responseStatus") == "NOT_FOUND":
        return None
    return _inner(inner, "api")


def _inner(found: Mapping[str, Any] | None, key: str) -> JsonTree | None:
    inner = (found or {}).get(key)
    return inner if isinstance(inner, dict) else None
