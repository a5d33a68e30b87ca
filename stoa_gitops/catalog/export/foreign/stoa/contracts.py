"""Universal API contracts of STOA (`stoa-catalog/tenants/<t>/uac.yaml`): classes become plans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.stoa.apis import Apis
from stoa_gitops.catalog.export.foreign.stoa.tenants import Tenants
from stoa_gitops.catalog.export.foreign.stoa.variables import Variables
from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    items_of,
    mapping_of,
    texts_of,
)

_MINUTES: Final = 60
_SIZE: Final = re.compile(r"([0-9]+) *(k|m|g)?i?b?", re.IGNORECASE)
_BREAKER_WINDOW: Final = "1m"
_SPEC: Final = {"classifications", "apis", "security", "quotas"}


class Contract:
    """One tenant's contract."""

    def __init__(
        self,
        translation: Translation,
        tenants: Tenants,
        apis: Apis,
        variables: Variables,
        root: Mapping[str, Any],
        tenant: str,
    ) -> None:
        self._translation = translation
        self._tenants = tenants
        self._apis = apis
        self._tenant = tenant
        self._spec = mapping_of(variables.resolve(root.get("spec")))
        self._what = f"contract of {tenant}"

    def add(self) -> None:
        """Add the APIs of the contract, each with the plan of its class."""
        home = self._tenants.home(self._tenant)
        noted: set[str] = set()
        for item in items_of(self._spec.get("apis")):
            name = str(item.get("name") or "")
            if not name:
                continue
            document = self._apis.find(self._tenant, name)
            if document is None or document.tenant != self._tenant:
                document = self._new(item, name)
            label = str(item.get("classification") or "")
            values = mapping_of(mapping_of(self._spec.get("classifications")).get(label))
            if values:
                self._classify(document, label, values, is_first=label not in noted)
                noted.add(label)
            elif label:
                effect = "left out: the contract has no such class"
                self._translation.leave_out("classification", label, "", effect, document)
        self._translation.leave_out_others(
            self._what, self._spec, _SPEC, home.document, "nothing of the catalog says it"
        )
        self._note_security()

    def _new(self, item: Mapping[str, Any], name: str) -> TranslatedDocument:
        backend: dict[str, Any] = {"alias": "echo"}
        if item.get("backend"):
            backend = {"url": str(item["backend"])}
        document = self._translation.add(
            "API",
            self._tenant,
            name,
            {
                "displayName": item.get("displayName"),
                "version": "1",
                "description": item.get("description"),
                "backend": backend,
            },
        )
        routes: list[dict[str, Any]] = [{"path": f"/apis/{self._tenant}/{document.name}"}]
        self._apis.claim(document, f"/apis/{name}", routes)
        document.spec["routes"] = routes
        tags = texts_of(item.get("tags"))
        if tags:
            document.spec["portal"] = {"tags": tags}
        self._apis.by_name.setdefault((self._tenant, name.lower()), document)
        self._backend_auth(document, mapping_of(item.get("authentication")))
        self._security(document)
        if item.get("operations"):
            effect = "left out: operations are those of an OpenAPI document"
            self._translation.leave_out("operations", "", "", effect, document)
        known = {
            "name", "displayName", "description", "backend", "classification", "tags",
            "operations", "authentication",
        }  # fmt: skip
        self._translation.leave_out_others("API", item, known, document)
        return document

    def _backend_auth(self, document: TranslatedDocument, auth: Mapping[str, Any]) -> None:
        """Write the backend's credential, which the contract names a variable for."""
        header, kind = auth.get("header"), str(auth.get("type") or "")
        if not auth:
            return
        variable = str(auth.get("env_var") or "")
        if not isinstance(header, str) or kind not in ("bearer", "api_key", "header"):
            effect = "left out: the backend is called without it"
            self._translation.leave_out("authentication", kind, variable, effect, document)
            return
        reference = self._translation.placeholder(document, "backend")
        document.spec["backend"]["auth"] = {"in": "header", "name": header, "valueRef": reference}
        what = "`Bearer ` and the token" if kind == "bearer" else "the key"
        document.notes.append(f"{reference['env']} is {what} that {variable or header} was.")

    def _security(self, document: TranslatedDocument) -> None:
        """Write the credentials that callers need: a key or a token."""
        authentication = mapping_of(mapping_of(self._spec.get("security")).get("authentication"))
        methods = texts_of(authentication.get("methods"))
        policies: list[Any] = []
        if "api_key" in methods:
            header = mapping_of(authentication.get("api_key")).get("header_name")
            named = isinstance(header, str) and header != "X-API-Key"
            policies.append({"type": "api_key", "config": {"name": header} if named else {}})
        oauth = mapping_of(authentication.get("oauth2"))
        if "oauth2" in methods and oauth.get("issuer"):
            config: dict[str, Any] = {"issuer": str(oauth["issuer"])}
            audiences = texts_of(oauth.get("audience"))
            if audiences:
                config["audiences"] = audiences
            policies.append({"type": "jwt", "config": config})
        checks = mapping_of(mapping_of(self._spec.get("security")).get("request_validation"))
        size = _size(str(checks.get("max_body_size") or "")) if checks.get("enabled") else None
        if size:
            policies.append({"type": "request_size", "config": {"max": size}})
        if policies:
            document.spec["policies"] = policies
        if authentication.get("required") is True and not {"api_key", "oauth2"} & set(methods):
            document.close(f"authentication by {', '.join(methods) or 'nothing that is known'}")

    def _classify(
        self, document: TranslatedDocument, label: str, values: Mapping[str, Any], *, is_first: bool
    ) -> None:
        plan = self._plan(label, values, is_first=is_first)
        if plan is not None:
            document.spec["plans"] = [plan]
        if values.get("enabled") is False:
            document.spec["active"] = False
        timeout = values.get("timeout")
        backend = document.spec["backend"]
        if isinstance(timeout, str) and re.fullmatch(r"[0-9]+(ms|s|m|h)", timeout):
            backend["timeout"] = timeout
        policies = document.spec.setdefault("policies", [])
        policies += _retry(mapping_of(values.get("retry_policy")))
        breaker = mapping_of(values.get("circuit_breaker"))
        failures, reset = breaker.get("failure_threshold"), breaker.get("reset_timeout")
        if breaker.get("enabled") and isinstance(failures, int) and isinstance(reset, str):
            config = {"failures": failures, "window": _BREAKER_WINDOW, "reset": reset}
            policies.append({"type": "circuit_breaker", "config": config})
        if not policies:
            del document.spec["policies"]
        if is_first:
            known = {
                "description", "enabled", "rate_limit", "burst", "timeout", "retry_policy",
                "circuit_breaker",
            }  # fmt: skip
            self._translation.leave_out_others(f"{self._what}: class {label}", values, known)

    def _plan(
        self, label: str, values: Mapping[str, Any], *, is_first: bool
    ) -> dict[str, Any] | None:
        """Return the plan of a class: so many requests an hour, as the minute has of them."""
        hourly, burst = values.get("rate_limit"), values.get("burst")
        if not isinstance(hourly, int) or hourly <= 0:
            return None
        plan: dict[str, Any] = {"name": label.lower(), "perMinute": max(1, hourly // _MINUTES)}
        monthly = mapping_of(self._spec.get("quotas")).get("monthly_requests")
        if isinstance(monthly, int) and monthly > 0:
            plan["perMonth"] = monthly
        if isinstance(burst, int) and burst > 0:
            plan["burst"] = burst
        if is_first:
            effect = f"plan {plan['name']}: {plan['perMinute']} a minute, for plans have no hours"
            self._translation.leave_out(
                self._what, f"{label}.rate_limit", f"{hourly} an hour", effect
            )
        return plan

    def _note_security(self) -> None:
        security = mapping_of(self._spec.get("security"))
        authentication = mapping_of(security.get("authentication"))
        if "mtls" in texts_of(authentication.get("methods")):
            effect = "left out: clients are not asked for certificates"
            self._translation.leave_out(self._what, "mtls", "", effect)
        allowlist = mapping_of(security.get("ip_allowlist"))
        if allowlist.get("enabled"):
            effect = "left out: write an `ip_filter` with the addresses"
            self._translation.leave_out(self._what, "ip_allowlist", "", effect)
        known = {"authentication", "ip_allowlist", "request_validation"}
        self._translation.leave_out_others(self._what, security, known)
        self._translation.leave_out_others(
            f"{self._what}: quotas", mapping_of(self._spec.get("quotas")), {"monthly_requests"}
        )


def _retry(rules: Mapping[str, Any]) -> list[dict[str, Any]]:
    retries, pause = rules.get("max_retries"), rules.get("initial_delay")
    if not isinstance(retries, int) or retries <= 0:
        return []
    config: dict[str, Any] = {"attempts": retries}
    if isinstance(pause, str) and re.fullmatch(r"[0-9]+(ms|s|m|h)", pause):
        config["backoff"] = pause
    statuses = [one for one in rules.get("retry_on") or () if isinstance(one, int)]
    if statuses:
        config["on"] = [str(one) for one in statuses]
    return [{"type": "retry", "config": config}]


def _size(text: str) -> str | None:
    """Return a size as documents have it: `100mb` is `100MB`."""
    found = _SIZE.fullmatch(text.strip())
    return f"{found[1]}{(found[2] or '').upper()}B" if found else None
