from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.responses import Response, error_from_response
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayMalformed,
    GatewayRefused,
    GatewayUnauthorized,
    GatewayUnreachable,
    Retry,
)
from stoa_gitops.model.instances import GatewayAuth
from stoa_gitops.model.secret import Secret
from tests.unit.adapter_sdk.serving import NOW, answering, connection, served

OK = partial(web.json_response, [1])
WHAT = "the list of things"


async def read(client: AdminClient, **options: Any) -> Any:
    return await client.get_json("/v1/things", WHAT, list, **options)


@pytest.mark.parametrize("path", ["", "/", "//"])
async def test_a_trailing_slash_of_the_base_url_changes_no_path(path: str) -> None:
    async with served(answering(OK), path=path) as one:
        assert await read(one.client) == [1]
        assert one.requests[0].path == "/v1/things"


async def test_cookies_of_a_gateway_are_not_sent_back() -> None:
    with_cookie = partial(web.json_response, [1], headers={"Set-Cookie": "XSRF-TOKEN=a; Path=/"})
    async with served(answering(with_cookie)) as one:
        await read(one.client)
        await read(one.client)
        assert [dict(request.cookies) for request in one.requests] == [{}, {}]


async def test_a_base_url_with_a_path_is_a_prefix() -> None:
    async with served(answering(OK), path="/gateway/") as one:
        await read(one.client)
        assert one.requests[0].path == "/gateway/v1/things"


@pytest.mark.parametrize(
    "base_url", ["gateway:8080", "ftp://g", "http://", "http://g:0", "embedded"]
)
async def test_a_base_url_that_is_none_is_said_to_be_so(base_url: str) -> None:
    with pytest.raises(GatewayMalformed, match="check baseUrl"):
        await read(AdminClient(connection(base_url)))


@pytest.mark.parametrize(
    "base_url", ["http://me:secret@g", "http://g?key=secret", "http://g#secret"]
)
async def test_a_base_url_with_credentials_is_refused_without_repeating_them(base_url: str) -> None:
    with pytest.raises(GatewayMalformed, match=r"spec\.auth") as caught:
        await read(AdminClient(connection(base_url)))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("auth", "credentials", "name", "value"),
    [
        ("basic", {"username": "u", "password": "p"}, "Authorization", "Basic dTpw"),
        ("bearer", {"token": "t"}, "Authorization", "Bearer t"),
        ("header", {"value": "v"}, "X-Admin", "v"),
        ("none", {"token": "t"}, "Authorization", "Bearer t"),
    ],
)
async def test_each_kind_of_auth_sends_its_header(
    auth: str, credentials: dict[str, str], name: str, value: str
) -> None:
    how = GatewayAuth(auth, header="X-Admin")
    async with served(answering(OK), auth=how, credentials=credentials) as one:
        await read(one.client)
        assert one.requests[0].headers[name] == value


async def test_without_auth_no_credential_is_sent_and_the_program_names_itself() -> None:
    async with served(answering(OK)) as one:
        await read(one.client)
        assert "Authorization" not in one.requests[0].headers
        assert one.requests[0].headers["User-Agent"].startswith("stoa-gitops/0.")


@pytest.mark.parametrize(
    ("auth", "role"), [("basic", "username"), ("bearer", "token"), ("header", "value")]
)
async def test_a_credential_that_led_nowhere_is_named_by_its_reference(
    auth: str, role: str
) -> None:
    client = AdminClient(connection(auth=GatewayAuth(auth, header="X-Admin")))
    with pytest.raises(GatewayUnauthorized, match=f"{role}Ref"):
        await read(client)


@pytest.mark.parametrize("token", ["top\nsecret", "top\rsecret", "top-sécret", "top\x00secret"])
async def test_a_token_that_no_header_can_carry_is_refused_unseen(token: str) -> None:
    client = AdminClient(connection(auth=GatewayAuth("bearer"), credentials={"token": token}))
    with pytest.raises(GatewayUnauthorized) as caught:
        await read(client)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    moved = partial(web.Response, status=status, headers={"Location": "/elsewhere"})
    async with served(answering(moved)) as one:
        with pytest.raises(GatewayMalformed, match=r"redirects .* not followed: check baseUrl"):
            await read(one.client)
        assert len(one.requests) == 1


async def test_a_number_beyond_all_floats_is_read_as_its_text() -> None:
    text = "[1e999, -1e400, 1.5, 3]"
    async with served(answering(partial(web.Response, text=text))) as one:
        assert await read(one.client) == ["1e999", "-1e400", 1.5, 3]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<!DOCTYPE html><p>Sign in", "expected as JSON and HTML came"),
        ("\n <html>", "expected as JSON and HTML came"),
        ("[{", "expected as JSON and no JSON came"),
        ("", "expected as JSON and no JSON came"),
        ("[NaN]", "expected as JSON and no JSON came"),
        ("[" * 100_000, "expected as JSON and no JSON came"),
        ('{"items": []}', "expected as a JSON array, not as an object"),
        ("null", "expected as a JSON array, not as null"),
        ("3", "expected as a JSON array, not as a plain value"),
    ],
)  # fmt: skip
async def test_a_response_that_is_not_the_admin_api_says_what_was_expected(
    body: str, words: str
) -> None:
    async with served(answering(partial(web.Response, text=body))) as one:
        with pytest.raises(GatewayMalformed) as caught:
            await read(one.client)
        assert str(caught.value).startswith(f"{WHAT} was {words}: check that baseUrl leads")


async def test_a_body_cut_off_is_malformed() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "50"})
        await answer.prepare(request)
        await answer.write(b"[1,")
        assert request.transport is not None
        request.transport.close()
        return answer

    async with served(cut) as one:
        with pytest.raises(GatewayMalformed, match="cut off"):
            await read(one.client)


async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        while sent < 1 << 26:
            await answer.write(b"x" * 65536)
            sent += 65536
        return answer

    async with served(endless, limits=Limits(max_body=100_000)) as one:
        with pytest.raises(GatewayMalformed, match="longer than 100000 bytes"):
            await read(one.client)
    assert sent < 1 << 26


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_gateway_that_is_away_is_tried_again_with_jitter(status: int) -> None:
    async with served(answering(partial(web.Response, status=status), OK), chance=0.25) as one:
        assert await read(one.client) == [1]
        assert one.pauses == [0.25 * 0.4]


async def test_pauses_grow_and_tries_end() -> None:
    away = partial(web.Response, status=503, text="later")
    async with served(answering(away), limits=Limits(tries=4), chance=1.0) as one:
        with pytest.raises(GatewayUnreachable, match="503: later"):
            await read(one.client)
        assert one.pauses == [0.4, 0.8, 1.6]
        assert len(one.requests) == 4


@pytest.mark.parametrize("value", ["7", "Sat, 01 Aug 2026 12:00:07 GMT"])
async def test_retry_after_is_waited_for(value: str) -> None:
    busy = partial(web.Response, status=429, headers={"Retry-After": value})
    async with served(answering(busy, OK), chance=0.0) as one:
        assert await read(one.client) == [1]
        assert one.pauses == [7.0]


async def test_a_longer_retry_after_is_handed_on_instead() -> None:
    busy = partial(web.Response, status=429, headers={"Retry-After": "120"})
    async with served(answering(busy)) as one:
        with pytest.raises(GatewayBusy) as caught:
            await read(one.client)
        assert caught.value.retry_after == 120.0
        assert len(one.requests) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("99999999999", 300.0), ("Sat, 01 Aug 2026 11:00:00 GMT", 0.0), ("soon", None), ("-4", None)],
)
def test_odd_retry_after_is_capped_or_ignored(value: str, seconds: float | None) -> None:
    error = error_from_response(Response(429, {"retry-after": value}), WHAT, NOW)
    assert error.retry_after == seconds


@pytest.mark.parametrize("status", [400, 404, 405, 409, 415, 422])
async def test_a_refusal_is_never_tried_again_and_keeps_the_vendors_words(status: int) -> None:
    said = partial(web.json_response, {"errors": ["id must not be empty", "no"]}, status=status)
    async with served(answering(said)) as one:
        with pytest.raises(GatewayRefused, match=f"{status}: id must not be empty; no") as caught:
            await read(one.client)
        assert (caught.value.retry, len(one.requests)) == (Retry.NEVER, 1)


async def test_a_failure_inside_the_gateway_is_not_repeated_at_once() -> None:
    async with served(answering(partial(web.Response, status=500, text="boom"))) as one:
        with pytest.raises(GatewayError, match="500: boom"):
            await read(one.client)
        assert len(one.requests) == 1


async def test_what_must_not_be_repeated_is_tried_once() -> None:
    async with served(answering(partial(web.Response, status=503))) as one:
        with pytest.raises(GatewayUnreachable):
            await one.client.request("POST", "/v1/things", WHAT, body={}, repeatable=False)
        assert len(one.requests) == 1


async def test_a_refused_connection_is_unreachable_and_tried_again() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        client = AdminClient(connection(f"http://127.0.0.1:{port}"), sleep=sleep)
        with pytest.raises(GatewayUnreachable, match="no connection"):
            await read(client)
        assert len(pauses) == 2
        await client.aclose()


async def test_a_call_is_bounded_as_a_whole() -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with served(never, limits=Limits(call_seconds=0.05)) as one:
        with pytest.raises(GatewayUnreachable, match=r"no response within 0\.05 s in all"):
            await read(one.client)


async def test_a_silent_gateway_is_unreachable() -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with served(never, limits=Limits(read_seconds=0.05, tries=1)) as one:
        with pytest.raises(GatewayUnreachable, match="no response in time"):
            await read(one.client)


async def test_cancelling_a_call_cancels_it() -> None:
    arrived = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    async with served(never) as one:
        task = asyncio.create_task(read(one.client))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_secrets_that_the_gateway_repeats_are_masked_in_every_form() -> None:
    token, key = "tok/en+1", 'quo"ted\\key'

    async def parrot(request: web.Request) -> web.Response:
        header = request.headers["Authorization"]
        return web.Response(status=400, text=f"{header} {await request.text()} {key}")

    auth = GatewayAuth("bearer")
    async with served(parrot, auth=auth, credentials={"token": token}) as one:
        with pytest.raises(GatewayRefused) as caught:
            await one.client.request("POST", "/x", WHAT, body={"value": Secret(key)})
        text = str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)
        assert token not in text
        assert "ted" not in text
        assert "***" in text


async def test_a_secret_in_a_body_is_revealed_on_the_wire_only() -> None:
    async with served(answering(OK)) as one:
        await one.client.request("POST", "/x", WHAT, body={"a": [Secret("s3")]})
        assert await one.requests[0].json() == {"a": ["s3"]}


async def test_an_unchanged_list_is_not_sent_again() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.json_response([1, 2], headers={"ETag": '"1"'})

    async with served(handler) as one:
        first = await read(one.client, conditional=True)
        assert await read(one.client, conditional=True) is first
        assert await read(one.client) == [1, 2]
        assert "If-None-Match" not in one.requests[2].headers


async def test_304_to_an_unconditional_request_is_malformed() -> None:
    async with served(answering(partial(web.Response, status=304))) as one:
        with pytest.raises(GatewayMalformed):
            await read(one.client, conditional=True)


async def test_a_large_list_is_read_whole() -> None:
    items = [{"id": str(number), "text": "x" * 100} for number in range(20_000)]
    async with served(answering(partial(web.json_response, items))) as one:
        assert await read(one.client) == items


async def test_proxies_of_the_environment_are_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with served(answering(OK)) as one:
        assert await read(one.client) == [1]


async def test_long_and_odd_texts_of_a_vendor_become_one_short_line() -> None:
    text = "bad\x1b[31m\n\nthing " + "y" * 5000
    async with served(answering(partial(web.Response, status=400, text=text))) as one:
        with pytest.raises(GatewayRefused) as caught:
            await read(one.client)
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()


class Within:
    """A gateway in this process."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []

    async def __call__(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, /
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        self.asked.append((method, target, headers, body))
        status, content = self.answers.pop(0)

        async def pieces() -> AsyncIterator[bytes]:
            yield content[:3]
            yield content[3:]

        return status, {"etag": '"1"'}, pieces()


def client_within(gateway: Within, **options: Any) -> AdminClient:
    link = connection(auth=GatewayAuth("bearer"), credentials={"token": "t-secret"})
    return AdminClient(replace(link, inside=gateway), **options)


async def test_a_gateway_in_this_process_is_asked_without_a_connection() -> None:
    gateway = Within((200, b"[1,2]"), (304, b""))
    client = client_within(gateway)
    assert await read(client, conditional=True) == [1, 2]
    assert await read(client, conditional=True) == [1, 2]
    (method, target, headers, body), (_, _, again, _) = gateway.asked
    assert (method, target, body) == ("GET", "/v1/things", b"")
    assert headers["Authorization"] == "Bearer t-secret"
    assert again["If-None-Match"] == '"1"'


async def test_a_gateway_in_this_process_is_checked_like_any_other() -> None:
    with pytest.raises(GatewayUnauthorized):
        await read(client_within(Within((401, b"no: t-secret"))))
    with pytest.raises(GatewayRefused) as caught:
        await read(client_within(Within((400, b"not this t-secret"))))
    assert "t-secret" not in str(caught.value)
    with pytest.raises(GatewayMalformed, match="longer than 4 bytes"):
        await read(client_within(Within((200, b"[1,2]")), limits=Limits(max_body=4)))
