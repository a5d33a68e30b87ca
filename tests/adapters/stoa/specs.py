"""Generated canonical specs, as docs/canonical-forms.md has them, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.model.canonical import canonical_duration
from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Secret

OWNER = "default"
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
durations = st.integers(1, 10_000_000).map(lambda ms: canonical_duration(f"{ms}ms"))
methods = st.lists(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]), unique=True, max_size=3
).map(sorted)
hosts = st.lists(names.map(lambda n: f"{n}.example"), unique=True, max_size=2).map(sorted)
paths = names.map(lambda name: f"/apis/{name}")


def order(route: dict[str, Any]) -> Any:
    return route["path"], route["hosts"], route["methods"], str(route.get("headers", ""))


asked = st.dictionaries(
    st.sampled_from(["x-env", "x-v"]),
    st.sets(st.sampled_from(["1", "a b", "c"]), min_size=1).map(sorted),
    min_size=1,
).map(lambda found: [{"name": name, "values": found[name]} for name in sorted(found)])
routes = st.lists(
    st.fixed_dictionaries(
        {"path": paths, "methods": methods, "hosts": hosts, "stripPath": st.booleans()},
        optional={"headers": asked},
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda route: (route["path"], tuple(route["hosts"]), tuple(route["methods"])),
).map(lambda found: sorted(found, key=order))
rates = st.fixed_dictionaries(
    {"name": names},
    optional={
        name: st.integers(1, 10**6)
        for name in ("perSecond", "perMinute", "perDay", "perMonth", "burst")
    },
)
plans = st.lists(rates, max_size=3, unique_by=lambda plan: plan["name"]).map(
    lambda found: sorted(found, key=lambda plan: plan["name"])
)
secrets = st.text(min_size=1, max_size=12).map(Secret)
urls = names.map(lambda name: f"https://{name}.example/v2")
backends = st.fixed_dictionaries(
    {
        "url": st.one_of(urls, st.just("builtin:echo")),
        "timeout": durations,
        "retries": st.integers(0, 10),
    },
    optional={
        "auth": st.fixed_dictionaries(
            {"in": st.sampled_from(["header", "query"]), "name": names, "value": secrets}
        ),
        "fallback": st.one_of(urls, st.just("builtin:echo")),
    },
)
apis = st.fixed_dictionaries(
    {
        "displayName": texts,
        "version": texts,
        "active": st.booleans(),
        "backend": backends,
        "routes": routes,
        "plans": plans,
    },
    optional={
        "description": texts,
        "openapi": st.fixed_dictionaries({"path": texts, "sha256": names}),
        "access": st.just("subscribed"),
    },
)
plain_apis = st.builds(
    lambda spec, url, found: {
        **{name: item for name, item in spec.items() if name != "access"},
        "backend": {"url": url, "timeout": "30s", "retries": 0},
        "plans": [],
        "routes": sorted(
            # It takes any one of two routes with one path.
            {
                r["path"]: {
                    "path": r["path"],
                    "methods": r["methods"],
                    "hosts": [],
                    "stripPath": True,
                }
                for r in found
            }.values(),
            key=order,
        ),
    },
    apis,
    urls,
    routes,
)
"""Those that a gateway without extensions can hold."""

applications = st.fixed_dictionaries(
    {
        "displayName": texts,
        "credentials": st.lists(
            st.one_of(
                st.fixed_dictionaries({"type": st.just("api_key"), "key": secrets}),
                st.fixed_dictionaries(
                    {"type": st.just("jwt"), "clientId": secrets}, optional={"key": secrets}
                ),
            ),
            max_size=3,
            unique_by=lambda one: one["clientId" if one["type"] == "jwt" else "key"].reveal(),
        ),
        "subscriptions": st.lists(
            st.fixed_dictionaries(
                {"api": st.one_of(names, st.builds("{}/{}".format, names, names))},
                optional={
                    "plan": names,
                    "expiresAt": st.just("2027-01-01T00:00:00Z"),
                    "ended": st.just(value=True),
                },
            ),
            max_size=3,
            unique_by=lambda subscription: subscription["api"],
        ).map(lambda found: sorted(found, key=lambda s: s["api"])),
        "identifiers": st.dictionaries(names, texts, max_size=2),
    },
    optional={"owner": texts},
)
policies = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("rate_limit"),
            "priority": st.integers(0, 1000),
            "config": st.fixed_dictionaries(
                {
                    "requests": st.integers(1, 10**6),
                    "window": durations,
                    "by": st.just("consumer"),
                }
            ),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("cors"),
            "priority": st.integers(0, 1000),
            "config": st.fixed_dictionaries({"origins": st.lists(urls, max_size=2)}),
        }
    ),
)


def spec_of(key: Key, value: dict[str, Any], gateway_id: str | None = None) -> ObjectSpec:
    return ObjectSpec(key, key.identifier(OWNER), OWNER, value, gateway_id)
