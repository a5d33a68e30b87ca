"""Generated canonical specs that Gravitee can hold, and what a gateway makes of them."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, GatewayInfo, Options
from stoa_gitops.adapters.gravitee.mapping.rules import stored_spec
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.model.canonical import canonical_duration, canonical_size
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret
from tests.adapters.gravitee.double import forms

OWNER: Final = "default"
BILLING: Final = Key(API, "acme", "billing")
PLUGINS: Final = frozenset({"mock", *(p for m in MAPPINGS.values() for p in m.plugins)})
NEW: Final = GatewayInfo(version="4.12 or later", policies=PLUGINS, resources=frozenset({"cache"}))
FREE: Final = GatewayInfo(
    policies=PLUGINS,
    resources=frozenset({"cache"}),
    schemas={"policies/api-key": {"properties": {"apiKeyHeader": {}, "source": {}}}},
    options=Options(visibility="PUBLIC", lifecycle="PUBLISHED", labels=("a", "b")),
)
infos = st.sampled_from([NEW, FREE])
versions = st.sampled_from([(4, 10), (4, 12)])

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
header_names = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
numbers = st.integers(1, 2**31 - 1)
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="{}$<>&"),
    min_size=1,
    max_size=12,
)
durations = st.integers(1, 10_000_000).map(lambda ms: canonical_duration(f"{ms}ms"))
seconds = st.integers(1, 100_000).map(lambda s: canonical_duration(f"{s}s"))


def sets(items: st.SearchStrategy[Any], *, least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, unique=True, min_size=least, max_size=3).map(sorted)


methods = sets(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]))
segments = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True)
paths = st.lists(segments.filter(lambda s: s not in (".", "..")), max_size=3).map(
    lambda found: "/" + "/".join(found)
)


@st.composite
def routes(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = draw(st.lists(paths, min_size=1, max_size=3, unique=True))
    hosts = draw(sets(names.map("{}.example".format)))
    keeps = len(found) == 1 and draw(st.booleans())
    listed = [
        {"path": path, "methods": draw(methods), "hosts": hosts, "stripPath": not keeps}
        for path in found
    ]
    return sorted(listed, key=lambda route: (route["path"], route["hosts"], route["methods"]))


RATES: Final = ("perSecond", "perMinute", "perDay", "perMonth", "burst")
plans = st.lists(
    st.fixed_dictionaries({"name": names}, optional=dict.fromkeys(RATES, numbers)),
    max_size=3,
    unique_by=lambda plan: plan["name"],
).map(lambda found: sorted(found, key=lambda plan: plan["name"]))
auths = st.fixed_dictionaries({
    "in": st.just("header"), "name": header_names.map("Auth-{}".format),
    "value": texts.map(Secret),
})  # fmt: skip


@st.composite
def several(draw: st.DrawFn, api: dict[str, Any]) -> dict[str, Any]:
    """An API with several backends, whose routes keep no path."""
    hosts = draw(st.lists(st.sampled_from("abcd"), min_size=2, max_size=4, unique=True))
    urls = sorted(f"https://{host}.internal/v2" for host in hosts)
    backend = {
        **api["backend"], "url": urls[0],
        "targets": [{"url": url, "weight": draw(st.integers(1, 1000))} for url in urls],
        "loadBalancing": draw(st.sampled_from(["weighted", "round_robin", "random"])),
    }  # fmt: skip
    stripped = [{**route, "stripPath": True} for route in api["routes"]]
    return {**api, "backend": backend, "routes": stripped}


single_apis = st.fixed_dictionaries({
    "displayName": texts, "version": texts, "active": st.booleans(),
    "backend": st.fixed_dictionaries(
        {"url": st.sampled_from(["http://orders.example", "https://a.internal:8443/v2/"]),
         "timeout": durations, "retries": st.integers(0, 10)},
        optional={"auth": auths},
    ),
    "routes": routes(), "plans": plans,
}, optional={"access": st.just("subscribed"), "description": texts})  # fmt: skip
apis = st.one_of(single_apis, single_apis.flatmap(several))

by = st.one_of(st.sampled_from(["consumer", "ip"]), header_names.map("header:{}".format))
edits = st.fixed_dictionaries({
    "set": st.dictionaries(header_names, texts, max_size=2),
    "add": st.dictionaries(header_names, texts, max_size=2),
    "remove": sets(header_names),
})  # fmt: skip
claims = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
words = st.from_regex(r"[a-z0-9.:/'-]{1,10}", fullmatch=True)
CONFIGS: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "api_key": st.fixed_dictionaries(
        {"in": st.just("header"), "name": st.just("X-Gravitee-Api-Key"), "hide": st.booleans()}
    ),
    "caching": st.fixed_dictionaries({
        "ttl": seconds, "methods": sets(st.sampled_from(["GET", "HEAD"]), least=1),
        "statuses": sets(st.integers(200, 599), least=1), "varyHeaders": sets(header_names),
        "varyQuery": st.just([]),
    }),
    "circuit_breaker": st.fixed_dictionaries(
        {"failures": st.integers(1, 10_000), "window": durations, "reset": durations}
    ),
    "cors": st.fixed_dictionaries(
        {"origins": st.one_of(st.just(["*"]), sets(st.sampled_from(
            ["https://a.example", "http://b.example:8080"]), least=1)),
         "credentials": st.booleans()},
        optional={"methods": methods.filter(bool), "headers": sets(header_names, least=1),
                  "exposeHeaders": sets(header_names), "maxAge": seconds},
    ).filter(lambda config: not (config["credentials"] and "*" in config["origins"])),
    "headers": st.fixed_dictionaries({}, optional={"request": edits, "response": edits}).filter(
        lambda config: any(any(side.values()) for side in config.values())
    ),
    "ip_filter": st.fixed_dictionaries({
        "allow": sets(st.sampled_from(["10.9.8.7/8", "192.0.2.1", "2001:DB8::/032"]), least=1),
        "deny": sets(st.sampled_from(["10.1.0.0/16", "192.0.2.9"])),
    }),
    "jwt": st.fixed_dictionaries({
        "issuer": words, "audiences": sets(words), "jwksUri": st.just("https://id.example/keys"),
        "requiredClaims": st.dictionaries(
            claims, st.one_of(words, st.booleans(), st.integers(), sets(words, least=1)), max_size=2
        ),
        "forwardClaims": st.dictionaries(claims, header_names, max_size=2),
        "clockSkew": durations,
    }),
    "logging": st.fixed_dictionaries(
        {"sinks": st.just([]), "payloads": st.booleans(), "redact": st.just([])}
    ),
    "mock": st.fixed_dictionaries({
        "status": st.sampled_from([200, 207, 305, 307, 404, 417, 422, 429, 507]), "body": texts,
        "headers": st.dictionaries(header_names, texts, max_size=2),
    }),
    "quota": st.fixed_dictionaries({
        "requests": numbers, "period": st.sampled_from(["hour", "day", "week", "month"]), "by": by,
    }),
    "rate_limit": st.fixed_dictionaries({"requests": numbers, "window": seconds, "by": by}),
    "request_size": st.fixed_dictionaries(
        {"max": st.integers(0, 2**31 - 1).map(canonical_size)}
    ),
    "retry": st.fixed_dictionaries({
        "attempts": st.integers(1, 10), "on": sets(st.sampled_from(["connect", "timeout"])),
        "backoff": durations,
    }),
}  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    types = draw(st.lists(st.sampled_from(sorted(CONFIGS)), unique=True, max_size=6))
    return {name: draw(CONFIGS[name]) for name in types}


def policy_spec(policy_type: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"api": "billing", "type": policy_type, "priority": 100, "config": config}


def parts_of(api: dict[str, Any] | None, found: dict[str, dict[str, Any]]) -> ApiParts:
    configs = {n: stored_spec(POLICY, policy_spec(n, c))["config"] for n, c in found.items()}
    written = None if api is None else stored_spec(API, api)
    return ApiParts(BILLING, written, configs, NEW.options.ids.api(hrid_of(BILLING)))


api_parts = st.builds(parts_of, st.one_of(st.none(), apis), policies())


def read_back(definition: dict[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    """What a gateway shows of a definition that it was sent, in the form of the Automation API."""
    body: Any = reveal(definition, [])
    held = forms.stored(body, version)
    plans = [forms.stored_plan(plan, version) for plan in body["plans"]]
    api_id = NEW.options.ids.api(body["hrid"])
    return {**held, "hrid": body["hrid"], "id": api_id, "plans": plans}
