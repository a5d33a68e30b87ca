"""`/configurations/{id}`: ids and keys of the contract, their defaults, what is refused."""

from __future__ import annotations

from copy import deepcopy

from aiohttp import web

from tests.adapters.webmethods.double.answers import Refused, Tree, object_of
from tests.adapters.webmethods.double.store import Store

DEFAULTS: dict[str, Tree] = {
    "errorProcessing": {
        "sendNativeProviderFault": "false",
        "defaultErrorMessage": "API Gateway encountered an error.",
        "fallbackErrorMessage": "API Gateway encountered an error.",
    },
    "apiCallBackSettings": {
        "configuration": {
            "processCallbackRequests": "true",
            "allowCallBackRequestsHTTPsAccessOnly": "false",
            "allowCallbackRequestAccessToAllowedIPs": "false",
            "allowedIPs": [],
        }
    },
    "keystore": {"keystoreName": "", "signingAlias": "", "truststoreName": ""},
    "loadBalancer": {"httpUrls": [], "httpsUrls": [], "websocketUrls": [], "webAppUrl": ""},
    "cache": {}, "logConfig": {}, "customContentTypes": {}, "passwordExpiry": {},
    "passwordRestrictions": {}, "accountLockSettings": {}, "ldapConfig": {}, "samlsso": {},
    "whiteListingIPs": {}, "mobileApp": {}, "denyByIPForFailedAuthConfig": {},
    **{f"{name}DestinationConfig": {} for name in (
        "gateway", "elasticsearch", "email", "snmp", "jdbc", "des", "apiPortal",
        "analyticsDataStore", "auditlog")},
}  # fmt: skip
_SETTINGS: Tree = {
    "extendedKeys": {"pg_JWT_isHTTPS": "true", "apiKeyHeader": "x-Gateway-APIKey",
                     "allowExceedMonthlyBudget": "false"},
    "wattKeys": {
        "watt.net.timeout": "300",
        "watt.server.http.returnException": "false",
        "watt.server.url.alias.partialMatching": "false",
    },
}  # fmt: skip


class Configurations:
    """Handlers of one double."""

    def __init__(self, store: Store) -> None:
        self._held = store.configurations
        self._held.update(deepcopy(DEFAULTS))
        self._held["settings"] = deepcopy(_SETTINGS)

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown(self._id(request)))

    def _id(self, request: web.Request) -> str:
        name = request.match_info["id"]
        if name not in self._held:
            # jsonWebToken, apiCallBackProcessorSettings: not of this product.
            raise Refused(400, f"Invalid configId value in request. configId: {name}.")
        return name

    def _shown(self, name: str) -> Tree:
        held = self._held[name]
        if name == "settings":
            return {"preferredSettings": held, "allSettings": {**held["extendedKeys"],
                                                               **held["wattKeys"]}}  # fmt: skip
        return held

    async def update(self, request: web.Request) -> web.Response:
        name, body = self._id(request), await object_of(request)
        if name == "settings":
            self._update_settings(body)
        else:
            self._check(body, DEFAULTS[name])
            # What is left out goes back to its default: a PUT replaces.
            self._held[name] = {**deepcopy(DEFAULTS[name]), **body}
        return web.json_response(self._shown(name))

    def _check(self, body: Tree, known: Tree) -> None:
        # Where the contract names no keys, any are taken.
        if known and set(body) - set(known):
            raise Refused(400, "Invalid property key found in request payload.")
        for key, value in known.items():
            if isinstance(value, dict) and isinstance(body.get(key), dict):
                self._check(body[key], value)

    def _update_settings(self, body: Tree) -> None:
        sent = body.get("preferredSettings")
        if set(body) - {"preferredSettings", "allSettings"} or not isinstance(sent, dict):
            raise Refused(400, "Invalid property key found in request payload.")
        for group in ("extendedKeys", "wattKeys"):
            unknown = set(sent.get(group) or ()) - set(_SETTINGS[group])
            if unknown:
                raise Refused(400, "Invalid property key found in request payload.")
            self._held["settings"][group].update(sent.get(group) or {})
