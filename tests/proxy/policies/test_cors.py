"""What a browser makes of responses under `cors`, by the Fetch standard: what a policy allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.http.heads import Headers, RequestHead, lower_names
from stoa_proxy.policies.cors import parse_cors

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, Upstream

ORIGINS = ["https://app.test", "https://other.test:8443", "http://app.test", "null"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "patch"]
NAMES = ["x-one", "x-two", "authorization", "*"]
# Fetch standard, 2.2.1: sent by any page, without leave.
SAFELISTED = {"GET", "HEAD", "POST"}


@dataclass(frozen=True)
class Asked:
    """A request of a page: `names` are headers that need leave, in lower case and sorted."""

    origin: str
    method: str
    names: tuple[str, ...]
    with_credentials: bool


def get(headers: Headers, name: str) -> str | None:
    """All values of a header in one, as browsers get them (2.2.2)."""
    values = [value for key, value in headers if key.lower() == name]
    return ", ".join(values) if values else None


def elements(headers: Headers, name: str) -> list[str]:
    return [part.strip() for part in (get(headers, name) or "").split(",") if part.strip()]


def passes_cors_check(headers: Headers, asked: Asked) -> bool:
    """4.10, CORS check: whether a page may read a response."""
    allowed = get(headers, "access-control-allow-origin")
    if allowed == "*" and not asked.with_credentials:
        return True
    if allowed != asked.origin:
        return False
    return not asked.with_credentials or get(headers, "access-control-allow-credentials") == "true"


def passes_preflight(status: int, headers: Headers, asked: Asked) -> bool:
    """4.8, CORS-preflight fetch, steps 7 and after: whether the request itself is sent."""
    if not passes_cors_check(headers, asked) or not 200 <= status <= 299:
        return False
    methods = elements(headers, "access-control-allow-methods")
    is_any = "*" in methods and not asked.with_credentials
    if asked.method not in SAFELISTED and asked.method not in methods and not is_any:
        return False
    names = {name.lower() for name in elements(headers, "access-control-allow-headers")}
    is_any = "*" in names and not asked.with_credentials
    # The wildcard stands for every name but `Authorization` (2.2.2, non-wildcard name).
    return all(name in names or (is_any and name != "authorization") for name in asked.names)


def is_meant(config: dict[str, Any], methods: list[str], asked: Asked) -> bool:
    """Whether a policy for a route of these methods allows the request."""
    if "*" not in config["origins"] and asked.origin not in config["origins"]:
        return False
    if asked.with_credentials and not config.get("credentials"):
        return False
    own = config.get("methods") or methods
    if asked.method not in SAFELISTED and not (asked.method in own and asked.method in methods):
        return False
    if "headers" not in config:
        return True
    is_any = "*" in config["headers"] and not asked.with_credentials
    names = {name.lower() for name in config["headers"]}
    return all(name in names or (is_any and name != "authorization") for name in asked.names)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    origins = draw(st.just(["*"]) | st.lists(st.sampled_from(ORIGINS), min_size=1, max_size=3))
    config: dict[str, Any] = {"origins": origins}
    if draw(st.booleans()):
        config["methods"] = draw(st.lists(st.sampled_from(METHODS[:-1]), min_size=1, max_size=4))
    if draw(st.booleans()):
        config["headers"] = draw(st.lists(st.sampled_from([*NAMES, "X-One"]), max_size=3))
    if "*" not in origins:
        config["credentials"] = draw(st.booleans())
    if draw(st.booleans()):
        config["maxAge"] = "10m"
    return config


REQUESTS = st.builds(
    Asked,
    st.sampled_from([*ORIGINS, "https://app.test.evil.test", "https://APP.test"]),
    st.sampled_from(METHODS),
    st.sets(st.sampled_from(NAMES[:-1])).map(lambda names: tuple(sorted(names))),
    st.booleans(),
)


def head_of(method: str, *headers: tuple[str, str]) -> RequestHead:
    return RequestHead(method, "/a", headers, lower_names(headers), "192.0.2.1")


@examples(600)
@given(
    config=configs(),
    methods=st.lists(st.sampled_from(METHODS[:-1]), min_size=1, max_size=4, unique=True),
    asked=REQUESTS,
)
def test_a_browser_sends_what_the_policy_allows_and_nothing_else(
    config: dict[str, Any], methods: list[str], asked: Asked
) -> None:
    sent = [("Origin", asked.origin), ("Access-Control-Request-Method", asked.method)]
    if asked.names:
        sent.append(("Access-Control-Request-Headers", ",".join(asked.names)))
    answer = parse_cors("p", config).preflight(
        head_of("OPTIONS", *sent), methods, PolicyStates(FakeClock())
    )
    assert passes_preflight(answer.status, answer.headers, asked) == is_meant(
        config, methods, asked
    )
    # Nobody else learns what is allowed here.
    if get(answer.headers, "access-control-allow-origin") is None:
        assert lower_names(answer.headers) == ("vary", "vary")


async def test_a_page_reads_what_the_policy_allows_whatever_the_backend_says(
    api: Api, upstream: Upstream
) -> None:
    async def open_to_all(_: web.BaseRequest) -> web.StreamResponse:
        headers = {
            "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "X-Secret", "Vary": "Accept",
        }  # fmt: skip
        return web.Response(headers=headers)

    upstream.answer = open_to_all
    await api.route(upstream.url)
    await api.policy("cors", {"origins": ["https://app.test"]})
    for origin in ("https://app.test", "https://evil.test"):
        answer = await api.get("/a", {"Origin": origin})
        found = tuple(answer.headers.items())
        for with_credentials in (False, True):
            may_read = passes_cors_check(found, Asked(origin, "GET", (), with_credentials))
            assert may_read == (origin == "https://app.test" and not with_credentials)
        assert elements(found, "vary") == ["Accept", "Origin"]
        assert get(found, "access-control-expose-headers") is None
