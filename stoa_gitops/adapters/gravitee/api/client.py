"""Typed client of Gravitee's APIs for reading: management v2 and v1, plugins, what is installed.

Reading is the same for all three ways of writing. Cookies are not kept: with one, Gravitee asks for
its CSRF token.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.responses import RequestRefused, Response
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree, Options
from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayMalformed,
    GatewayRefused,
    GatewayUnauthorized,
)
from stoa_gitops.model.instances import GatewayAuth
from stoa_gitops.model.secret import Value

LIMITS: Final = Limits(read_seconds=30.0, call_seconds=90.0)
"""4.10.8 answers 100 APIs in 200 ms, and a PUT in 1 s under load (contract gravitee.md R.10)."""

PAGE_SIZE: Final = 200
"""APIs of one page; 1,000 are allowed, of 3 KB each."""

MAX_READS: Final = 3
"""Reads of a list that changes between its pages."""

DELETED: Final = (200, 204, 404)
"""Statuses after which an object is gone; reading it back shows whether it is."""

_JAVA: Final = re.compile(r"(?:^|[\s.])([A-Z]\w*)Exception\b:? ?(.*)")
_FAULTS: Final = re.compile(
    "Technical|SQL|DataAccess|Timeout|Connect|Socket|IO$|Repository|Interrupted|Concurren|Transaction"
)
"""Java exceptions that are about the server and not about the request."""

_PAGE: Final = re.compile(r"\s*<")
"""HTML; the APIs themselves refuse in JSON, or without a body (R.2)."""


def classify(status: int, text: str) -> GatewayError | None:
    """Return what Gravitee means by a status; None for what the status says itself.

    The Automation API answers 500 to what is wrong with a request, with the class of the exception
    in the message (contract gravitee.md R.1 row 2): sending it again changes nothing. What is not
    about one object (a licence that ended, an API that takes no writes) quarantines none.
    """
    if status == 403 and _PAGE.match(text):
        return GatewayUnauthorized(
            "the gateway answered 403 with a page for people, which its APIs do not: look whether "
            "its licence ended, or what a proxy before it asks for"
        )
    if status == 405:
        return GatewayUnauthorized(
            f"the gateway takes no such call (405: {text}): its management API is read only, or a "
            "proxy before it lets reads through alone"
        )
    if status == 500:
        found = _JAVA.search(text)
        if found is not None and _FAULTS.search(found[1]) is None:
            reason = found[2] or found[1]
            return RequestRefused(f"the gateway refused it ({found[1]}: {reason})", status)
    if status == 400 and "Invalid organization or environment" in text:
        return GatewayRefused(
            "the gateway has no such organization or environment: write their ids, not their "
            "hrids, in options.organization and options.environment"
        )
    return None


def anonymous(connection: Connection) -> Connection:
    """Return a connection without credentials.

    `open-api.yaml` of the Automation API is public, and a 500 with credentials (R.2).
    """
    instance = replace(connection.instance, auth=GatewayAuth())
    return replace(connection, instance=instance, credentials={})


@dataclass(frozen=True, slots=True)
class Features:
    """What the Automation API of a gateway has, as its description says.

    is_there           4.8 and later
    has_subscriptions  applications and subscriptions: 4.9 and later
    has_keys           keys that the caller chose: 4.12 and later
    """

    is_there: bool = False
    has_subscriptions: bool = False
    has_keys: bool = False


class GraviteeClient:
    """Reads one environment; every method raises GatewayError and nothing else."""

    def __init__(self, http: AdminClient, public: AdminClient, options: Options) -> None:
        self.http = http
        self._public = public
        organization, environment = options.organization, options.environment
        # Both spellings are served; without the organization is how 4.0 had it.
        of_organization = (
            "" if organization == Options().organization else f"/organizations/{organization}"
        )
        self.v2 = f"/management/v2{of_organization}/environments/{environment}"
        self.v1 = f"/management/organizations/{organization}/environments/{environment}"
        self.automation = f"/automation/organizations/{organization}/environments/{environment}"
        self._plugins = f"/management/v2/organizations/{organization}/plugins"

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()
        await self._public.aclose()

    # what the gateway is

    async def environment(self) -> JsonTree:
        """Return the environment; tells whether credentials and options are right."""
        found: JsonTree = await self.http.get_json(self.v2, "the environment", dict)
        if "id" not in found:
            raise GatewayMalformed(
                "the environment: no id in it: check that baseUrl leads to Gravitee's APIs"
            )
        return found

    async def features(self) -> Features:
        """Return what the Automation API has; nothing where there is none."""
        what = "the description of the Automation API"
        path = "/automation/open-api.yaml"
        # It is YAML, and a 406 to who asks for JSON (4.10.8).
        headers = {"Accept": "application/yaml, */*"}
        response = await self._public.request(
            "GET", path, what, expect=(200, 401, 403, 404), headers=headers
        )
        # As text: its 130 KB of YAML take half a second to parse.
        text = response.body.decode("utf-8", "replace")
        if response.status != 200 or "/apis:" not in text:
            return Features()
        return Features(
            is_there=True,
            has_subscriptions="/subscriptions:" in text,
            has_keys=re.search(r"^\s+apiKeys:", text, re.MULTILINE) is not None,
        )

    async def has_import(self) -> bool:
        """Whether `_import/crd` is there: an empty body is refused by it, and by nothing else."""
        path = f"{self.v2}/apis/_import/crd?dryRun=true"
        response = await self.http.request(
            "PUT", path, "looking for _import/crd", body={}, expect=(200, 400, 404, 405)
        )
        return response.status in (200, 400)

    async def plugins(self, kind: str) -> frozenset[str]:
        """Return the ids of installed plugins: `policies` or `resources`."""
        what = f"the list of {kind}"
        listed = await self.http.get_json(f"{self._plugins}/{kind}", what, list)
        return frozenset(str(one["id"]) for one in listed if isinstance(one, dict) and "id" in one)

    async def plugin_schema(self, kind: str, plugin: str) -> JsonTree:
        """Return the JSON Schema of a plugin's configuration; empty where it has none.

        Of `endpoints` it is that of what the endpoints of a group share.
        """
        what = f"the schema of {plugin}"
        which = "shared-configuration-schema" if kind == "endpoints" else "schema"
        path = f"{self._plugins}/{kind}/{plugin}/{which}"
        response = await self.http.request("GET", path, what, expect=(200, 204, 404))
        if response.status != 200 or not response.body.strip():
            return {}
        found: JsonTree = response.json(what, dict)
        return found

    # what it holds

    async def list_apis(self) -> list[JsonTree]:
        """Return every API that these credentials see, with its definition and without plans.

        Raises GatewayBusy where the list changes each time that it is read.
        """
        return await self._whole(f"{self.v2}/apis", "the list of APIs", PAGE_SIZE)

    async def list_applications(self, status: str = "ACTIVE") -> list[JsonTree]:
        """Return every application that is not archived, or with ARCHIVED those that are."""
        path = f"{self.v1}/applications/_paged?status={status}"
        return await self._whole(path, "the list of applications", PAGE_SIZE, "size", "page")

    async def list_plans(self, api_id: str) -> list[JsonTree]:
        """Return the plans of an API that are not closed."""
        path = f"{self.v2}/apis/{api_id}/plans?statuses=STAGING,PUBLISHED,DEPRECATED"
        return await self._pages(path, f"the plans of {api_id}", 100)

    async def list_subscriptions(self, api_id: str) -> list[JsonTree]:
        """Return the subscriptions to an API that are not over."""
        path = f"{self.v2}/apis/{api_id}/subscriptions?statuses=ACCEPTED,PENDING,PAUSED"
        return await self._pages(path, f"the subscriptions of {api_id}", 100)

    async def list_subscribed(self, application_id: str) -> set[str]:
        """Return the ids of the APIs that an application has subscriptions to which are not over.

        That includes those that a restored application got back, without a sign in any API.
        """
        path = f"{self.v1}/applications/{application_id}/subscriptions"
        what = f"the subscriptions of {application_id}"
        listed = await self._whole(
            f"{path}?status=ACCEPTED,PENDING,PAUSED", what, PAGE_SIZE, "size", "page"
        )
        return {str(one.get("api")) for one in listed}

    async def list_keys(self, api_id: str, subscription: str) -> list[JsonTree]:
        """Return the keys of a subscription, in clear."""
        path = f"{self.v2}/apis/{api_id}/subscriptions/{subscription}/api-keys?"
        return await self._pages(path, f"the keys of {subscription}", 100)

    async def find_api(self, api_id: str) -> tuple[JsonTree | None, bool]:
        """Return an API by its id, None where there is none, and whether it is kept from us."""
        what = f"the API {api_id}"
        path = f"{self.v2}/apis/{api_id}"
        response = await self.http.request("GET", path, what, expect=(200, 403, 404))
        if response.status == 403 and (error := classify(403, response.text)) is not None:
            raise error
        found = response.json(what, dict) if response.status == 200 else None
        return found, response.status == 403

    async def find_plan(self, api_id: str, plan: str) -> JsonTree | None:
        """Return a plan by its id, also one that is closed; None where there is none."""
        return await self._find(f"{self.v2}/apis/{api_id}/plans/{plan}", f"the plan {plan}")

    async def find_subscription(self, api_id: str, subscription: str) -> JsonTree | None:
        """Return a subscription by its id, also one that is over; None where there is none."""
        what = f"the subscription {subscription}"
        path = f"{self.v2}/apis/{api_id}/subscriptions/{subscription}"
        return await self._find(path, what)

    async def find_application(self, application_id: str) -> JsonTree | None:
        """Return an application by its id; None where there is none."""
        path = f"{self.v1}/applications/{application_id}"
        return await self._find(path, f"the application {application_id}")

    async def find_state(self, kind: str, hrid: str) -> JsonTree | None:
        """Return what the Automation API has under a name: `apis` or `applications`."""
        return await self._find(f"{self.automation}/{kind}/{hrid}", f"{kind} {hrid}")

    async def _find(self, path: str, what: str) -> JsonTree | None:
        response = await self.http.request("GET", path, what, expect=(200, 404))
        return response.json(what, dict) if response.status == 200 else None

    async def call(
        self,
        method: str,
        path: str,
        what: str,
        body: Mapping[str, Value] | None = None,
        *,
        expect: Collection[int] = (200, 201, 202, 204),
        repeatable: bool = True,
    ) -> Response:
        """Send one write. Bodies of answers are read by nobody: some echo keys (R.1 row 11).

        Raises GatewayMalformed for a page with a good status: a proxy sent it, and wrote nothing.
        """
        response = await self.http.request(
            method, path, what, body=body, expect=expect, repeatable=repeatable
        )
        if response.is_html:
            raise GatewayMalformed(
                f"{what}: the gateway acknowledged it with a page (HTML {response.status}): a "
                "proxy or a login stands before it"
            )
        return response

    # lists

    async def _whole(
        self,
        path: str,
        what: str,
        size: int,
        size_name: str = "perPage",
        page_name: str = "page",
        *,
        absent: bool = False,
    ) -> list[JsonTree]:
        """Read a list whose pages fit together: one that changes meanwhile loses objects.

        An object that is in it twice stands in the place of another one.
        """
        for _ in range(MAX_READS):
            found, total = await self._read_pages(
                path, what, size, size_name, page_name, absent=absent
            )
            if len({str(one.get("id")) for one in found}) >= max(total, len(found)):
                return found
        raise GatewayBusy(f"{what}: it changes while it is read")

    async def _pages(self, path: str, what: str, size: int) -> list[JsonTree]:
        return await self._whole(path, what, size, absent=True)

    async def _read_pages(
        self,
        path: str,
        what: str,
        size: int,
        size_name: str,
        page_name: str,
        *,
        absent: bool = False,
    ) -> tuple[list[JsonTree], int]:
        joint = "" if path.endswith("?") else ("&" if "?" in path else "?")
        found: list[JsonTree] = []
        number, total = 1, 0
        while True:
            link = f"{path}{joint}{page_name}={number}&{size_name}={size}"
            expect = (200, 404) if absent else (200,)
            response = await self.http.request("GET", link, what, expect=expect)
            if response.status == 404:
                # Its API is gone since the list was read.
                return [], 0
            page = await _parsed(response, what)
            items = _items(page, what)
            found += items
            total = max(total, _total(page, len(found)))
            if not items or len(found) >= total:
                return found, total
            number += 1


async def _parsed(response: Response, what: str) -> JsonTree:
    # A page of large definitions has megabytes, which take tens of milliseconds.
    if len(response.body) < 1 << 20:
        small: JsonTree = response.json(what, dict)
        return small
    large: JsonTree = await asyncio.to_thread(response.json, what, dict)
    return large


def _items(page: Mapping[str, Any], what: str) -> list[JsonTree]:
    data = page.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise GatewayMalformed(
            f"{what}: no list of objects in it: check that baseUrl is Gravitee's"
        )
    return data


def _total(page: Mapping[str, Any], known: int) -> int:
    """Return how many objects the list has: v2 and v1 say it in other words."""
    v2, v1 = page.get("pagination"), page.get("page")
    for holder, name in ((v2, "totalCount"), (v1, "total_elements")):
        if isinstance(holder, dict) and isinstance(holder.get(name), int):
            return int(holder[name])
    # An empty list of somebody without rights has no numbers (4.10.8).
    return known
