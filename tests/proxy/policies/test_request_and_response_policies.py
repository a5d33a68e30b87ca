"""The policies `headers`, `ip_filter`, `request_size` and `mock`, and the one order of all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from stoa_proxy.foundation.units import parse_size
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.ip_filter import parse_ip_filter

from tests.proxy.conftest import Api, Upstream
from tests.proxy.raw import exchange, read_head

CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


async def test_headers_are_removed_set_and_added_both_ways(api: Api, upstream: Upstream) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(headers={"X-Powered-By": "php", "X-Kept": "1", "X-Set": "theirs"})

    upstream.answer = answer
    await api.route(upstream.url)
    edits = {"set": {"X-Set": "ours"}, "add": {"X-Kept": "2"}, "remove": ["x-powered-by"]}
    await api.policy("headers", {"request": edits, "response": edits})
    sent = {"X-Powered-By": "me", "x-set": "mine", "X-Kept": "1", "X-Other": "o"}
    found = await api.get("/a", sent)
    seen = upstream.seen[0]
    assert (seen.all("X-Powered-By"), seen.all("X-Set")) == ([], ["ours"])
    assert (seen.all("X-Kept"), seen.all("X-Other")) == (["1", "2"], ["o"])
    assert "X-Powered-By" not in found.headers
    assert found.headers.getall("X-Set") == ["ours"]
    assert found.headers.getall("X-Kept") == ["1", "2"]


async def test_a_backend_credential_stands_above_header_edits(api: Api, upstream: Upstream) -> None:
    auth = {"in": "header", "name": "X-Backend-Key", "value": "sekret"}
    await api.route(upstream.url, backend_auth=auth)
    await api.policy("headers", {"request": {"set": {"x-backend-key": "other"}}})
    await api.get("/a")
    assert upstream.seen[0].all("X-Backend-Key") == ["sekret"]


async def test_our_own_refusals_carry_the_edits_of_answers(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.policy("headers", {"response": {"set": {"X-Frame-Options": "DENY"}}})
    answer = await api.get("/a")
    assert (answer.status, answer.headers["X-Frame-Options"]) == (401, "DENY")


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Transfer-Encoding", "TE", "Upgrade", "Keep-Alive", "Host", "Content-Length",
        "X-User-Id", "X_User_Id", "X-Tenant-ID", "X-Consumer-Name", "X-Credential-Key", "Expect",
        "X-Authenticated-Scope", "Sec-WebSocket-Key", "Via", "X-Stoa-Fallback", "bad name", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("edit", ["set", "add", "remove"])
def test_headers_that_are_not_a_policys_are_refused(name: str, edit: str) -> None:
    for side in ("request", "response"):
        value: object = [name] if edit == "remove" else {name: "x"}
        with pytest.raises(ValueError, match=rf"config\.{side}\.{edit}"):
            POLICIES.parse("headers", "p", {side: {edit: value}})


async def test_only_allowed_addresses_get_through_and_a_denial_wins(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    for config, status in (
        ({"allow": ["127.0.0.0/8"]}, 200),
        ({"allow": ["10.0.0.0/8"]}, 403),
        ({"deny": ["127.0.0.1"]}, 403),
        ({"allow": ["127.0.0.1"], "deny": ["127.0.0.0/8"]}, 403),
        ({"allow": [], "deny": ["10.0.0.0/8"]}, 200),
    ):
        await api.policy("ip_filter", config)
        answer = await api.get("/a", {"X-Forwarded-For": "10.1.1.1", "X-Real-IP": "10.1.1.1"})
        assert answer.status == status, config


async def test_a_denied_address_gets_no_preflight_either(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("cors", {"origins": ["*"]})
    await api.policy("ip_filter", {"deny": ["127.0.0.1"]})
    asked = {"Origin": "https://app.test", "Access-Control-Request-Method": "GET"}
    assert (await api.send("OPTIONS", "/a", asked)).status == 403


@pytest.mark.parametrize(
    ("client_address", "allow", "admitted"),
    [
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "::ffff:10.0.0.0/104", True),
        ("::ffff:11.1.2.3", "10.0.0.0/8", False),
        ("fe80::1%eth0", "fe80::/10", True),
        ("2001:db8::1", "10.0.0.0/8", False),
        ("unknown", "0.0.0.0/0", False),
        ("", "::/0", False),
    ],
)
def test_an_address_is_checked_in_every_spelling(
    client_address: str, allow: str, admitted: bool
) -> None:
    assert parse_ip_filter("p", {"allow": [allow]}).admits(client_address) is admitted


def test_a_mapped_peer_is_denied_as_the_address_it_is() -> None:
    assert not parse_ip_filter("p", {"deny": ["10.0.0.0/8"]}).admits("::ffff:10.0.0.1")


async def test_an_announced_body_over_the_bound_is_refused_unread(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("request_size", {"max": "1KiB"})
    assert (await api.send("POST", "/a", data=b"x" * 1024)).status == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    async with asyncio.timeout(30):
        assert (await read_head(reader)).startswith(b"HTTP/1.1 413")
    writer.close()
    await writer.wait_closed()
    assert len(upstream.seen) == 1


async def test_a_streamed_body_over_the_bound_is_413_and_its_call_is_aborted(
    api: Api, upstream: Upstream
) -> None:
    began, outcome = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        began.set()
        try:
            outcome.set_result(await request.read())
        except BaseException as error:
            outcome.set_result(error)
            raise
        return web.Response()

    upstream.answer = read
    await api.route(upstream.url, fallback_url="builtin:echo")
    await api.policy("request_size", {"max": 10})
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(CHUNKED + b"5\r\nabcde\r\n")
    async with asyncio.timeout(30):
        await began.wait()
        writer.write(b"6\r\nfghijk\r\n0\r\n\r\n")
        answer = await reader.read()
        found = await outcome
    assert answer.startswith(b"HTTP/1.1 413")
    assert isinstance(found, BaseException), "a part is never taken for the whole"
    writer.close()
    await writer.wait_closed()


async def test_a_streamed_body_of_exactly_the_bound_passes(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("request_size", {"max": 10})
    answer = await exchange(api.gateway.port, CHUNKED + b"a\r\nabcdefghij\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert upstream.seen[0].body == b"abcdefghij"


async def test_of_two_bounds_the_smaller_counts_whatever_their_order(api: Api) -> None:
    await api.route("builtin:echo")
    for number, largest in enumerate((20, 5, 10)):
        await api.put(
            "policies",
            {
                "id": f"p{number}",
                "name": "size",
                "policy_type": "request_size",
                "api_id": "r1",
                "config": {"max": largest},
                "priority": number,
            },
        )
    for body, status in ((b"5\r\nabcde\r\n", 200), (b"6\r\nabcdef\r\n", 413)):
        answer = await exchange(api.gateway.port, CHUNKED + body + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %d" % status)


async def test_the_echo_is_bounded_too(api: Api) -> None:
    await api.route("builtin:echo")
    await api.policy("request_size", {"max": 10})
    answer = await exchange(api.gateway.port, CHUNKED + b"b\r\nabcdefghijk\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("text", "size"),
    [("512KiB", 524_288), ("10MB", 10_000_000), ("1kB", 1000), ("7", 7), (7, 7), ("2GiB", 2**31)],
)
def test_sizes_are_read_with_their_units(text: object, size: int) -> None:
    assert parse_size(text) == size


async def test_a_mock_answers_what_policies_let_pass(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    config = {"status": 418, "headers": {"X-Mock": "yes"}, "body": "téa"}
    await api.policy("mock", config)
    await api.policy("rate_limit", {"requests": 1, "window": "1m"})
    first, second = await api.send("POST", "/a", data=b"x" * 100_000), await api.get("/a")
    assert (first.status, await first.text(), first.headers["X-Mock"]) == (418, "téa", "yes")
    assert first.content_type == "text/plain"
    assert second.status == 429
    assert upstream.seen == []


@pytest.mark.parametrize("status", [204, 304])
async def test_a_mock_without_a_body_has_none(api: Api, upstream: Upstream, status: int) -> None:
    await api.route(upstream.url)
    await api.policy("mock", {"status": status})
    answer = await api.get("/a")
    assert (answer.status, answer._body) == (status, b"")


EACH_TYPE: dict[str, Any] = {
    "mock": {}, "headers": {"request": {}}, "request_size": {"max": 1},
    "rate_limit": {"requests": 1, "window": "1s"}, "api_key": {}, "ip_filter": {"allow": []},
    "cors": {"origins": ["*"]}, "retry": {"attempts": 2}, "logging": {},
    "circuit_breaker": {"failures": 1, "window": "1s", "reset": "1s"},
    "caching": {"ttl": "1m"}, "quota": {"requests": 1, "period": "day"},
    "jwt": {"issuer": "https://issuer.test"},
}  # fmt: skip
"""A config of each type that there is (`tests/structure/test_policy_types.py`)."""


def test_policies_run_in_the_documented_order_whatever_their_priorities() -> None:
    from stoa_proxy.core.model import Plan, PolicyEntry

    entries = [
        PolicyEntry(f"p{number}", name, name, config, number, "a")
        for number, (name, config) in enumerate(EACH_TYPE.items())
    ]
    api = POLICIES.compile_api("a", (Plan("gold"),), entries)
    names = [type(policy).__name__ for policy in api.policies]
    assert names == [
        "Cors", "IpFilter", "EitherCredential", "PlanGate", "RateLimit", "Quota", "RequestSize",
        "HeaderEdits", "Caching", "Mock", "Retry", "CircuitBreaker", "Logging",
    ]  # fmt: skip
    to_backends = [type(one).__name__ for one in api.upstream_request_filters]
    assert to_backends == ["EitherCredential", "HeaderEdits", "Caching"]
    assert [type(one).__name__ for one in api.response_filters] == ["Cors", "HeaderEdits"]


@pytest.mark.parametrize(
    ("policy_type", "config", "named"),
    [
        ("headers", {}, "request"),
        ("headers", {"request": []}, "config.request"),
        ("headers", {"request": {"sett": {}}}, "'sett'"),
        ("headers", {"request": {"set": ["X-A"]}}, "config.request.set"),
        ("headers", {"request": {"set": {"X-A": 1}}}, "config.request.set.X-A"),
        ("headers", {"request": {"set": {"X-A": "a\r\nX-B: b"}}}, "config.request.set.X-A"),
        ("headers", {"response": {"add": {"X-A": "\u00e9"}}}, "config.response.add.X-A"),
        ("headers", {"response": {"remove": "X-A"}}, "remove"),
        ("headers", {"both": {}}, "'both'"),
        ("ip_filter", {}, "'allow' or 'deny'"),
        ("ip_filter", {"allow": ["10.0.0.1/8"]}, "config.allow"),
        ("ip_filter", {"deny": ["localhost"]}, "config.deny"),
        ("ip_filter", {"deny": "10.0.0.0/8"}, "config.deny"),
        ("ip_filter", {"block": []}, "'block'"),
        ("request_size", {}, "config.max"),
        ("request_size", {"max": 0}, "config.max"),
        ("request_size", {"max": "0MB"}, "config.max"),
        ("request_size", {"max": True}, "config.max"),
        ("request_size", {"max": "1 MB"}, "config.max"),
        ("request_size", {"max": "1TB"}, "config.max"),
        ("request_size", {"max": 1, "min": 0}, "'min'"),
        ("mock", {"status": 101}, "config.status"),
        ("mock", {"status": "200"}, "config.status"),
        ("mock", {"status": 204, "body": "x"}, "config.body"),
        ("mock", {"body": {"a": 1}}, "config.body"),
        ("mock", {"body": "\ud800"}, "config.body"),
        ("mock", {"headers": {"Content-Length": "5"}}, "Content-Length"),
        ("mock", {"delay": "1s"}, "'delay'"),
    ],
)
def test_a_config_that_is_wrong_is_refused_by_name(
    policy_type: str, config: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        POLICIES.parse(policy_type, "p", config)
