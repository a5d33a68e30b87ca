"""Generated canonical specs that Kong can hold, and the parts that they make."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from stoa_gitops.adapters.kong.entities.entity import ApiParts, ApplicationParts, NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.balancing import has_probe_of_one_name
from stoa_gitops.adapters.kong.mapping.rules import stored_spec
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.model.canonical import canonical_duration, canonical_size
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.secret import Secret
from tests.unit.adapters.kong.token_keys import P256, P384, RSA

OWNER: Final = "default"
PLUGINS: Final = frozenset(
    {"acl", *(name for mapping in MAPPINGS.values() for name in (*mapping.plugins, *mapping.needs))}
)
"""Everything that the adapter may ask a node for."""
REDIS: Final = {"host": "redis.internal", "password": "{vault://env/redis}", "ssl": True}
NEW: Final = NodeInfo((3, 9, 1), PLUGINS)
OLD: Final = NodeInfo((3, 4, 2), PLUGINS)
NODES: Final = (
    NEW,
    OLD,
    NodeInfo((3, 9, 1), PLUGINS, options=Options("redis", REDIS, "prefix", jwt_claim="kid")),
    NodeInfo((3, 4, 2), PLUGINS, options=Options("redis", REDIS)),
)
nodes = st.sampled_from(NODES)

BILLING: Final = Key(API, "acme", "billing")
MOBILE: Final = Key(APPLICATION, "acme", "mobile")

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
header_names = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
numbers = st.integers(1, 10**12)
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12
)
values = texts.filter(lambda text: not text.startswith(":") and "$(" not in text)
durations = st.integers(1, 10_000_000).map(lambda ms: canonical_duration(f"{ms}ms"))
seconds = st.integers(0, 100_000).map(lambda s: canonical_duration(f"{s}s"))


def sets(items: st.SearchStrategy[Any], *, least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, unique=True, min_size=least, max_size=3).map(sorted)


methods = sets(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]))
segments = st.from_regex(r"[A-Za-z0-9._~!$&'()+,;=:@-]{1,8}", fullmatch=True)
paths = st.lists(segments.filter(lambda s: s not in (".", "..")), max_size=3).map(
    lambda found: "/" + "/".join(found)
)
routes = st.lists(
    st.fixed_dictionaries(
        {
            "path": paths,
            "methods": methods,
            "hosts": sets(names.map(lambda n: f"*.{n}.example")),
            "stripPath": st.booleans(),
        }
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda route: (route["path"], tuple(route["hosts"]), tuple(route["methods"])),
).map(lambda found: sorted(found, key=lambda r: (r["path"], r["hosts"], r["methods"])))
RATES: Final = ("perSecond", "perMinute", "perDay", "perMonth", "burst")
plans = st.lists(
    st.fixed_dictionaries({"name": names}, optional=dict.fromkeys(RATES, numbers)),
    max_size=3,
    unique_by=lambda plan: plan["name"],
).map(lambda found: sorted(found, key=lambda plan: plan["name"]))
urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["Orders.example", "10.0.0.7", "[2001:db8::1]", "a-b.internal"]),
    st.sampled_from(["", ":80", ":443", ":8443"]),
    st.sampled_from(["", "/", "/v2", "/v2/", "/a/b%20c"]),
)
auths = st.one_of(
    st.fixed_dictionaries(
        {
            "in": st.just("header"),
            "name": header_names.map(lambda n: f"Auth-{n}"),
            "value": values.map(Secret),
        }
    ),
    st.fixed_dictionaries(
        {
            "in": st.just("query"),
            "name": st.from_regex(r"[a-z][a-z.\[\]_-]{0,9}", fullmatch=True),
            "value": values.map(Secret),
        }
    ),
)


@st.composite
def several(draw: st.DrawFn, api: dict[str, Any]) -> dict[str, Any]:
    """An API with several backends of one scheme and path."""
    hosts = draw(st.lists(st.sampled_from(["a", "b.c", "10.0.0.1"]), min_size=1, unique=True))
    form = draw(st.sampled_from(["http://{}:8080/v2", "http://{}", "https://{}/v1/x"]))
    found = sorted(form.format(host) for host in hosts)
    backend = {
        **api["backend"], "url": found[0],
        "targets": [{"url": url, "weight": draw(st.integers(0, 1000))} for url in found],
        "loadBalancing": draw(st.sampled_from(["weighted", "round_robin", "least_connections"])),
    }  # fmt: skip
    return {**api, "backend": backend}


single_apis = st.fixed_dictionaries({
    "displayName": texts, "version": texts, "active": st.booleans(),
    "backend": st.fixed_dictionaries(
        {"url": urls, "timeout": durations, "retries": st.integers(0, 10)}, optional={"auth": auths}
    ),
    "routes": routes, "plans": plans,
}, optional={"access": st.just("subscribed")})  # fmt: skip
apis = st.one_of(single_apis, single_apis.flatmap(several))

by = st.one_of(st.sampled_from(["consumer", "ip"]), header_names.map("header:{}".format))
LENGTHS: Final = {"second": "1s", "minute": "1m", "hour": "1h", "day": "24h"}


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    who, out = draw(by), {}
    unit = draw(st.sampled_from([None, *LENGTHS]))
    period = draw(st.sampled_from([None, "hour", "day", "month"]))
    if unit is not None:
        out["rate_limit"] = {"requests": draw(numbers), "window": LENGTHS[unit], "by": who}
    if period is not None and period != unit:
        out["quota"] = {"requests": draw(numbers), "period": period, "by": who}
    return out


edits = st.fixed_dictionaries({
    "set": st.dictionaries(header_names, values, max_size=2),
    "add": st.dictionaries(header_names, values, max_size=2),
    "remove": sets(header_names),
})  # fmt: skip
sinks = st.tuples(
    st.sampled_from([[], ["https://logs.example/in?x=1"]]),
    st.sampled_from([[], ["stdout"], ["file:/var/log/a.log"], ["/dev/stderr"]]),
).map(lambda pair: sorted(pair[0] + pair[1]))
CONFIGS: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "cors": st.fixed_dictionaries(
        {"origins": st.one_of(st.just(["*"]), sets(st.sampled_from(
            ["https://a.example", "http://b.example:8080", "null"]), least=1)),
         "credentials": st.booleans()},
        optional={"methods": methods, "headers": sets(header_names, least=1),
                  "exposeHeaders": sets(header_names), "maxAge": seconds},
    ).filter(lambda config: not (config["credentials"] and "*" in config["origins"])),
    "api_key": st.fixed_dictionaries(
        {"in": st.sampled_from(["header", "query"]), "name": header_names, "hide": st.booleans()}
    ),
    "ip_filter": st.fixed_dictionaries({
        "allow": sets(
            st.sampled_from(["10.0.0.0/8", "10.9.8.7/8", "192.0.2.1", "2001:DB8::/032"]), least=1
        ),
        "deny": sets(st.sampled_from(["10.1.0.0/16", "192.0.2.9"])),
    }),
    "request_size": st.fixed_dictionaries({"max": st.integers(0, 10**12).map(canonical_size)}),
    "headers": st.fixed_dictionaries({}, optional={"request": edits, "response": edits}).filter(
        lambda config: any(any(side.values()) for side in config.values())
    ),
    "logging": sinks.filter(bool).map(lambda found: {"sinks": found, "payloads": False,
    "redact": []}),
    "mock": st.fixed_dictionaries({
        "status": st.integers(200, 599), "body": texts,
        "headers": st.sampled_from([{}, {"content-type": "application/json"}]),
    }),
}  # fmt: skip
PARTIAL: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "caching": st.fixed_dictionaries({
        "ttl": seconds.filter(lambda ttl: ttl != "0s"), "methods": sets(st.sampled_from(["GET",
        "HEAD", "POST"]), least=1),
        "statuses": sets(st.sampled_from([200, 301, 404, 503]), least=1),
        "varyHeaders": sets(texts), "varyQuery": sets(texts),
    }),
    "jwt": st.fixed_dictionaries({
        "issuer": texts, "audiences": sets(texts), "requiredClaims": st.just({}),
        "forwardClaims": st.just({}), "clockSkew": durations,
    }),
    "retry": st.fixed_dictionaries({
        "attempts": st.integers(1, 10), "on": sets(st.sampled_from(["5xx", "503", "connect",
        "timeout"])),
        "backoff": durations,
    }),
    "circuit_breaker": st.fixed_dictionaries(
        {"failures": st.integers(1, 254), "window": durations, "reset": durations}
    ),
}  # fmt: skip
"""Those of which Kong does a part: written where a catalog lets it."""


@st.composite
def policies(draw: st.DrawFn, *, whole: bool = False) -> dict[str, dict[str, Any]]:
    chosen = {**CONFIGS, **({} if whole else PARTIAL)}
    types = draw(st.lists(st.sampled_from(sorted(chosen)), unique=True, max_size=5))
    if "api_key" in types and "jwt" in types:
        types.remove("jwt")  # Kong asks for both
    return {**{name: draw(chosen[name]) for name in types}, **draw(limits())}


def config_of(policy_type: str, config: dict[str, Any]) -> dict[str, Any]:
    spec = {"api": "billing", "type": policy_type, "priority": 100, "config": config}
    return stored_spec(POLICY, spec)["config"]


def parts_of(api: dict[str, Any] | None, found: dict[str, dict[str, Any]]) -> ApiParts:
    policies = {name: config_of(name, config) for name, config in found.items()}
    written = None if api is None else stored_spec(API, api)
    return ApiParts(BILLING, BILLING.identifier(OWNER), written, policies)


def _fits(parts: ApiParts) -> bool:
    """Whether no window of a plan stands beside a limit by address or header.

    And no circuit breaker beside several backends that its probes cannot tell apart.
    """
    api: Any = parts.api or {"plans": [], "backend": {}}
    if "circuit_breaker" in parts.policies and has_probe_of_one_name(api["backend"]):
        return False
    asked = {c["by"] for n, c in parts.policies.items() if n in ("rate_limit", "quota")}
    return asked <= {"consumer"} or not any(
        plan.keys() - {"name", "burst"} for plan in api["plans"]
    )


api_parts = st.builds(parts_of, st.one_of(st.none(), apis), policies()).filter(_fits)

subscriptions = st.lists(
    st.fixed_dictionaries(
        {"api": st.one_of(st.just("billing"), names, st.builds("other/{}".format, names))},
        optional={"plan": names, "expiresAt": st.just("2027-01-01T00:00:00Z")},
    ),
    max_size=3,
    unique_by=lambda s: (s["api"], s.get("plan", "")),
).map(lambda found: sorted(found, key=lambda s: (s["api"], s.get("plan", ""))))
public_keys = st.sampled_from([RSA, P256, P384]).map(Secret)  # those of every version
credentials = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("api_key"), "key": texts.map(Secret)}),
        st.fixed_dictionaries(
            {"type": st.just("jwt"), "key": public_keys, "clientId": texts.map(Secret)}
        ),
    ),
    max_size=4,
)
applications = st.fixed_dictionaries({
    "displayName": texts, "credentials": credentials, "subscriptions": subscriptions,
    "identifiers": st.dictionaries(names, texts, max_size=1),
})  # fmt: skip


def application_of(value: dict[str, Any]) -> ApplicationParts:
    return ApplicationParts(MOBILE, MOBILE.identifier(OWNER), stored_spec(APPLICATION, value))
