"""STOA's policies in the canonical form: documents of `webmethods/policies`, and names alone.

Shapes: contracts of `deploy/webmethods-gitops` and `webmethods/policies` (apiVersion stoa.io/v1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stoa_gitops.catalog.export.foreign.translation import (
    Translation,
    items_of,
    mapping_of,
    texts_of,
)

_BY: Final = {"token": "consumer", "application": "consumer", "ip": "ip"}


class Canonical(NamedTuple):
    """A policy: its type and config."""

    type: str
    config: dict[str, Any]


class PolicyBook:
    """The policies that a tree names, by name."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._documents: dict[str, Canonical] = {}

    def add_document(self, document: Mapping[str, Any], path: str) -> None:
        """Add a Policy document of the tree."""
        spec = mapping_of(document.get("spec"))
        name = str(mapping_of(document.get("metadata")).get("name") or "")
        config = mapping_of(spec.get("config"))
        read = _READERS.get(str(spec.get("type") or "").replace("-", "_"))
        if not name or read is None:
            effect = "no policy of the catalog is like it"
            self._translation.leave_out("policy", name or path, spec.get("type"), effect)
            return
        found = read(self._translation, f"policy {name}", config)
        if found is not None:
            self._documents[name] = found

    def find(self, name: str, config: Mapping[str, Any]) -> Canonical | None:
        """Return the policy of a name: what is said with it, the tree's, or what names mean."""
        if "requestsPerMinute" in config:
            return _per_minute(config)
        if name in self._documents:
            return self._documents[name]
        if name.startswith(("require-api-key", "api-key")):
            return Canonical("api_key", {})
        same_type = _meant_type(name)
        # `require-internal-jwt` has no document of its own: the tree's only one is meant.
        alike = [one for one in self._documents.values() if one.type == same_type]
        if same_type in ("jwt", "logging") and len(alike) == 1:
            return alike[0]
        return Canonical("logging", {}) if same_type == "logging" else None


def may_keep_out(name: str) -> bool:
    """Whether a policy of this name may keep callers out; one that is not known to do no such."""
    return not name.startswith(("rate-limit", "cors", "audit", "logging", "log-", "cache"))


def _meant_type(name: str) -> str:
    if "jwt" in name or "oidc" in name or "oauth" in name:
        return "jwt"
    return "logging" if name.startswith(("audit", "logging")) else ""


def _per_minute(config: Mapping[str, Any]) -> Canonical | None:
    requests, burst = config.get("requestsPerMinute"), config.get("burstLimit")
    if not _is_positive(requests):
        return None
    found = {"requests": requests, "window": "1m"}
    if _is_positive(burst):
        found["burst"] = burst
    return Canonical("rate_limit", found)


def _rate_limit(translation: Translation, what: str, config: Mapping[str, Any]) -> Canonical | None:
    limit = mapping_of(config.get("default")) or config
    requests, window = limit.get("requests"), limit.get("window")
    if not (isinstance(requests, int) and _is_positive(requests) and _is_positive(window)):
        translation.leave_out(what, "", "", "left out: it says no requests in a window of seconds")
        return None
    found: dict[str, Any] = {"requests": requests, "window": f"{window}s"}
    by = str(limit.get("by") or "token")
    if by in _BY:
        found["by"] = _BY[by]
    else:
        translation.leave_out(what, "by", by, "counted by consumer")
    burst = mapping_of(config.get("burst"))
    multiplier = burst.get("multiplier")
    if burst.get("enabled") and isinstance(multiplier, int | float) and multiplier > 0:
        found["burst"] = max(1, int(requests * multiplier))
    for role, own in mapping_of(config.get("roleOverrides")).items():
        value = mapping_of(own).get("requests", "")
        translation.leave_out(
            what, f"roleOverrides.{role}", value, "callers of a role have no own limit"
        )
    known = ("default", "burst", "roleOverrides", "headers", "exceeded", *limit)
    translation.leave_out_others(what, config, known)
    if config.get("exceeded") or config.get("headers"):
        effect = "the gateway's own headers and text of 429"
        translation.leave_out(what, "headers, exceeded", "", effect)
    return Canonical("rate_limit", found)


def _cors(translation: Translation, what: str, config: Mapping[str, Any]) -> Canonical | None:
    origins = texts_of(config.get("allowOrigins"))
    if not origins or config.get("enabled") is False:
        return None
    found: dict[str, Any] = {"origins": origins}
    for ours, theirs in (
        ("methods", "allowMethods"),
        ("headers", "allowHeaders"),
        ("exposeHeaders", "exposeHeaders"),
    ):
        values = texts_of(config.get(theirs))
        if values:
            found[ours] = values
    if config.get("allowCredentials") is True:
        found["credentials"] = True
    if _is_positive(config.get("maxAge")):
        found["maxAge"] = f"{config['maxAge']}s"
    known = {
        "enabled", "allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders",
        "allowCredentials", "maxAge", "preflightContinue",
    }  # fmt: skip
    translation.leave_out_others(what, config, known)
    if config.get("preflightContinue"):
        translation.leave_out(what, "preflightContinue", True, "the gateway answers preflights")
    return Canonical("cors", found)


def _jwt(translation: Translation, what: str, config: Mapping[str, Any]) -> Canonical | None:
    issuer = config.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        return None
    found: dict[str, Any] = {"issuer": issuer}
    audiences = texts_of(config.get("audience"))
    if audiences:
        found["audiences"] = audiences
    if config.get("jwksUri"):
        found["jwksUri"] = str(config["jwksUri"])
    rules = mapping_of(config.get("validation"))
    if _is_positive(rules.get("clockSkew")):
        found["clockSkew"] = f"{rules['clockSkew']}s"
    for name in ("validateIssuer", "validateAudience", "validateExpiry"):
        if rules.get(name) is False:
            translation.leave_out(what, f"validation.{name}", False, "it is checked all the same")
    claims = {}
    for one in items_of(config.get("claims")):
        name, header = str(one.get("name") or ""), str(one.get("header") or "")
        if header.lower() == "x-tenant-id":
            translation.leave_out(what, f"claims.{name}", header, "the gateway alone writes it")
        elif name and header:
            claims[name] = header
    if claims:
        found["forwardClaims"] = claims
    if config.get("errors"):
        translation.leave_out(what, "errors", "", "the gateway's own texts of 401 and 403")
    known = {"issuer", "audience", "jwksUri", "jwksCacheTime", "validation", "claims", "errors"}
    translation.leave_out_others(what, config, known)
    return Canonical("jwt", found)


def _logging(translation: Translation, what: str, config: Mapping[str, Any]) -> Canonical | None:
    if config.get("enabled") is False:
        return None
    sinks = []
    for one in items_of(config.get("destinations")):
        kind = str(one.get("type") or "")
        if kind in ("stdout", "stderr"):
            sinks.append(kind)
        else:
            translation.leave_out(what, "destinations", kind, "lines go to streams and URLs only")
    found: dict[str, Any] = {"sinks": sinks} if sinks else {}
    redact = {
        name for one in items_of(config.get("fields")) for name in texts_of(one.get("redact"))
    }
    if redact:
        found["redact"] = sorted(redact)
    sampling = mapping_of(config.get("sampling"))
    rate = sampling.get("rate")
    if sampling.get("enabled") and isinstance(rate, int | float) and 0 < rate < 1:
        found["sample"] = rate
    if config.get("fields"):
        translation.leave_out(
            what, "fields", "", "lines have the fields that docs/catalog.md lists"
        )
    if mapping_of(config.get("redaction")).get("patterns"):
        effect = "names of fields are redacted, no patterns"
        translation.leave_out(what, "redaction.patterns", "", effect)
    known = {"enabled", "destinations", "fields", "sampling", "errors", "redaction"}
    translation.leave_out_others(what, config, known)
    return Canonical("logging", found)


_Read = Callable[[Translation, str, Mapping[str, Any]], "Canonical | None"]
_READERS: Final[Mapping[str, _Read]] = {
    "rate_limit": _rate_limit,
    "cors": _cors,
    "jwt_validation": _jwt,
    "jwt": _jwt,
    "logging": _logging,
}


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
