"""Clients that are slow, vanish or do not speak HTTP hold nothing."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import logging
import socket

import pytest

from stoa_gitops.control import server as timing
from stoa_gitops.control.hosts import HostNames
from tests.unit.control.conftest import SECRET, TOKEN, Served, serving

HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"


async def connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", served.port)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_connection_that_says_nothing_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HEAD_SECONDS", 0.05)
    reader, writer = await connect(served)
    assert await until_closed(reader) == b""
    writer.close()


async def test_a_head_that_trickles_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HEAD_SECONDS", 0.2)
    reader, writer = await connect(served)
    closed = asyncio.create_task(until_closed(reader))
    writer.write(b"GET /health HTTP/1.1\r\n")
    number = 0
    while not closed.done():
        number += 1
        writer.write(f"X-{number}: y\r\n".encode())
        await asyncio.sleep(0.01)
    assert closed.result() == b""
    writer.close()


async def test_a_body_that_never_comes_ends_in_a_problem(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "WORK_SECONDS", 0.1)
    reader, writer = await connect(served)
    head = f"POST /v1/gateways/a/suspend HTTP/1.1\r\n{HEAD}Content-Length: 100\r\n\r\n"
    writer.write(head.encode())
    answer = await until_closed(reader)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"application/problem+json" in answer
    assert served.operations.asked == []
    writer.close()


async def test_who_vanishes_while_a_plan_is_made_holds_nothing(served: Served) -> None:
    served.operations.blocks = asyncio.Event()
    for _ in range(20):
        reader, writer = await connect(served)
        writer.write(f"GET /v1/gateways/a/plan HTTP/1.1\r\n{HEAD}\r\n".encode())
        await writer.drain()
        writer.transport.abort()
        await until_closed(reader)
    served.operations.blocks.set()
    assert (await served.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"NONSENSE\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["TLS", "nonsense", "100 KB of headers", "negative length"],
)  # fmt: skip
async def test_what_is_no_http_is_a_problem_that_quotes_nothing(
    served: Served, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connect(served)
    writer.write(raw + b"\r\n\r\n")
    answer = await until_closed(reader)
    assert b" 400 Bad Request\r\n" in answer[:30], answer[:80]
    assert b"application/problem+json" in answer
    assert b"aaaa" not in answer
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    writer.close()


async def working(served: Served, count: int) -> list[asyncio.StreamWriter]:
    """Connections whose requests are worked on: a plan is waited for."""
    served.operations.blocks = asyncio.Event()
    writers = []
    for number in range(1, count + 1):
        _, writer = await connect(served)
        writer.write(f"GET /v1/gateways/a/plan HTTP/1.1\r\n{HEAD}\r\n".encode())
        writers.append(writer)
        async with asyncio.timeout(30):
            while served.operations.planning < number:
                await asyncio.sleep(0)
    return writers


async def test_idle_connections_end_for_new_ones() -> None:
    async with serving(connections=3) as served:
        held = [await connect(served) for _ in range(5)]
        assert (await served.get("/health")).status_code == 200
        for reader, _ in held[:3]:
            assert await until_closed(reader) == b""
        for _, writer in held:
            writer.close()


async def test_many_who_come_while_the_loop_is_busy_are_all_answered() -> None:
    loop = asyncio.get_running_loop()
    async with serving(connections=400, per_client=400) as served:
        # The loop accepts nobody meanwhile: the kernel holds them, or a handshake would time out.
        clients = [socket.create_connection(("127.0.0.1", served.port), 10) for _ in range(200)]
        try:
            for client in clients:
                client.setblocking(False)
                sent = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
                await loop.sock_sendall(client, sent)
            async with asyncio.timeout(30):
                heads = {await loop.sock_recv(client, 15) for client in clients}
        finally:
            for client in clients:
                client.close()
    assert heads == {b"HTTP/1.1 200 OK"}


async def test_health_is_answered_while_all_connections_are_at_work() -> None:
    async with serving(connections=2) as served:
        held = await working(served, 2)
        assert (await served.get("/health")).status_code == 200
        assert (await served.get("/ready")).status_code == 200
        refused = await served.get("/v1/status")
        assert refused.status_code == 503
        assert "all connections of this listener are at work" in refused.text
        assert served.operations.blocks is not None
        served.operations.blocks.set()
        for writer in held:
            writer.close()


async def test_one_client_holds_its_share_and_no_more() -> None:
    async with serving(per_client=2) as served:
        held = await working(served, 2)
        refused = await served.get("/v1/status")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert "STOA_CONTROL_MAX_CONNECTIONS_PER_CLIENT" in refused.text
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, local_addr=("127.0.0.2", 0)
        )
        writer.write(f"GET /v1/status HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())
        assert (await until_closed(reader)).startswith(b"HTTP/1.1 200")
        assert served.operations.blocks is not None
        served.operations.blocks.set()
        for other in (*held, writer):
            other.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8000", 200), ("stoa.localhost", 200), ("127.0.0.1", 200),
        ("[::1]:8000", 200), ("10.1.2.3:8000", 200), ("stoa.example.com", 200), ("a.internal", 200),
        ("stoa.example.com.", 200), ("evil.example", 421), ("evil.example:8000", 421),
        ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421), ("internal", 421),
        ("x.stoa.example.com", 421), ("0x7f.1", 421), ("notlocalhost", 421),
    ],
)  # fmt: skip
async def test_requests_by_other_names_are_misdirected(
    served: Served, host: str, status: int
) -> None:
    for path in ("/metrics", "/v1/status"):
        answer = await served.get(path, Host=host)
        assert answer.status_code == status, path
        if status == 421:
            assert "STOA_CONTROL_HOSTS" in answer.text
            assert "evil" not in answer.text


async def test_probes_and_signed_deliveries_come_by_any_name(served: Served) -> None:
    for path in ("/health", "/ready"):
        assert (await served.get(path, Host="evil.example")).status_code == 200
    headers = {"Host": "evil.example", "X-Hub-Signature-256": "sha256=00"}
    answer = await served.client.post("/v1/webhooks/git", headers=headers, content=b"{}")
    assert answer.status_code == 401


async def test_an_asterisk_lists_every_name() -> None:
    assert HostNames(["*"]).allows("evil.example")
    assert not HostNames(["evil.example.org"]).allows("evil.example")


@pytest.mark.parametrize("path", ["/v1/webhooks/git", "/v1/gateways/a/suspend", "/health", "/no"])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_what_claims_to_be_compressed_and_is_not_is_no_internal_error(
    served: Served, caplog: pytest.LogCaptureFixture, path: str, coding: str
) -> None:
    headers = {"Content-Encoding": coding, "X-Hub-Signature-256": "sha256=00"}
    answer = await served.client.post(path, headers=headers, content=b"no such thing")
    assert answer.status_code in (400, 401, 404, 405)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_signature_is_over_the_bytes_that_are_sent(served: Served) -> None:
    body = gzip.compress(b"{}")
    sent = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Encoding": "gzip", "X-Hub-Signature-256": f"sha256={sent}"}
    answer = await served.client.post("/v1/webhooks/git", headers=headers, content=body)
    assert answer.status_code == 202


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue", "200-maybe", "x=y"])
async def test_an_expectation_is_met_or_left_unmet_and_the_answer_is_ours(
    served: Served, expectation: str
) -> None:
    reader, writer = await connect(served)
    writer.write(f"GET /health HTTP/1.1\r\nHost: x\r\nExpect: {expectation}\r\n".encode())
    writer.write(b"Connection: close\r\n\r\n")
    text = await until_closed(reader)
    assert text.endswith(b'{"status": "ok"}')
    assert text.startswith(b"HTTP/1.1 100") == (expectation.lower() == "100-continue")
    writer.close()
