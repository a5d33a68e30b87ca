"""Security requirements of an OpenAPI document as policies, and what of them gets lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.export.openapi.remarks import Remarks

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_DISCOVERY: Final = "/.well-known/openid-configuration"

_KEYS: Final = (
    "the gateway asks for keys of applications in the catalog and forwards none; a key that the "
    "backend wants goes into spec.backend.auth"
)
_NOT_SAID: Final = "callers are not asked for it by the gateway"


def find_policies(document: Mapping[str, Any], remarks: Remarks) -> list[dict[str, Any]]:
    """Return policies for what all operations require, and note what they do not say."""
    schemes = _schemes(document)
    requirements = _common_requirements(document, remarks)
    if requirements is None:
        for name, scheme in schemes.items():
            effect = f"no requirement of the whole API names it; {_NOT_SAID}"
            remarks.add(f"security scheme {name}", "", _kind(scheme), effect)
        return []
    options = [item for item in requirements if isinstance(item, Mapping)]
    if any(not option for option in options):
        remarks.add("security", "", "{}", f"it may be left out, so {_NOT_SAID}")
        return []
    # An API with both policies takes a key or a token: ways to call become policies, and of schemes
    # that are asked for together one.
    alone = [option for option in options if len(option) == 1]
    chosen: dict[str, str] = {}
    for option in (*alone, *(one for one in options if len(one) > 1)):
        for name in map(str, option):
            policy = _policy(schemes.get(name))
            is_free = policy is not None and policy["type"] not in chosen
            if policy is not None and is_free and (len(option) == 1 or not chosen):
                chosen[policy["type"]] = name
    for option in options:
        for name, scopes in option.items():
            named = schemes.get(str(name))
            _note(str(name), named, scopes, str(name) in chosen.values(), remarks)
    found = (_policy(schemes[name]) for name in chosen.values())
    return [policy for policy in found if policy is not None]


def _schemes(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    components = document.get("components")
    found = document.get("securityDefinitions")
    if "swagger" not in document:
        found = components.get("securitySchemes") if isinstance(components, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {str(name): one for name, one in found.items() if isinstance(one, Mapping)}


def _common_requirements(document: Mapping[str, Any], remarks: Remarks) -> list[Any] | None:
    """Return what every operation requires; None where they require nothing, or not the same."""
    general = document.get("security")
    general = general if isinstance(general, list) else None
    own = [(name, operation.get("security", general)) for name, operation in _operations(document)]
    if not own:
        return general or None
    required = own[0][1]
    if all(item == required for _, item in own):
        return required if isinstance(required, list) and required else None
    if general:
        others = [name for name, item in own if item != general]
        value = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if others[3:] else "")
        effect = "these require something else; the gateway asks the same of every request"
        remarks.add("security", "operations", value, effect)
        return general
    remarks.add("security", "operations", "", f"they require different things; {_NOT_SAID}")
    return None


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, Mapping) else ():
        if isinstance(item, Mapping):
            for method in _METHODS:
                operation = item.get(method)
                if isinstance(operation, Mapping):
                    yield f"{method.upper()} {path}", operation


def _policy(scheme: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the policy that asks for what a scheme says, None where no policy does."""
    if scheme is None:
        return None
    place, name = scheme.get("in"), scheme.get("name")
    if scheme.get("type") == "apiKey" and place in ("header", "query") and _is_name(name):
        if place == "header" and str(name).lower() == "authorization":
            return None
        return {"type": "api_key", "config": {"in": place, "name": name}}
    issuer = _issuer(scheme)
    return {"type": "jwt", "config": {"issuer": issuer}} if issuer else None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 100


def _issuer(scheme: Mapping[str, Any]) -> str:
    """Return the issuer of an OpenID Connect scheme (Discovery 1.0 §4), empty for another one."""
    url = scheme.get("openIdConnectUrl")
    if scheme.get("type") != "openIdConnect" or not isinstance(url, str):
        return ""
    is_known = url.startswith("https://") and url.endswith(_DISCOVERY)
    return url.removesuffix(_DISCOVERY) if is_known else ""


def _kind(scheme: Mapping[str, Any]) -> str:
    names = ("type", "scheme", "in", "name", "flow")
    return " ".join(str(scheme[name]) for name in names if isinstance(scheme.get(name), str))


def _note(
    name: str,
    scheme: Mapping[str, Any] | None,
    scopes: Any,
    is_chosen: bool,
    remarks: Remarks,
) -> None:
    what = f"security scheme {name}"
    if scheme is None:
        remarks.add(what, "", "", f"the document does not define it; {_NOT_SAID}")
        return
    policy = _policy(scheme)
    if policy is None:
        remarks.add(what, "", _kind(scheme), f"{_reason(scheme)}; {_NOT_SAID}")
    elif not is_chosen:
        effect = "a policy asks for something else in its stead, or of what is asked for with it"
        remarks.add(what, "", _kind(scheme), effect)
    elif policy["type"] == "api_key":
        remarks.add(what, "", _kind(scheme), _KEYS)
    if policy is not None and isinstance(scopes, list) and scopes:
        text = ", ".join(map(str, scopes[:10]))
        remarks.add(what, "scopes", text, "no policy compares scopes; tokens are taken without")


def _reason(scheme: Mapping[str, Any]) -> str:
    match scheme.get("type"):
        case "oauth2":
            return "a token of OAuth 2.0 has no issuer here; write a policy `jwt` with it"
        case "http" if str(scheme.get("scheme")).lower() == "bearer":
            return "who issues the tokens is not said; write a policy `jwt` with it"
        case "basic" | "http":
            return "no policy checks passwords"
        case "mutualTLS":
            return "no policy asks for client certificates"
        case "apiKey" if scheme.get("in") == "cookie":
            return "keys in cookies are not read"
        case "apiKey":
            return "a key in this place is not read"
        case _:
            return "no policy says the same"
