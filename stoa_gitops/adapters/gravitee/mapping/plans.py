"""Maps who may call an API to Gravitee's plans, and back. Pure.

A plan of Gravitee has one kind of security, so a plan of the catalog is one for keys and one for
tokens where its API takes both; an API that nobody must identify for has a plan without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.ids import Ids, plan_hrids
from stoa_gitops.adapters.gravitee.entities.marks import foreign_key, is_catalog_name
from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import LIMITS, flow_named, make_flow
from stoa_gitops.adapters.gravitee.mapping.limits import plan_steps, read_plan_rates

KEY: Final = "API_KEY"
TOKEN: Final = "JWT"
ASKED: Final = "OAUTH2"
"""A token that its issuer is asked about."""

OPEN: Final = "KEY_LESS"

TOKENS: Final = "stoa-tokens"
"""Resource of an API that asks the issuer."""

_WORDS: Final[Mapping[str, str]] = {KEY: "key", TOKEN: "jwt", ASKED: "oauth2", OPEN: "keyless"}
_NAMES: Final[Mapping[str, str]] = {
    KEY: "API key", TOKEN: "Token", ASKED: "OAuth2 token", OPEN: "Keyless",
}  # fmt: skip
"""Names of the plans of an API without plans: with capitals, which no plan of a catalog has."""

_POLICIES: Final[Mapping[str, str]] = {"api_key": KEY, "jwt": TOKEN}
CREDENTIALS: Final[Mapping[str, str]] = {KEY: "api_key", TOKEN: "jwt", ASKED: "jwt"}
"""Kind of security -> the credential that an application needs for it."""


@dataclass(frozen=True, slots=True)
class PlanName:
    """What a plan of ours is called: `plan` of the catalog (empty for none) and its security."""

    plan: str
    security: str

    @property
    def hrid(self) -> str:
        """The human-readable id: at least three characters, which begin with a letter."""
        word = _WORDS[self.security]
        return f"{word}_{self.plan}" if self.plan else word

    @property
    def name(self) -> str:
        """The name in the portal."""
        return self.plan or _NAMES[self.security]


def read_plan_name(plan: Mapping[str, Any]) -> PlanName | None:
    """Return what a plan stands for; None for a kind of security that we do not write."""
    security = str((plan.get("security") or {}).get("type") or "")
    if security not in _WORDS:
        return None
    name = str(plan.get("name") or "")
    if security == OPEN or name == _NAMES[security]:
        return PlanName("", security)
    # Other people's plans have names with spaces and capitals.
    return PlanName(name if is_catalog_name(name) else foreign_key("", name, "").name, security)


def hrid_of_held(plan: Mapping[str, Any], name: PlanName, api: str, ids: Ids) -> str:
    """Return the hrid of a plan that is there; empty for one that is none of ours."""
    names = plan_hrids(name.hrid)
    if plan.get("hrid") in names:
        return str(plan["hrid"])
    return next((one for one in names if ids.child(api, one) == plan.get("id")), "")


def next_hrid(hrid: str) -> str:
    """Return the next name of a plan."""
    base, _, number = hrid.rpartition("_")
    return f"{base}_{int(number) + 1}" if number.isdecimal() else f"{hrid}_2"


def securities(parts: ApiParts, info: GatewayInfo) -> tuple[str, ...]:
    """Return the kinds of security of an API: keys by default where it has plans."""
    found = tuple(kind for name, kind in _POLICIES.items() if name in parts.policies)
    if TOKEN in found and info.options.find_introspection(parts.policies["jwt"]) is not None:
        found = tuple(ASKED if kind == TOKEN else kind for kind in found)
    if found:
        return found
    api: Any = parts.api or {}
    return (KEY,) if api.get("plans") else (OPEN,)


def plan_names(parts: ApiParts, info: GatewayInfo) -> Iterator[PlanName]:
    """Yield the plans of an API in the order in which they are written."""
    api: Any = parts.api or {}
    for plan in api.get("plans") or ({"name": ""},):
        for security in securities(parts, info):
            yield PlanName(plan["name"], security)


def compile_plans(parts: ApiParts, info: GatewayInfo, hrid: str) -> list[JsonTree]:
    """Return the plans of an API in the form of the Automation API."""
    api: Any = parts.api or {}
    by_name = {plan["name"]: plan for plan in api.get("plans") or ()}
    found = []
    for name in plan_names(parts, info):
        steps = plan_steps(by_name.get(name.plan, {}), hrid)
        found.append(
            {
                "hrid": name.hrid,
                "name": name.name,
                "type": "API",
                "mode": "STANDARD",
                "validation": "AUTO",
                "status": "PUBLISHED",
                "security": _security(name.security, parts, info),
                "flows": [make_flow(LIMITS, steps)] if steps else [],
            }
        )
    return found


def _security(kind: str, parts: ApiParts, info: GatewayInfo) -> JsonTree:
    if kind == OPEN:
        return {"type": OPEN}
    if kind == ASKED:
        configuration: JsonTree = {
            "oauthResource": TOKENS,
            # For the steps that look at claims.
            "extractPayload": True,
            "checkRequiredScopes": False,
            "propagateAuthHeader": True,
        }
        return {"type": ASKED, "configuration": configuration}
    if kind == TOKEN:
        config = parts.policies["jwt"]
        return {
            "type": TOKEN,
            "configuration": {
                "signature": info.options.jwt_signature,
                "publicKeyResolver": "JWKS_URL",
                "resolverParameter": config.get("jwksUri", ""),
                # For the steps that look at claims.
                "extractClaims": True,
                "propagateAuthHeader": True,
                "userClaim": "sub",
            },
        }
    policy = parts.policies.get("api_key")
    if policy is None:
        return {"type": KEY, "configuration": {"propagateApiKey": False}}
    configuration = {"propagateApiKey": not policy["hide"]}
    if policy["in"] == "header" and info.chooses_key_place:
        configuration |= {"enableCustomApiKeyHeader": True, "apiKeyHeader": policy["name"]}
        if "source" in info.key_fields:
            configuration["source"] = "HEADER"
    return {"type": KEY, "configuration": configuration}


def read_plans(plans: Iterable[Mapping[str, Any]], *, is_ours: bool) -> list[JsonTree]:
    """Return the plans of the catalog that Gravitee's plans stand for, sorted by name."""
    found: dict[str, JsonTree] = {}
    for plan in plans:
        name = read_plan_name(plan)
        if name is None or not name.plan or plan.get("status") != "PUBLISHED":
            continue
        if name.security == OPEN:
            continue
        flow = flow_named(plan, LIMITS) if is_ours else None
        flows = [flow] if flow else ([] if is_ours else list(plan.get("flows") or ()))
        steps = [step for one in flows for step in one.get("request") or ()]
        held = found.setdefault(name.plan, {"name": name.plan})
        held |= read_plan_rates(steps)
    return sorted(found.values(), key=lambda plan: str(plan["name"]))


def stored_plans(plans: Iterable[Mapping[str, Any]]) -> list[JsonTree]:
    """Return the plans as Gravitee holds them: it has no burst."""
    return [{name: item for name, item in plan.items() if name != "burst"} for plan in plans]
