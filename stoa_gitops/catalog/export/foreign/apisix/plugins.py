"""Plugins of Apache APISIX as policies. Defaults are those of APISIX's plugin documentation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    mapping_of,
    texts_of,
)

_DISCOVERY: Final = "/.well-known/openid-configuration"
_BREAKER_WINDOW: Final = "1m"
_KEEP_OUT: Final = frozenset(
    {
        "acl", "authz-casbin", "authz-casdoor", "authz-keycloak", "basic-auth", "cas-auth",
        "chaitin-waf", "consumer-restriction", "csrf", "data-mask", "forward-auth", "hmac-auth",
        "jwe-decrypt", "jwt-auth", "ldap-auth", "multi-auth", "oas-validator", "opa",
        "openid-connect", "referer-restriction", "request-validation", "saml-auth",
        "ua-restriction", "uri-blocker", "wolf-rbac", "workflow",
    }
)  # fmt: skip
"""Plugins that refuse requests: an API without what stands for them is written inactive."""


@dataclass(slots=True)
class Policies:
    """The policies that plugins become, in their order, by type."""

    translation: Translation
    document: TranslatedDocument
    found: dict[str, dict[str, Any]]

    def put(self, policy_type: str, config: Mapping[str, Any], plugin: str) -> None:
        """Add a policy; the first of a type counts."""
        if policy_type in self.found:
            self.note(plugin, "", "", f"left out: another plugin is the policy {policy_type}")
            return
        self.found[policy_type] = {"type": policy_type, "config": dict(config)}

    def note(self, plugin: str, field: str, value: object, effect: str) -> None:
        """Note what a plugin has and no policy says."""
        self.translation.leave_out(f"plugin {plugin}", field, value, effect, self.document)

    def others(self, plugin: str, config: Mapping[str, Any], known: set[str]) -> None:
        """Note the fields of a plugin that are not among the `known` ones."""
        self.translation.leave_out_others(
            f"plugin {plugin}", config, known | {"_meta"}, self.document
        )


def add_plugins(policies: Policies, plugins: Mapping[str, Any]) -> None:
    """Add the policies of plugins; what has none is listed."""
    for name, value in plugins.items():
        config = mapping_of(value)
        if mapping_of(config.get("_meta")).get("disable") is True:
            continue
        add = _PLUGINS.get(name)
        if add is not None and add(policies, name, config):
            continue
        if name in _KEEP_OUT or "auth" in name:
            policies.note(
                name, "", "", "left out; the API is written inactive, for it keeps callers out"
            )
            policies.document.close(f"plugin {name}")
        elif add is None:
            policies.note(name, "", "", "left out: no policy is like it")


def _key_auth(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    found: dict[str, Any] = {"name": str(config.get("header") or "apikey")}
    found["hide"] = config.get("hide_credentials") is True
    policies.put("api_key", found, name)
    query = config.get("query")
    effect = f"left out: keys are read from the header {found['name']} alone"
    policies.note(name, "query", query or "apikey", effect)
    policies.others(name, config, {"header", "query", "hide_credentials"})
    return True


def _limit_count(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    count, window = config.get("count"), config.get("time_window")
    if not (_is_positive(count) and _is_positive(window)):
        policies.note(name, "count", count or "", "left out: no number of requests is said")
        return True
    found = {"requests": count, "window": f"{window}s", "by": _by(policies, name, config)}
    policies.put("rate_limit", found, name)
    known = {
        "count",
        "time_window",
        "key",
        "key_type",
        "rejected_code",
        "policy",
        "show_limit_quota_header",
    }
    policies.others(name, config, known)
    if config.get("rejected_code", 503) != 429:
        policies.note(name, "rejected_code", config.get("rejected_code", 503), "429 is answered")
    if config.get("policy", "local") != "local":
        policies.note(name, "policy", config["policy"], "each gateway process counts by itself")
    return True


def _limit_req(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    rate, burst = config.get("rate"), config.get("burst")
    if not isinstance(rate, int | float) or rate <= 0:
        return True
    per_minute = rate < 1
    requests = max(1, int(rate * 60 if per_minute else rate))
    found: dict[str, Any] = {
        "requests": requests,
        "window": "1m" if per_minute else "1s",
        "by": _by(policies, name, config),
    }
    if isinstance(burst, int | float) and burst > 0:
        found["burst"] = requests + int(burst)
        effect = "requests beyond the rate are answered at once, not delayed"
        policies.note(name, "burst", burst, effect)
    policies.put("rate_limit", found, name)
    policies.others(name, config, {"rate", "burst", "key", "key_type", "rejected_code"})
    return True


def _by(policies: Policies, name: str, config: Mapping[str, Any]) -> str:
    key = str(config.get("key") or "remote_addr").lstrip("$")
    if key in ("remote_addr", "http_x_forwarded_for", "http_x_real_ip"):
        return "ip"
    if key == "consumer_name":
        return "consumer"
    header = re.fullmatch(r"http_([a-z0-9_]+)", key)
    if header and config.get("key_type", "var") == "var":
        return f"header:{header[1].replace('_', '-')}"
    policies.note(name, "key", key, "counted by address")
    return "ip"


def _cors(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    origins = _commas(config.get("allow_origins", "*"))
    found: dict[str, Any] = {"origins": ["*"] if {"*", "**"} & set(origins) else origins}
    for ours, theirs in (
        ("methods", "allow_methods"),
        ("headers", "allow_headers"),
        ("exposeHeaders", "expose_headers"),
    ):
        values = _commas(config.get(theirs))
        if values and not {"*", "**"} & set(values):
            found[ours] = values
        elif values:
            policies.note(
                name, theirs, ",".join(values), "left out: what the policy allows by itself"
            )
    if config.get("allow_credential") is True:
        found["credentials"] = True
    if _is_positive(config.get("max_age")):
        found["maxAge"] = f"{config['max_age']}s"
    policies.put("cors", found, name)
    known = {
        "allow_origins", "allow_methods", "allow_headers", "expose_headers", "allow_credential",
        "max_age",
    }  # fmt: skip
    policies.others(name, config, known)
    return True


def _ip_restriction(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    found = {
        ours: texts_of(config.get(theirs))
        for ours, theirs in (("allow", "whitelist"), ("deny", "blacklist"))
        if config.get(theirs)
    }
    policies.put("ip_filter", found, name)
    policies.others(name, config, {"whitelist", "blacklist"})
    return True


def _openid_connect(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    discovery = str(config.get("discovery") or "")
    if config.get("bearer_only") is not True or not discovery.endswith(_DISCOVERY):
        return False
    found: dict[str, Any] = {"issuer": discovery.removesuffix(_DISCOVERY)}
    audience = mapping_of(config.get("claim_validator")).get("audience")
    if mapping_of(audience).get("match_with_client_id") and config.get("client_id"):
        found["audiences"] = [str(config["client_id"])]
    policies.put("jwt", found, name)
    policies.note(name, "client_secret", "", "left out: tokens are checked by the issuer's keys")
    known = {"discovery", "bearer_only", "client_id", "client_secret", "claim_validator"}
    policies.others(name, config, known)
    return True


def _client_control(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    size = config.get("max_body_size")
    if _is_positive(size):
        policies.put("request_size", {"max": f"{size}B"}, name)
    return True


def _proxy_rewrite(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    changes = _header_changes(policies, name, mapping_of(config.get("headers")))
    if changes:
        _put_headers(policies, "request", changes)
    effect = "left out: paths and methods go to the backend as they come"
    for field in ("uri", "regex_uri", "method", "host", "scheme"):
        if config.get(field):
            shown = config[field] if isinstance(config[field], str) else ""
            policies.note(name, field, shown, effect)
    known = {"headers", "uri", "regex_uri", "method", "host", "scheme"}
    policies.others(name, config, known)
    return True


def _response_rewrite(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    changes = _header_changes(policies, name, mapping_of(config.get("headers")))
    if changes:
        _put_headers(policies, "response", changes)
    policies.others(name, config, {"headers"})
    return True


def _header_changes(policies: Policies, name: str, headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{set, add, remove}`; headers in the old form are set, an empty value removes one."""
    is_new = any(key in headers for key in ("set", "add", "remove"))
    groups = headers if is_new else {"set": headers}
    found: dict[str, Any] = {}
    for key in ("set", "add"):
        values: dict[str, str] = {}
        pairs = groups.get(key)
        if isinstance(pairs, list):  # of response-rewrite: ["Name: value"]
            pairs = dict(str(one).split(":", 1) for one in pairs if ":" in str(one))
        for header, value in mapping_of(pairs).items():
            text = str(value).strip()
            if "$" in text:
                policies.note(name, f"headers.{key}", header, "left out: it has variables of nginx")
            elif text:
                values[str(header)] = text
            else:
                found.setdefault("remove", []).append(str(header))
        if values:
            found[key] = values
    removed = texts_of(groups.get("remove"))
    if removed:
        found["remove"] = [*found.get("remove", []), *removed]
    return found


def _put_headers(policies: Policies, side: str, changes: Mapping[str, Any]) -> None:
    held = policies.found.setdefault("headers", {"type": "headers", "config": {}})
    held["config"].setdefault(side, dict(changes))


def _proxy_cache(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    ttl = config.get("cache_ttl", 300)
    found: dict[str, Any] = {"ttl": f"{ttl}s"}
    methods = texts_of(config.get("cache_method"))
    if methods:
        found["methods"] = methods
    statuses = [one for one in config.get("cache_http_status") or () if isinstance(one, int)]
    if statuses:
        found["statuses"] = statuses
    policies.put("caching", found, name)
    policies.others(name, config, {"cache_ttl", "cache_method", "cache_http_status"})
    return True


def _mocking(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    found: dict[str, Any] = {"status": config.get("response_status", 200)}
    headers = {str(k): str(v) for k, v in mapping_of(config.get("response_headers")).items()}
    kind = config.get("content_type", "application/json;charset=utf8")
    found["headers"] = {"Content-Type": str(kind), **headers}
    if isinstance(config.get("response_example"), str):
        found["body"] = config["response_example"]
    policies.put("mock", found, name)
    known = {
        "response_status",
        "response_headers",
        "content_type",
        "response_example",
        "with_mock_header",
    }
    policies.others(name, config, known)
    return True


def _api_breaker(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    failures = mapping_of(config.get("unhealthy")).get("failures", 3)
    reset = config.get("max_breaker_sec", 300)
    found = {"failures": failures, "window": _BREAKER_WINDOW, "reset": f"{reset}s"}
    policies.put("circuit_breaker", found, name)
    effect = "503 is answered; failures are 5xx or no response, counted in a minute"
    policies.note(name, "break_response_code", config.get("break_response_code", ""), effect)
    return True


def _http_logger(policies: Policies, name: str, config: Mapping[str, Any]) -> bool:
    uri = config.get("uri")
    if isinstance(uri, str) and re.search(r"//[^/?#]*@|\?", uri):
        policies.note(name, "uri", uri, "left out: the URL carries credentials, or may")
    elif isinstance(uri, str):
        policies.put("logging", {"sinks": [uri]}, name)
    policies.others(name, config, {"uri"})
    return True


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _commas(value: Any) -> list[str]:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else []
    )


_Add = Callable[[Policies, str, Mapping[str, Any]], bool]
_PLUGINS: Final[Mapping[str, _Add]] = {
    "key-auth": _key_auth,
    "limit-count": _limit_count,
    "limit-req": _limit_req,
    "cors": _cors,
    "ip-restriction": _ip_restriction,
    "openid-connect": _openid_connect,
    "client-control": _client_control,
    "proxy-rewrite": _proxy_rewrite,
    "response-rewrite": _response_rewrite,
    "proxy-cache": _proxy_cache,
    "mocking": _mocking,
    "api-breaker": _api_breaker,
    "http-logger": _http_logger,
}
"""Each returns whether it said all that keeps callers out."""
