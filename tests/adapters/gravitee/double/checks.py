"""What the server refuses, with its words; recorded in errors.jsonl of both versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.adapters.gravitee.double.forms import path_of
from tests.adapters.gravitee.double.plugins import ENDPOINT, POLICIES, fault_of
from tests.adapters.gravitee.double.store import Store, Tree

_STATES = ("STARTED", "STOPPED", "CLOSED", "INITIALIZED", "STOPPING")
_ENUMS: dict[str, tuple[str, ...]] = {
    "type": ("A2A_PROXY", "LLM_PROXY", "MCP_PROXY", "MESSAGE", "PROXY", "NATIVE"),
    "visibility": ("PUBLIC", "PRIVATE"),
    "lifecycleState": ("CREATED", "PUBLISHED", "UNPUBLISHED", "DEPRECATED", "ARCHIVED"),
}
SECURITIES = {
    "KEY_LESS": "key-less", "API_KEY": "api-key", "JWT": "jwt", "OAUTH2": "oauth2", "MTLS": "",
}  # fmt: skip
_PATH = re.compile(r"[/.a-zA-Z0-9_-]*")
_HRIDS = {
    (4, 10): "^[a-zA-Z][a-zA-Z0-9_-]{2,}$",
    (4, 12): "^[a-zA-Z0-9][a-zA-Z0-9_-]+[a-zA-Z0-9]$",
}
_SERVICE = "io.gravitee.rest.api.service.exceptions."


class Refused(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        status: int,
        message: str = "",
        code: str | None = None,
        details: list[Tree] | None = None,
        *,
        v1: bool = False,
        parameters: bool = True,
        text: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.text = status, text
        self.body: Tree | None = None
        if message:
            self.body = {"http_status" if v1 else "httpStatus": status, "message": message}
            if not v1 and parameters:
                self.body["details"] = details or []
            if code is not None:
                self.body["technicalCode"] = code


def java(name: str, message: str) -> Refused:
    """The 500 of the Automation API for what is wrong with a request."""
    where = "" if "." in name else _SERVICE
    return Refused(500, f"{where}{name}: {message}", "unexpected")


def invalid(*messages: str) -> Refused:
    listed = ", ".join(messages)
    return Refused(400, f"Unable to import because of errors [{listed}]", "invalid")


def beans(found: list[tuple[str, str]]) -> Refused:
    details = [
        {"message": message, "location": where, "invalidValue": {"present": True}}
        for where, message in found
    ]
    return Refused(400, "Validation error", None, details)


class Checks:
    """The checks of one version."""

    def __init__(self, version: tuple[int, int], store: Store, policies: set[str]) -> None:
        self.version, self._store, self._policies = version, store, policies

    # before anything: the body itself

    def shape(self, body: Any) -> None:
        if body is None:
            raise beans([("createOrUpdate.spec", "must not be null")])
        if isinstance(body, list):
            raise self._java_type(
                "Cannot deserialize value of type "
                "`io.gravitee.apim.rest.api.automation.model.LegacyAPIV4Spec` from Array value "
                "(token `JsonToken.START_ARRAY`)"
            )
        if isinstance(body.get("labels"), str):
            raise self._java_type(
                "Cannot construct instance of `java.util.LinkedHashSet` (although"
                " at least one Creator exists): no String-argument constructor/factory method to "
                f"deserialize from String value ('{body['labels']}')",
                "labels",
            )
        if isinstance(body.get("listeners"), dict):
            raise self._java_type("Cannot deserialize value of type `java.util.ArrayList<"
                "io.gravitee.apim.rest.api.automation.model.Listener>` from Object value (token "
                "`JsonToken.START_OBJECT`)", "listeners")  # fmt: skip
        self._enums(body)

    def _java_type(self, message: str, where: str = "") -> Refused:
        if self.version < (4, 12):
            return Refused(400, message)
        details = [{"message": message, "location": where}] if where else []
        return Refused(400, message, "invalidValue", details)

    def _enums(self, body: Tree) -> None:
        names = {"type": "ApiType", "visibility": "Visibility", "lifecycleState": "LifecycleState"}
        for name, allowed in _ENUMS.items():
            value = body.get(name)
            self._enum(value, allowed, names[name], name)
        state = body.get("state")
        self._enum(state, _STATES, "LifecycleState", "state")
        for index, plan in enumerate(body.get("plans") or ()):
            security = (plan.get("security") or {}).get("type")
            where = f"plans[{index}].security.type"
            self._enum(security, tuple(SECURITIES), "PlanSecurityType", where)

    def _enum(self, value: Any, allowed: tuple[str, ...], name: str, where: str) -> None:
        if value is None or value in allowed:
            return
        if self.version >= (4, 12):
            if str(value).upper() in allowed:
                return
            message = f"Unexpected value '{value}'"
            raise Refused(400, message, "invalidValue", [{"message": message, "location": where}])
        model = f"io.gravitee.apim.rest.api.automation.model.{name}"
        raise Refused(
            400, f"Cannot construct instance of `{model}`, problem: Unexpected value '{value}'"
        )

    def fields(self, body: Tree) -> None:
        """The bean validation of the Automation API."""
        found = list(self._bean_faults(body))
        if found:
            raise beans(found)

    def _bean_faults(self, body: Tree) -> Iterator[tuple[str, str]]:
        pattern = _HRIDS[self.version]
        hrid = body.get("hrid")
        if not isinstance(hrid, str) or re.match(pattern, hrid) is None:
            yield "hrid", f'must match "{pattern}"'
        if body.get("name") is None:
            yield "name", "must not be null"
        elif not 1 <= len(str(body["name"])) <= 512:
            yield "name", "size must be between 1 and 512"
        for name in ("version", "lifecycleState"):
            if body.get(name) is None:
                yield name, "must not be null"
        if len(str(body.get("description") or "")) > 4000:
            yield "description", "size must be between 0 and 4000"
        for name in ("listeners", "endpointGroups"):
            if not body.get(name):
                yield name, "size must be between 1 and 2147483647"
        if any(len(label) > 64 for label in body.get("labels") or ()):
            yield "labels[].<iterable element>", "size must be between 0 and 64"
        yield from self._plan_faults(body)

    def _plan_faults(self, body: Tree) -> Iterator[tuple[str, str]]:
        pattern = _HRIDS[self.version]
        for index, plan in enumerate(body.get("plans") or ()):
            if len(plan.get("name") or "") > 64:
                yield f"plans[{index}].name", "size must be between 0 and 64"
            if re.match(pattern, plan.get("hrid") or "") is None:
                yield f"plans[{index}].hrid", f'must match "{pattern}"'

    # what is checked also with dryRun

    def severe(self, body: Tree, api_id: str, *, account: str = "admin") -> list[str]:
        found = [*self._path_faults(body, api_id)]
        found += [
            f"can not change the role of primary owner [{account}]"
            for member in body.get("members") or ()
            if member.get("sourceId") == account
        ]
        for plan in body.get("plans") or ():
            fault = self.security_fault(plan)
            if fault:
                found.append(fault)
        return found

    def security_fault(self, plan: Tree) -> str:
        security = plan.get("security") or {}
        plugin = SECURITIES.get(str(security.get("type")).upper(), "")
        configuration = security.get("configuration")
        if not plugin or not configuration:
            return ""
        fault = fault_of(POLICIES[plugin], configuration)
        return f"invalid plan [{plan.get('name', '').lower()}]. Error: {fault}" if fault else ""

    def path_syntax(self, body: Tree) -> None:
        for path in _paths(body):
            if _PATH.fullmatch(path[1]) is None:
                whole = f"https://{path[0] or 'localhost'}:80{path[1]}"
                index = whole.index(" ") if " " in whole else len(whole)
                raise Refused(
                    400,
                    f"Illegal character in path at index {index}: {whole.rstrip('/')}/",
                    "invalid",
                )

    def _path_faults(self, body: Tree, api_id: str) -> Iterator[str]:
        seen = set()
        for host, path in _paths(body):
            normal = path_of(path)
            if (host, normal) in seen:
                yield f"Path [{normal}] is duplicated"
            seen.add((host, normal))
            taken = self.taken(host, normal, api_id)
            if taken:
                yield f"Path [{taken}] already exists"

    def taken(self, host: str, normal: str, api_id: str) -> str:
        """The path of another API that is this one, or above or below it; empty for none."""
        for other in self._store.apis.values():
            if other.id == api_id:
                continue
            for other_host, held in _paths(other.spec):
                is_near = held.startswith(normal) or normal.startswith(held)
                if is_near and other_host == host:
                    return held
        return ""

    # what only a real write finds, as a 500 on the Automation API

    def definition(self, body: Tree, held: Tree | None) -> None:
        if body.get("state") is None:
            raise java("java.lang.NullPointerException", "Name is null")
        self.names(body)
        for tag in body.get("tags") or ():
            raise java(
                "TagNotAllowedException",
                f"You are not allowed to use deployment on the tag(s) [{tag}].",
            )
        before = (held or {}).get("lifecycleState")
        after = str(body["lifecycleState"]).upper()
        wrong = {"ARCHIVED": (), "DEPRECATED": ("ARCHIVED",)}
        if before in wrong and after != before and after not in wrong[before]:
            raise java(
                "LifecycleStateChangeNotAllowedException",
                f"The API lifecycle state cannot be changed to {after}.",
            )
        self.listeners(body)
        self.endpoints(body)
        self.steps(body, body.get("flows") or (), is_update=held is not None)
        for plan in body.get("plans") or ():
            self.steps(body, plan.get("flows") or (), is_update=held is not None)

    def names(self, body: Tree) -> None:
        seen = set()
        for group in body.get("endpointGroups") or ():
            for named in (group, *(group.get("endpoints") or ())):
                if named.get("name") in seen:
                    raise java(
                        "EndpointNameAlreadyExistsException",
                        f"The endpoint name [{named['name']}] is already used by another endpoint "
                        "or endpoint group.",
                    )
                seen.add(named.get("name"))

    def listeners(self, body: Tree) -> None:
        for listener in body.get("listeners") or ():
            for entry in listener.get("entrypoints") or ():
                if entry.get("type") != "http-proxy":
                    raise java(
                        "PluginNotFoundException", f"Plugin [{entry['type']}] cannot be found."
                    )
            for origin in (listener.get("cors") or {}).get("allowOrigin") or ():
                if origin != "*" and not _is_regex(origin):
                    raise java(
                        "AllowOriginNotAllowedException",
                        f"{origin} is not valid as an 'allow origin' value",
                    )

    def endpoints(self, body: Tree) -> None:
        for group in body.get("endpointGroups") or ():
            for named in (group, *(group.get("endpoints") or ())):
                if named.get("type") != "http-proxy":
                    raise java(
                        "PluginNotFoundException", f"Plugin [{named['type']}] cannot be found."
                    )
            for endpoint in group.get("endpoints") or ():
                if endpoint.get("inheritConfiguration") and not group.get("sharedConfiguration"):
                    raise java(
                        "EndpointConfigurationValidationException",
                        "Impossible to inherit from a null shared configuration for endpoint: "
                        f"{endpoint.get('name')}",
                    )
                fault = fault_of(ENDPOINT, endpoint.get("configuration") or {})
                if fault:
                    raise java("InvalidDataException", fault)

    def steps(self, body: Tree, flows: Any, *, is_update: bool) -> None:
        for flow in flows:
            for phase in ("request", "response"):
                for step in flow.get(phase) or ():
                    self._step(step, is_update=is_update)

    def _step(self, step: Tree, *, is_update: bool) -> None:
        name = step["policy"]
        if name not in self._policies:
            # 4.10.8 stores it on an update, and the gateway keeps the old definition.
            if is_update and self.version < (4, 12):
                return
            raise java("PluginNotFoundException", f"Plugin [{name}] cannot be found.")
        fault = fault_of(POLICIES[name], step.get("configuration") or {})
        if fault:
            raise java("InvalidDataException", fault)


def _paths(body: Tree) -> Iterator[tuple[str, str]]:
    for listener in body.get("listeners") or ():
        for path in listener.get("paths") or ():
            yield str(path.get("host") or ""), str(path.get("path") or "/")


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return not text.startswith("*")
