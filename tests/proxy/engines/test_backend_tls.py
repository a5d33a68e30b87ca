"""TLS to backends: what the gateway shows there, by whom it knows them, and whose connections."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from stoa_proxy.core.backend import Backend
from stoa_proxy.core.backend_health import Probed
from stoa_proxy.core.balancing import ActiveCheck
from stoa_proxy.foundation.upstream_tls import upstream_tls

from tests.pki import Authority, Issued, TlsUpstream, serving
from tests.proxy.conftest import Api, Upstream, route_body, running

NAME = "backend.test"


class StrictServer(threading.Thread):
    """Serves a connection after the other, and sends the alerts that asyncio's servers keep back.

    `requests` has what came on those whose certificate it took.
    """

    def __init__(self, shown: Issued, client_ca: Authority, version: ssl.TLSVersion) -> None:
        super().__init__(daemon=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = version
        context.load_cert_chain(shown.certificate_file, shown.key_file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca.pem)
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self.requests: list[bytes] = []

    def run(self) -> None:
        with contextlib.suppress(OSError):  # the socket is closed
            while True:
                self._serve(self._socket.accept()[0])

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(60)
        link = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with link, contextlib.suppress(OSError):
            try:
                link.do_handshake()
            except ssl.SSLError:
                # In order: a reset may overtake the alert, which nobody reads then.
                link.shutdown(socket.SHUT_WR)
                while link.recv(65536):
                    pass
                return
            self.requests.append(link.recv(65536))
            link.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            link.unwrap()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join(60)


@contextlib.contextmanager
def strictly_serving(
    shown: Issued, client_ca: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[StrictServer]:
    server = StrictServer(shown, client_ca, version)
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "of the backend")


@pytest.fixture
async def backend(authority: Authority) -> AsyncIterator[TlsUpstream]:
    async with serving(authority.issue("server", NAME), authority) as upstream:
        yield upstream


def tls(authority: Authority, client: Issued | None = None, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"ca": authority.pem, "server_name": NAME}
    if client is not None:
        body |= {"certificate": client.certificate, "key": client.key}
    return {**body, **fields}


async def why(answer: Any) -> tuple[int, str, str]:
    body = json.loads(await answer.text())
    return answer.status, body["type"].rpartition(":")[2], body["detail"]


async def test_a_backend_gets_the_certificate_of_its_route(
    api: Api, backend: TlsUpstream, authority: Authority
) -> None:
    await api.route(backend.url, backend_tls=tls(authority, authority.issue("gateway")))
    for _ in range(3):
        assert (await api.get("/a")).status == 200
    assert backend.callers == ["gateway"] * 3
    assert len(backend.connections) == 1, "a connection is kept for its own"


async def test_a_body_goes_both_ways_and_so_does_another_method(
    api: Api, backend: TlsUpstream, authority: Authority
) -> None:
    await api.route(backend.url, backend_tls=tls(authority, authority.issue("gateway")))
    answer = await api.send("POST", "/a", data=b"x" * 300_000)
    assert (answer.status, await answer.json()) == (200, {"caller": "gateway"})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "of another issuer"])
async def test_a_backend_that_refuses_the_certificate_is_said_to_do_so(
    api: Api, authority: Authority, tmp_path: Path, shown: str, version: ssl.TLSVersion
) -> None:
    other = Authority(tmp_path / "other", "somebody else").issue("gateway")
    client = None if shown == "none" else other
    with strictly_serving(authority.issue("server", NAME), authority, version) as backend:
        await api.route(backend.url, backend_tls=tls(authority, client))
        for _ in range(5):
            assert await why(await api.get("/a")) == (
                502,
                "upstream-tls-failed",
                "The upstream does not take the gateway's certificate, or wants one.",
            )
        assert not backend.requests
        await api.route(backend.url, backend_tls=tls(authority, authority.issue("gateway")))
        assert (await api.get("/a")).status == 204


@pytest.mark.parametrize(
    ("version", "kind"),
    [(ssl.TLSVersion.TLSv1_2, "tls-failed"), (ssl.TLSVersion.TLSv1_3, "no-answer")],
)
async def test_a_backend_that_goes_without_a_word_is_a_failure_too(
    api: Api, authority: Authority, version: ssl.TLSVersion, kind: str
) -> None:
    async with serving(authority.issue("server", NAME), authority, version) as backend:
        await api.route(backend.url, backend_tls=tls(authority))
        assert (await why(await api.get("/a")))[:2] == (502, f"upstream-{kind}")


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("issuer", "The upstream's certificate is of no issuer that is trusted."),
        ("no ca", "The upstream's certificate is of no issuer that is trusted."),
        ("name", "The upstream's certificate has another name."),
        ("no name", "The upstream's certificate has another name."),
        ("expired", "The upstream's certificate has expired."),
        ("early", "The upstream's certificate is not valid yet."),
    ],
)
async def test_a_backend_is_not_called_unless_its_certificate_proves_it(
    api: Api, authority: Authority, tmp_path: Path, fault: str, detail: str
) -> None:
    days = {"expired": (-9, -2), "early": (2, 9)}.get(fault, (-1, 1))
    client = authority.issue("gateway")
    wanted = tls(authority, client)
    if fault == "issuer":
        wanted["ca"] = Authority(tmp_path / "other", "somebody else").pem
    elif fault == "no ca":
        del wanted["ca"]
    elif fault == "name":
        wanted["server_name"] = "other.test"
    elif fault == "no name":
        del wanted["server_name"]
    async with serving(authority.issue("server", NAME, days=days), authority) as backend:
        await api.route(backend.url, backend_tls=wanted)
        assert await why(await api.get("/a")) == (502, "upstream-tls-failed", detail)
        assert not backend.callers


async def test_without_a_field_the_systems_issuers_decide(
    api: Api, authority: Authority, backend: TlsUpstream
) -> None:
    await api.route(backend.url)
    status, kind, _ = await why(await api.get("/a"))
    assert (status, kind) == (502, "upstream-tls-failed")


async def test_plain_text_behind_an_https_url_is_no_tls(
    api: Api, authority: Authority, upstream: Upstream
) -> None:
    await api.route(f"https://127.0.0.1:{upstream.port}", backend_tls=tls(authority))
    expected = (502, "upstream-tls-failed", "There is no TLS connection to the upstream.")
    assert await why(await api.get("/a")) == expected


async def test_two_tenants_never_share_a_connection(
    api: Api, backend: TlsUpstream, authority: Authority
) -> None:
    clients = {tenant: authority.issue(tenant) for tenant in ("acme", "shop")}
    same = authority.issue("same")
    for tenant, client in clients.items():
        for prefix, shown in ((f"/{tenant}", client), (f"/{tenant}-same", same)):
            await api.route(
                backend.url, prefix, id=prefix, tenant_id=tenant,
                backend_tls=tls(authority, shown),
            )  # fmt: skip
    paths = ["/acme", "/shop", "/acme-same", "/shop-same"]

    async def call(path: str) -> None:
        answer = await api.get(path, {"X-Caller": path})
        assert (await answer.json())["caller"] == path.strip("/").removeprefix(
            "acme-" if path.endswith("same") else ""
        ).removeprefix("shop-" if path.endswith("same") else "")

    for _ in range(5):  # in turn, so that a connection is kept whenever the other one asks
        for path in paths:
            await call(path)
    await asyncio.gather(*(call(path) for path in paths * 10))
    assert all(len(callers) == 1 for callers in backend.connections.values())


async def test_a_connection_without_a_certificate_is_not_used_for_one_with_it(
    api: Api, authority: Authority
) -> None:
    async with serving(authority.issue("server", NAME), None) as backend:
        await api.route(backend.url, "/a", backend_tls=tls(authority))
        await api.route(
            backend.url, "/b", id="r2", backend_tls=tls(authority, authority.issue("gateway"))
        )
        for path in ("/a", "/b", "/a", "/b"):
            await api.get(path, {"X-Caller": path})
        assert list(map(len, backend.connections.values())) == [1, 1]


async def test_a_key_that_is_replaced_under_load_loses_no_request(
    api: Api, backend: TlsUpstream, authority: Authority
) -> None:
    is_over = False
    answered: list[int] = []

    async def load() -> None:
        while not is_over:
            answered.append((await api.get("/a")).status)

    def route(name: str) -> Any:
        return api.route(backend.url, backend_tls=tls(authority, authority.issue(name)))

    await route("gateway-0")
    workers = [asyncio.create_task(load()) for _ in range(4)]
    async with asyncio.timeout(60):
        for number in range(1, 6):
            await route(f"gateway-{number}")
            written = len(backend.callers)
            while f"gateway-{number}" not in backend.callers[written:]:
                await asyncio.sleep(0)
    is_over = True
    await asyncio.gather(*workers)
    assert set(answered) == {200}
    before = len(backend.callers)
    assert (await api.get("/a")).status == 200
    assert backend.callers[before:] == ["gateway-5"], "the old one is never shown again"


async def test_connections_of_a_replaced_key_are_closed_once_they_are_idle(
    backend: TlsUpstream, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_proxy.engines.complete.upstream.pool._KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr("stoa_proxy.engines.complete.upstream.pool._SWEEP_SECONDS", 0.01)
    async with running() as api:
        for name in ("old", "new"):
            shown = tls(authority, authority.issue(name))
            await api.route(backend.url, backend_tls=shown)
            assert (await api.get("/a")).status == 200
        async with asyncio.timeout(30):
            while not all(link.is_closing() for link in backend.connections):  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
    assert backend.callers == ["old", "new"]


async def test_of_several_backends_each_has_its_own(
    api: Api, backend: TlsUpstream, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "of another backend")
    async with serving(other.issue("server", "other.test"), other) as second:
        upstreams = [
            {"url": backend.url, "tls": tls(authority, authority.issue("one"))},
            {"url": second.url, "tls": tls(other, other.issue("two"), server_name="other.test")},
        ]
        await api.route(backend.url, upstreams=upstreams, load_balancer="round_robin")
        for _ in range(4):
            assert (await api.get("/a")).status == 200
        assert (backend.callers, second.callers) == (["one"] * 2, ["two"] * 2)


@pytest.mark.parametrize("fault", ["issuer", "certificate", "key not here"])
async def test_where_one_handshake_fails_another_backend_is_asked_whatever_the_method(
    api: Api, backend: TlsUpstream, authority: Authority, tmp_path: Path, fault: str
) -> None:
    other = Authority(tmp_path / "other", "of another backend")
    with strictly_serving(other.issue("server", "other.test"), other) as second:
        wrong = tls(other, other.issue("two"), server_name="other.test")
        if fault == "issuer":
            wrong["ca"] = authority.pem
        elif fault == "certificate":
            wrong = tls(other, authority.issue("two"), server_name="other.test")
        else:
            wrong["key"] = None
        upstreams = [
            {"url": backend.url, "tls": tls(authority, authority.issue("one"))},
            {"url": second.url, "tls": wrong},
        ]
        await api.route(backend.url, upstreams=upstreams, load_balancer="round_robin")
        statuses = [(await api.send("POST", "/a")).status for _ in range(6)]
        assert statuses == [200] * 6
        assert second.requests == []


async def test_a_fallback_gets_no_certificate_and_is_asked_where_the_handshake_fails(
    api: Api, backend: TlsUpstream, upstream: Upstream, authority: Authority, tmp_path: Path
) -> None:
    wrong = Authority(tmp_path / "other", "somebody else").pem
    shown = tls(authority, authority.issue("gateway"), ca=wrong)
    await api.route(backend.url, backend_tls=shown, fallback_url=upstream.url)
    answer = await api.get("/a")
    assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, "tls-failed")
    # The failure of one keeps nobody else from the same host and port.
    right = tls(authority, authority.issue("shop"))
    await api.route(
        backend.url, "/b", id="r2", tenant_id="shop", backend_tls=right, fallback_url=upstream.url
    )
    answer = await api.get("/b")
    assert (answer.status, "X-Stoa-Fallback" in answer.headers) == (200, False)
    assert (await api.get("/a")).headers["X-Stoa-Fallback"] == "upstream-down"


@pytest.mark.parametrize("missing", ["certificate", "key", "ca"])
async def test_what_could_not_be_resolved_is_503_and_asks_nobody(
    api: Api, backend: TlsUpstream, upstream: Upstream, authority: Authority, missing: str
) -> None:
    shown = {**tls(authority, authority.issue("gateway")), missing: None}
    await api.route(backend.url, backend_tls=shown)
    status, kind, _ = await why(await api.get("/a"))
    assert (status, kind) == (503, "credential-unresolved")
    await api.route(backend.url, backend_tls=shown, fallback_url=upstream.url)
    answer = await api.get("/a")
    assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, "credential-unresolved")
    read = await (await api.admin("GET", "/admin/apis/r1")).json()
    assert read["backend_tls"]["value_set"] is False
    assert not backend.callers


async def test_checks_of_health_show_the_same_certificate(
    authority: Authority, backend: TlsUpstream
) -> None:
    other = {"url": "http://127.0.0.1:9", "weight": 1}
    shown = {"url": backend.url, "tls": tls(authority, authority.issue("gateway"))}
    check = {"active": {"path": "/healthz", "interval_ms": 100}}
    async with running() as api:
        await api.route(backend.url, upstreams=[shown, other], health_check=check)
        async with asyncio.timeout(30):
            while len(backend.callers) < 2:
                await asyncio.sleep(0.01)
        assert set(backend.callers) == {"gateway"}


async def test_nothing_of_the_material_is_read_back(
    api: Api, backend: TlsUpstream, authority: Authority
) -> None:
    client = authority.issue("gateway")
    await api.route(backend.url, backend_tls=tls(authority, client))
    read = await (await api.admin("GET", "/admin/apis/r1")).json()
    assert set(read["backend_tls"]) == {
        "server_name", "has_certificate", "has_ca", "value_set", "fingerprint",
    }  # fmt: skip
    shown = json.dumps(read)
    for text in (client.key, client.certificate, authority.pem):
        assert text.splitlines()[1] not in shown
    await api.route(backend.url, backend_tls=tls(authority, authority.issue("gateway")))
    again = await (await api.admin("GET", "/admin/apis/r1")).json()
    assert again["backend_tls"]["fingerprint"] != read["backend_tls"]["fingerprint"]


BASE: dict[str, Any] = {"ca": "CA", "certificate": "CERT", "key": "KEY"}


@pytest.mark.parametrize(
    ("url", "body", "message"),
    [
        ("http://a.test", BASE, "backend_tls is for https URLs"),
        ("builtin:echo", BASE, "backend_tls is for https URLs"),
        ("https://a.test", {}, "must have a certificate, a ca or a server_name"),
        ("https://a.test", {"certificate": "CERT"}, "certificate and key belong together"),
        ("https://a.test", {"key": "KEY"}, "certificate and key belong together"),
        ("https://a.test", {**BASE, "ca": "x"}, "ca holds no certificates in PEM"),
        ("https://a.test", {**BASE, "key": "x"}, "certificate or key is no PEM"),
        ("https://a.test", {**BASE, "key": "OTHER"}, "key is not that of certificate"),
        ("https://a.test", {**BASE, "key": "LOCKED"}, "the key has a pass phrase"),
        ("https://a.test", {**BASE, "server_name": "a b"}, "must be a host name or an address"),
        ("https://a.test", {**BASE, "verify": False}, "verify"),
    ],
)
async def test_what_cannot_be_used_is_refused_with_the_reason_and_nothing_of_it(
    api: Api, authority: Authority, url: str, body: dict[str, Any], message: str
) -> None:
    client, other = authority.issue("gateway"), authority.issue("other")
    locked = authority.issue("locked", password=b"secret")
    texts = {
        "CA": authority.pem, "CERT": client.certificate, "KEY": client.key, "OTHER": other.key,
        "LOCKED": locked.key,
    }  # fmt: skip
    sent = {
        name: texts.get(text, text) if isinstance(text, str) else text
        for name, text in body.items()
    }
    answer = await api.admin("POST", "/admin/apis", route_body(url, backend_tls=sent))
    text = await answer.text()
    assert answer.status == 400
    assert message in text
    assert not [part for part in texts.values() if part.splitlines()[1] in text]


async def test_a_restart_keeps_nothing_of_it_on_disk_and_asks_for_it_again(
    tmp_path: Path, backend: TlsUpstream, authority: Authority
) -> None:
    client = authority.issue("gateway")
    shown = tls(authority, client)
    state = str(tmp_path / "state")
    async with running(state_dir=state) as before:
        await before.route(backend.url, backend_tls=shown)
        upstreams = [{"url": backend.url, "tls": shown}, {"url": "http://127.0.0.1:9"}]
        await before.route(backend.url, "/b", id="r2", upstreams=upstreams)
        assert (await before.get("/a")).status == 200
    written = b"".join(one.read_bytes() for one in Path(state).rglob("*") if one.is_file())
    assert b"/b" in written
    for text in (client.key, client.certificate, authority.pem):
        assert text.splitlines()[1].encode() not in written
    async with running(state_dir=state) as after:
        status, kind, _ = await why(await after.get("/a"))
        assert (status, kind) == (503, "credential-unresolved")
        await after.route(backend.url, backend_tls=shown)
        assert (await after.get("/a")).status == 200


def test_checks_of_one_backend_by_two_certificates_have_two_names() -> None:
    names = {
        Probed("acme", Backend("https", "a.test", 443, "", "", identity), ActiveCheck("/up")).name
        for identity in (None, upstream_tls("acme", ca="a"), upstream_tls("acme", ca="b"))
    }
    assert len(names) == 3


def test_an_authority_of_tests_makes_what_it_says(authority: Authority) -> None:
    days = authority.issue("short", days=(-9, -2)).not_after
    assert days < dt.datetime.now(dt.UTC)
