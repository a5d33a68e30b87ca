"""What stands behind an API: its backends, how one of them is chosen, and their credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.catalog.evaluation.backend_urls import Backend, check_url
from stoa_gitops.catalog.evaluation.context import DocumentContext, intern_part, required
from stoa_gitops.catalog.evaluation.definitions import Reference, RequiredCapability
from stoa_gitops.foundation.yaml.nodes import Pointer

_DEFAULT_TIMEOUT: Final = "30s"
_BASE: Final[Pointer] = ("spec", "backend")
_AUTH_FIELDS: Final[Mapping[str | None, tuple[str, ...]]] = {
    None: ("in", "name", "valueRef"),
    "basic": ("usernameRef", "passwordRef"),
    "oauth2_client_credentials": ("tokenUrl", "clientId", "clientSecretRef", "scopes"),
}
"""The fields of a credential by its type; `scopes` is there always, by its default."""

_TLS_FIELDS: Final[Mapping[str, str]] = {
    "certificate": "certRef", "key": "keyRef", "ca": "caRef", "serverName": "serverName",
}  # fmt: skip


@dataclass(slots=True)
class ApiBackends:
    """Makes the canonical form of `backend` and `backends`; says what it found on the way.

    `backends` are the hosts that are called, `aliases` references to aliases, and `needs` what a
    gateway must be able to do. Errors go to the context.
    """

    context: DocumentContext
    backends: list[Backend] = field(default_factory=list)
    aliases: list[Reference] = field(default_factory=list)
    needs: list[RequiredCapability] = field(default_factory=list)

    def canonical(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return the canonical `backend` of an API's valid spec.

        With several backends it has `targets` (url, weight and perhaps `tls`, by url),
        `loadBalancing` and perhaps `healthCheck`, and `url` is that of the first.
        """
        backend = spec.get("backend") or {"timeout": _DEFAULT_TIMEOUT, "retries": 0}
        out = self._targets(spec, backend)
        out |= {"timeout": backend["timeout"], "retries": backend["retries"]}
        if backend["timeout"] != _DEFAULT_TIMEOUT:
            self.needs.append(required("timeout", *_BASE, "timeout"))
        self._refuse_nothing(backend["timeout"], (*_BASE, "timeout"))
        if backend["retries"]:
            self.needs.append(required("retries", *_BASE, "retries"))
        if "auth" in backend:
            out["auth"] = self._auth(backend["auth"])
        if "fallback" in backend:
            at: Pointer = (*_BASE, "fallback")
            out["fallback"] = self._address(backend["fallback"], at)
            self.needs.append(required("fallback", *at))
        return out

    def _targets(self, spec: Mapping[str, Any], backend: Mapping[str, Any]) -> dict[str, Any]:
        items, check = spec.get("backends"), spec.get("healthCheck")
        if items is None:
            if check is not None:
                self._refuse(
                    "schema.choice", "healthCheck is for several backends", ("healthCheck",),
                    "write `backends: [{url: …}, {url: …}]`, or remove it",
                )  # fmt: skip
            url = self._address(backend, _BASE)
            return {"url": url, **self._tls(url, backend, _BASE)}
        for name in ("url", "alias"):
            if name in backend:
                text = f"backends stand in place of backend.{name}"
                self._refuse("schema.choice", text, ("backend", name), "remove one of both")
        targets: list[dict[str, Any]] = []
        for index, item in enumerate(items):
            url = self._url(item["url"], ("spec", "backends", index, "url"))
            if any(target["url"] == url for target in targets):
                text = f"the backend {url} is written twice"
                self._refuse("name.twice", text, ("backends", index, "url"), "add its weights up")
            at: Pointer = ("spec", "backends", index) if "tls" in item else _BASE
            own = self._tls(url, item if "tls" in item else backend, at)
            targets.append({"url": url, "weight": item["weight"], **own})
        self._check_weights(spec, targets)
        if len(targets) == 1 and check is None:
            del targets[0]["weight"]
            return targets[0]
        self.needs.append(required("backends", "spec", "backends"))
        # Their order in a document has no meaning, so the canonical form has one order.
        targets.sort(key=lambda target: str(target["url"]))
        out = {
            "url": targets[0]["url"], "targets": targets, "loadBalancing": spec["loadBalancing"],
        }  # fmt: skip
        if check is not None:
            out["healthCheck"] = check
            self._check_health(check)
        return out

    def _check_weights(self, spec: Mapping[str, Any], targets: list[dict[str, Any]]) -> None:
        weights = {target["weight"] for target in targets}
        if weights == {0}:
            text = "no backend has a weight, so none would get a request"
            self._refuse("schema.range", text, ("backends",), "give one a weight above 0")
        elif spec["loadBalancing"] == "round_robin" and len(weights - {0}) > 1:
            text = "round_robin makes no difference between weights"
            hint = "write `loadBalancing: weighted`, or leave the weights out"
            self._refuse("schema.choice", text, ("loadBalancing",), hint)

    def _check_health(self, check: Mapping[str, Any]) -> None:
        for kind, names in (("active", ("interval", "timeout")), ("passive", ("ejectFor",))):
            if kind not in check:
                continue
            self.needs.append(required(f"health_check:{kind}", "spec", "healthCheck", kind))
            for name in names:
                self._refuse_nothing(check[kind][name], ("spec", "healthCheck", kind, name))

    def _tls(self, url: str, holder: Mapping[str, Any], at: Pointer) -> dict[str, Any]:
        """Return the TLS to a backend, where its document or all of them have one."""
        if "tls" not in holder:
            return {}
        at = (*at, "tls")
        self.needs.append(required("backend_tls", *at))
        if not url.lower().startswith("https:"):
            text = f"the backend {url} is called without TLS"
            self._refuse("backend.tls", text, at[1:], "write an https URL, or remove `tls`")
        return {
            "tls": {
                name: holder["tls"][field]
                for name, field in _TLS_FIELDS.items()
                if field in holder["tls"]
            }
        }

    def _auth(self, auth: Mapping[str, Any]) -> dict[str, Any]:
        at: Pointer = (*_BASE, "auth")
        kind = auth.get("type")
        own = (*_AUTH_FIELDS[kind], "type")
        for name in auth:
            # The default of `scopes` stands in every credential.
            if name not in own and not (name == "scopes" and not auth[name]):
                what = f"of type {kind}" if kind else "without a type"
                text = f"a credential {what} has no {name}"
                self._refuse("schema.choice", text, ("backend", "auth", name), "remove it")
        if kind == "basic":
            self.needs.append(required("backend_auth:basic", *at))
            return {"type": kind, "username": auth["usernameRef"], "password": auth["passwordRef"]}
        if kind is not None:
            self.needs.append(required(f"backend_auth:{kind}", *at))
            return {
                "type": kind,
                "tokenUrl": self._url(auth["tokenUrl"], (*at, "tokenUrl")),
                "clientId": auth["clientId"],
                "clientSecret": auth["clientSecretRef"],
                "scopes": auth["scopes"],
            }
        self.needs.append(required(f"backend_auth:{auth['in']}", *at))
        return {"in": auth["in"], "name": auth["name"], "value": auth["valueRef"]}

    def _address(self, target: Mapping[str, Any], at: Pointer) -> str:
        # An alias is resolved by name, so there is no URL to check.
        if "alias" in target:
            self.aliases.append(Reference(target["alias"], (*at, "alias")))
            self.needs.append(required("builtin_echo", *at, "alias"))
            return f"builtin:{target['alias']}"
        return self._url(target["url"], (*at, "url"))

    def _url(self, url: str, at: Pointer) -> str:
        backend, found = check_url(url, intern_part(at), self.context.document)
        self.context.findings.extend(found)
        if backend is not None:
            self.backends.append(backend)
        return str(url)

    def _refuse_nothing(self, duration: str, at: Pointer) -> None:
        if duration == "0s":
            text = f"{'a timeout' if at[-1] == 'timeout' else at[-1]} is longer than nothing"
            self.context.report_error("schema.range", text, at)

    def _refuse(self, code: str, text: str, at: Pointer, hint: str) -> None:
        self.context.report_error(code, text, ("spec", *at), hint)
