"""Routes of STOA's gateways: who registers, is heard and fetches, and what goes wrong."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stoa_gitops.control.fleet_port import GatewayConfig, Published
from stoa_gitops.control.process_port import Conflict
from stoa_gitops.errors import StoreError
from stoa_gitops.fleet.health import GatewayStatus
from stoa_gitops.fleet.keys import GatewayKeys
from stoa_gitops.store import UsageRow
from tests.unit.control.conftest import KEY, Served

OTHER = "gw_prod_" + "9" * 32
ANY = "a-key-that-names-no-environment"
BODY = {
    "hostname": "inst-edge", "mode": "edge-mcp", "version": "0.9.25", "environment": "dev",
    "capabilities": ["rest", "mcp"], "admin_url": "http://127.0.0.1:18101",
}  # fmt: skip
BEAT = {
    "uptime_seconds": 30, "routes_count": 1, "policies_count": 2, "discovered_apis": 15,
    "requests_total": 100, "error_rate": 0.0,
}  # fmt: skip
GATEWAYS = "/v1/internal/gateways"


class Caller:
    """A gateway by its calls; `served` is what it calls."""

    def __init__(self, served: Served, key: str = KEY) -> None:
        self.served = served
        self.key = key

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"X-Gateway-Key": self.key, "Authorization": "", **more.pop("headers", {})}
        return await self.served.client.request(method, path, headers=headers, **more)

    async def register(self, **fields: Any) -> httpx.Response:
        return await self.ask("POST", f"{GATEWAYS}/register", json={**BODY, **fields})

    async def registered(self, **fields: Any) -> str:
        response = await self.register(**fields)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def beat(self, gateway_id: str, **fields: Any) -> httpx.Response:
        body = {name: value for name, value in {**BEAT, **fields}.items() if value != "absent"}
        # json.dumps writes NaN and Infinity, which httpx would refuse to send.
        path = f"{GATEWAYS}/{gateway_id}/heartbeat"
        return await self.ask("POST", path, content=json.dumps(body))


@pytest.fixture
def caller(served: Served) -> Caller:
    served.credentials.gateway_keys = GatewayKeys.parse(f"{KEY},{OTHER},{ANY}")
    return Caller(served)


def detail(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    return str(response.json()["detail"])


# registration


async def test_a_registration_is_201_with_what_the_real_gateway_needs(caller: Caller) -> None:
    response = await caller.register(unknown={"a": 1})
    assert response.status_code == 201
    found = response.json()
    assert (found["name"], found["status"], found["mode"]) == (
        "inst-edge-edgemcp-dev", "online", "edge-mcp",
    )  # fmt: skip
    assert found["auth_config"] == {"type": "gateway_key"}
    assert found["gateway_type"] == "stoa_edge_mcp"
    assert found["base_url"] == BODY["admin_url"]
    assert len(found["id"]) == 36
    again = await caller.register(version="0.9.26", mode="edge_mcp", environment="development")
    assert (again.status_code, again.json()["id"]) == (201, found["id"])
    assert again.json()["version"] == "0.9.26"


async def test_no_connection_waits_for_the_half_minute_after_a_registration(caller: Caller) -> None:
    response = await caller.register()
    assert response.headers["connection"] == "close"
    beat = await caller.beat(response.json()["id"])
    assert "close" not in beat.headers.get("connection", "")


async def test_all_documented_fields_come_back(caller: Caller) -> None:
    sent = {
        "tenant_id": "acme", "target_gateway_url": "http://127.0.0.1:8001",
        "public_url": "https://gw.example.test", "ui_url": "https://ui.example.test",
        "endpoints": {"admin": "http://x"}, "deployment_mode": "sidecar",
        "target_gateway_type": "kong", "topology": "same-pod",
    }  # fmt: skip
    response = await caller.register(mode="sidecar", topology_proof={"pod": "p1"}, **sent)
    assert {name: response.json()[name] for name in sent} == sent


async def test_a_registration_is_stored_and_audited_before_it_is_answered(caller: Caller) -> None:
    gateway_id = await caller.registered()
    records = caller.served.records
    assert records.held[gateway_id].registration.hostname == "inst-edge"
    (entry,) = records.entries
    assert (entry.action, entry.status, entry.gateway) == (
        "register", "registered", "inst-edge-edgemcp-dev",
    )  # fmt: skip
    assert entry.actor.startswith("gateway key ")
    assert entry.actor.endswith("from 127.0.0.1")
    assert KEY not in f"{entry}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("admin_url", "http://10.9.9.9:1"), ("version", "1.0"), ("tenant_id", "acme")],
)
async def test_a_change_is_audited_and_a_repetition_is_not(
    caller: Caller, field: str, value: str
) -> None:
    await caller.registered()
    await caller.registered()
    assert len(caller.served.records.entries) == 1
    await caller.registered(**{field: value})
    assert f"changed: {field}" in caller.served.records.entries[-1].message
    assert caller.served.records.entries[-1].status == "updated"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"mode": "nonsense"}, "mode"), ({"mode": 1}, "mode"), ({"hostname": " "}, "hostname"),
        ({"hostname": "a\nregister: forged"}, "hostname"), ({"hostname": None}, "hostname"),
        ({"version": "1\x9b2J"}, "version"), ({"tenant_id": "a\u202eemca"}, "tenant_id"),
        ({"admin_url": "http://a\u2028b"}, "admin_url"), ({"hostname": "a\u2066b"}, "hostname"),
        ({"version": None}, "version"), ({"capabilities": "rest"}, "capabilities"),
        ({"capabilities": [1]}, "capabilities"), ({"admin_url": "x" * 3000}, "admin_url"),
        ({"admin_url": "http://me:hunter2@10.0.0.1"}, "admin_url"),
        ({"public_url": "//me:hunter2@10.0.0.1"}, "public_url"),
        ({"admin_url": "http://[::1"}, "admin_url"), ({"environment": "///"}, "environment"),
        ({"environment": ["dev"]}, "environment"),
        ({"topology_proof": {"a": "x" * 5000}}, "topology_proof"),
    ],
)  # fmt: skip
async def test_wrong_fields_are_422_and_named(
    caller: Caller, fields: dict[str, Any], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = detail(await caller.register(**fields), 422)
    assert named in said
    assert len(caller.served.fleet.fleet) == 0
    await caller.served.fleet.tick()
    assert "hunter2" not in said + caplog.text + str(caller.served.records.entries)


@pytest.mark.parametrize("key", ["a\nregister: forged", "a\x1b[2J", "x\u2028y", "k" * 7_000])
async def test_a_key_of_a_body_is_no_line_of_the_log(
    caller: Caller, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = detail(await caller.register(endpoints={key: 1}), 422)
    await caller.served.fleet.tick()
    for text in (said, *caplog.messages, caller.served.records.entries[-1].message):
        assert text.isprintable()
        assert len(text) < 1_000


@pytest.mark.parametrize(
    "hostname",
    [
        "\u30b2\u30fc\u30c8",
        "h" * 300,
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "a_b",
        "A.B",
    ],
)
async def test_any_host_name_gets_a_name_that_documents_can_have(
    caller: Caller, hostname: str
) -> None:
    first = await caller.register(hostname=hostname)
    assert first.status_code == 201
    name = first.json()["name"]
    assert len(name) <= 63
    assert name.replace("-", "").isalnum()
    assert name.isascii()
    other = await caller.register(hostname=hostname + "x")
    assert other.json()["name"] != name
    held = caller.served.records.held[first.json()["id"]]
    assert held.registration.hostname == hostname, "kept as given, for display"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"\xff",
        b'{"a":' * 1_500,
        b"[" * 8_000,
        b'{"hostname":"\\ud800"}',
    ],
    ids=["empty", "list", "half", "null", "bytes", "deep objects", "deep lists", "surrogate"],
)
async def test_a_body_that_is_no_registration_is_422(caller: Caller, content: bytes) -> None:
    detail(await caller.ask("POST", f"{GATEWAYS}/register", content=content), 422)


@pytest.mark.parametrize(
    ("path", "most"), [("register", 8 << 10), ("0/heartbeat", 16 << 10), ("0/sync-ack", 4 << 20)]
)
async def test_large_bodies_are_413_whether_their_length_is_told_or_not(
    caller: Caller, path: str, most: int
) -> None:
    async def untold() -> Any:
        for _ in range(most // 4096 + 1):
            yield b" " * 4096

    for content in (b" " * (most + 1), untold()):
        response = await caller.ask("POST", f"{GATEWAYS}/{path}", content=content)
        assert f"{most} bytes at most" in detail(response, 413)


async def test_fifty_megabytes_are_refused_before_they_are_read(caller: Caller) -> None:
    reader, writer = await _connect(caller.served)
    head = f"POST {GATEWAYS}/register HTTP/1.1\r\nHost: x\r\nX-Gateway-Key: {KEY}\r\n"
    writer.write(f"{head}Content-Length: {50 << 20}\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_two_slashes_at_the_start_of_a_path_are_one(caller: Caller) -> None:
    # Whole, for httpx takes what follows two slashes for a host.
    url = f"http://127.0.0.1:{caller.served.port}/{GATEWAYS}"
    response = await caller.ask("POST", f"{url}/register", json=BODY)
    assert response.status_code == 201
    path = f"{url}/{response.json()['id']}/heartbeat"
    assert (await caller.ask("POST", path, json=BEAT)).status_code == 204


async def test_a_service_s_name_in_host_is_no_misdirection_for_a_gateway(caller: Caller) -> None:
    headers = {"Host": "control-plane-api.stoa-system.svc.cluster.local:8000"}
    response = await caller.ask("POST", f"{GATEWAYS}/register", json=BODY, headers=headers)
    assert response.status_code == 201


# keys


async def test_without_any_key_configured_registration_is_503(caller: Caller) -> None:
    caller.served.credentials.gateway_keys = None
    response = await caller.register()
    assert "no GATEWAY_API_KEYS configured" in detail(response, 503)
    assert response.headers["retry-after"]


async def test_an_unknown_key_is_no_wrong_one_while_the_keys_are_in_doubt(caller: Caller) -> None:
    """A gateway that gets a 401 never tries again, and its key may stand in the new file."""
    caller.served.credentials.keys_in_doubt = "the file of keys cannot be read"
    response = await Caller(caller.served, "gw_dev_unknown").register()
    assert "cannot be read" in detail(response, 503)
    assert response.headers["retry-after"] == "30"
    detail(await Caller(caller.served, "").register(), 401)
    assert (await caller.register()).status_code == 201
    caller.served.credentials.keys_in_doubt = ""
    detail(await Caller(caller.served, "gw_dev_unknown").register(), 401)


async def test_a_wrong_key_is_401_and_audited_once_a_minute_with_its_fingerprint(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Caller(caller.served, "gw_dev_wrong-key-of-somebody")
    for _ in range(50):
        assert "Invalid gateway key" in detail(await wrong.register(), 401)
    await caller.served.fleet.tick()
    (entry,) = caller.served.records.entries
    assert (entry.action, entry.status) == ("register", "refused")
    assert entry.actor.endswith("from 127.0.0.1")
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert "register" in said[0]
    assert "wrong-key" not in said[0] + str(entry)


async def test_a_key_of_another_environment_is_403_and_says_to_restart(caller: Caller) -> None:
    gateway_id = await caller.registered()
    other = Caller(caller.served, OTHER)
    for response in (
        await other.register(),
        await other.beat(gateway_id),
        await other.ask("GET", f"{GATEWAYS}/{gateway_id}/config"),
        await other.ask("GET", f"{GATEWAYS}/{gateway_id}/table"),
        await other.ask("GET", f"{GATEWAYS}/routes?gateway_name=inst-edge-edge-mcp-dev"),
        await other.ask("DELETE", f"{GATEWAYS}/{gateway_id}"),
    ):
        text = detail(response, 403)
        assert "prod" in text
        assert "restart" in text
    assert (await other.register(environment="PRODUCTION")).status_code == 201
    assert (await Caller(caller.served, ANY).register()).status_code == 201


# heartbeats


async def test_heartbeats_are_204_and_unknown_ids_404(caller: Caller) -> None:
    gateway_id = await caller.registered()
    response = await caller.beat(gateway_id)
    assert (response.status_code, response.content) == (204, b"")
    for unknown in ("nope", "11111111-2222-4333-8444-555555555555", "%2e%2e", "x" * 300):
        assert "register again" in detail(await caller.beat(unknown), 404)
    caller.served.fleet.fleet.forget(gateway_id)
    detail(await caller.beat(gateway_id), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uptime_seconds", "absent"), ("uptime_seconds", -1), ("uptime_seconds", 10**30),
        ("uptime_seconds", float("nan")), ("uptime_seconds", "thirty"), ("uptime_seconds", None),
        ("requests_total", -5), ("requests_total", float("inf")), ("requests_total", [1]),
        ("error_rate", float("nan")), ("error_rate", -0.1), ("error_rate", 1.1),
        ("error_rate", 1e308), ("error_rate", "half"), ("routes_count", -1),
        ("policies_count", 1.5), ("discovered_apis", ["a", "b"]),
    ],
)  # fmt: skip
async def test_figures_that_make_no_sense_are_named_and_a_sign_of_life(
    caller: Caller, field: str, value: object
) -> None:
    gateway_id = await caller.registered()
    member = caller.served.fleet.get(gateway_id)
    caller.served.fleet.leave(gateway_id, _nobody())
    assert field in detail(await caller.beat(gateway_id, **{field: value}), 422)
    assert member.status is GatewayStatus.ONLINE
    assert member.figures is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 16_000, b"\xff\xfe"])
async def test_a_heartbeat_that_is_no_json_is_a_sign_of_life(
    caller: Caller, content: bytes
) -> None:
    gateway_id = await caller.registered()
    caller.served.fleet.leave(gateway_id, _nobody())
    path = f"{GATEWAYS}/{gateway_id}/heartbeat"
    detail(await caller.ask("POST", path, content=content), 422)
    assert caller.served.fleet.get(gateway_id).status is GatewayStatus.ONLINE


async def test_missing_and_unknown_figures_are_none(caller: Caller) -> None:
    gateway_id = await caller.registered()
    response = await caller.beat(gateway_id, requests_total="absent", error_rate=None, later=1)
    assert response.status_code == 204
    figures = caller.served.fleet.get(gateway_id).figures
    assert figures is not None
    assert (figures.uptime, figures.requests, figures.error_rate) == (30, None, None)


async def test_errors_degrade_and_the_next_registration_shows_it(caller: Caller) -> None:
    gateway_id = await caller.registered()
    await caller.beat(gateway_id, requests_total=100, error_rate=0.06)
    assert (await caller.register()).json()["status"] == "degraded"
    await caller.beat(gateway_id, requests_total=200, error_rate=0.03)
    response = await caller.register()
    assert response.json()["status"] == "online"
    assert response.json()["health_details"]["requests_total"] == 200


async def test_a_gateway_that_stops_is_offline_at_once_and_stays_registered(
    caller: Caller,
) -> None:
    gateway_id = await caller.registered()
    assert (await caller.ask("DELETE", f"{GATEWAYS}/{gateway_id}")).status_code == 204
    assert caller.served.fleet.get(gateway_id).status is GatewayStatus.OFFLINE
    assert (await caller.beat(gateway_id)).status_code == 204
    assert caller.served.fleet.get(gateway_id).status is GatewayStatus.ONLINE


async def test_heartbeats_are_logged_as_debug_with_that_word(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stoa_gitops")
    gateway_id = await caller.registered()
    await caller.beat(gateway_id)
    (said,) = [record for record in caplog.records if "heartbeat" in record.message]
    assert said.levelno == logging.DEBUG
    (registered,) = [record for record in caplog.records if "register:" in record.message]
    assert registered.levelno == logging.INFO
    assert KEY not in caplog.text


# a store that is out of reach


async def test_registrations_are_503_while_the_store_is_out_of_reach_and_heartbeats_count(
    caller: Caller,
) -> None:
    gateway_id = await caller.registered()
    caller.served.records.fails = StoreError("the disk is full")
    said = detail(await caller.register(hostname="new"), 503)
    assert "out of reach" in said
    assert "disk" not in said, "what the store says names files of this machine"
    detail(await caller.register(version="2"), 503)
    assert (await caller.beat(gateway_id)).status_code == 204
    await caller.served.fleet.tick()
    assert caller.served.fleet.troubles() == ["registrations are not stored: the disk is full"]
    assert len(caller.served.fleet.fleet) == 1, "the new one is not half there"
    caller.served.records.fails = None
    await caller.served.fleet.tick()
    assert caller.served.fleet.troubles() == []
    assert caller.served.records.held[gateway_id].registration.version == "2"
    assert "changed: version" in str(caller.served.records.entries)
    assert (await caller.register(hostname="new")).status_code == 201


# what gateways fetch


@pytest.mark.parametrize(
    "name", ["inst-edge-edge-mcp-dev", "inst-edge-edgemcp-dev", "inst-edge-edge_mcp-development"]
)
async def test_routes_come_with_a_tag_for_every_spelling_of_a_name(
    caller: Caller, name: str
) -> None:
    gateway_id = await caller.registered()
    caller.served.publishing.published[gateway_id] = Published("abc", b'[{"id":"r1"}]')
    path = f"{GATEWAYS}/routes?gateway_name={name}&later=1"
    response = await caller.ask("GET", path)
    assert (response.status_code, response.json()) == (200, [{"id": "r1"}])
    assert response.headers["content-type"].startswith("application/json")
    for tags in ('"abc"', 'W/"abc"', '"x", "abc"', "*"):
        again = await caller.ask("GET", path, headers={"If-None-Match": tags})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == '"abc"'
    other = await caller.ask("GET", path, headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    assert (await caller.ask("HEAD", path)).content == b""


async def test_what_is_not_known_is_never_an_empty_list(caller: Caller) -> None:
    gateway_id = await caller.registered()
    for path, status in (
        (f"{GATEWAYS}/routes?gateway_name=inst-edge-edge-mcp-dev", 503),
        (f"{GATEWAYS}/{gateway_id}/table", 503),
        (f"{GATEWAYS}/routes?gateway_name=nobody", 404),
        (f"{GATEWAYS}/routes", 422),
    ):
        response = await caller.ask("GET", path)
        detail(response, status)
        assert ("retry-after" in response.headers) == (status == 503)
    caller.served.publishing.fails = Conflict("it is written to by its admin API")
    path = f"{GATEWAYS}/routes?gateway_name=inst-edge-edge-mcp-dev"
    detail(await caller.ask("GET", path), 409)
    caller.served.publishing.fails = StoreError("out of reach")
    detail(await caller.ask("GET", path), 503)


async def test_a_table_comes_as_json_lines(caller: Caller) -> None:
    gateway_id = await caller.registered(extensions=["table"])
    caller.served.publishing.published[gateway_id] = Published("t1", b"{}\n{}\n")
    response = await caller.ask("GET", f"{GATEWAYS}/{gateway_id}/table")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert (response.content, response.headers["etag"]) == (b"{}\n{}\n", '"t1"')


async def test_the_configuration_names_deployments_and_policies(caller: Caller) -> None:
    gateway_id = await caller.registered(tenant_id="acme")
    caller.served.publishing.given = GatewayConfig([{"id": "d1"}], [{"id": "p1"}])
    response = await caller.ask("GET", f"{GATEWAYS}/{gateway_id}/config")
    assert response.json() == {
        "gateway_id": gateway_id, "name": "inst-edge-edgemcp-dev", "environment": "dev",
        "tenant_id": "acme", "pending_deployments": [{"id": "d1"}],
        "pending_policies": [{"id": "p1"}],
    }  # fmt: skip


async def test_acknowledgements_count_the_gateway_s_own_and_failed_steps_fail(
    caller: Caller,
) -> None:
    gateway_id = await caller.registered()
    caller.served.publishing.own = frozenset({"d1", "d2"})
    good = {"name": "fetched", "status": "success", "detail": "ok"}
    bad = {"name": "applied", "status": "failed", "detail": "no such backend"}
    routes = [
        {"deployment_id": "d1", "status": "applied", "steps": [good], "generation": 3},
        {"deployment_id": "d2", "status": "applied", "steps": [good, bad]},
        {"deployment_id": "others", "status": "applied"},
    ]  # fmt: skip
    path = f"{GATEWAYS}/{gateway_id}/route-sync-ack"
    response = await caller.ask("POST", path, json={"synced_routes": routes, "sync_timestamp": "x"})
    assert response.json() == {"processed": 2, "not_found": 1}
    acks = [
        (ack.id, ack.status, ack.generation, ack.error) for ack in caller.served.publishing.acks
    ]
    assert acks == [
        ("d1", "applied", 3, None), ("d2", "failed", None, "no such backend"),
        ("others", "applied", None, None),
    ]  # fmt: skip
    policies = [{"policy_id": "p", "status": status} for status in ("applied", "failed", "failed")]
    path = f"{GATEWAYS}/{gateway_id}/sync-ack"
    response = await caller.ask("POST", path, json={"synced_policies": policies})
    assert response.json() == {"gateway_id": gateway_id, "applied": 1, "removed": 0, "failed": 2}


async def test_an_acknowledged_table_names_what_was_refused(caller: Caller) -> None:
    gateway_id = await caller.registered()
    path = f"{GATEWAYS}/{gateway_id}/table-ack"
    body = {
        "etag": '"t1"', "generation": 7, "status": "failed", "error": "one object",
        "objects": [{"kind": "apis", "id": "a1", "error": "no backend"}],
    }  # fmt: skip
    assert (await caller.ask("POST", path, json=body)).status_code == 204
    (ack,) = caller.served.publishing.tables
    assert (ack.etag, ack.generation, ack.status, ack.objects[0].error) == (
        "t1", 7, "failed", "no backend",
    )  # fmt: skip
    detail(await caller.ask("POST", path, json={**body, "status": "perhaps"}), 422)


async def test_tools_and_permissions_are_empty_and_apis_only_for_a_key(caller: Caller) -> None:
    gateway_id = await caller.registered()
    stranger = Caller(caller.served, "wrong")
    assert (await caller.ask("GET", f"{GATEWAYS}/tools")).json() == {"tools": []}
    generated = await caller.ask("GET", f"{GATEWAYS}/tools/generated?tenant_id=_default")
    assert generated.json() == {"tenant_id": "_default", "tools": [], "total": 0}
    detail(await stranger.ask("GET", f"{GATEWAYS}/tools"), 401)
    apis = f"/v1/internal/catalog/apis?gateway_id={gateway_id}"
    assert (await caller.ask("GET", apis)).json()["apis"][0]["id"] == "payments"
    assert (await stranger.ask("GET", apis)).json() == {"apis": []}
    detail(await Caller(caller.served, OTHER).ask("GET", apis), 403)
    expanded = "/v1/internal/catalog/apis/expanded?gateway_id=x"
    assert (await stranger.ask("GET", expanded)).json() == {"tools": []}
    permissions = "/v1/tenants/acme/tool-permissions?page_size=100"
    assert (await stranger.ask("GET", permissions)).json() == {"items": [], "total": 0}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.fixed_dictionaries({}, optional=dict.fromkeys(BODY, JSON)))
async def test_no_body_is_an_internal_error(caller: Caller, sent: dict[str, Any]) -> None:
    content = json.dumps({**BODY, **sent})
    response = await caller.ask("POST", f"{GATEWAYS}/register", content=content)
    assert response.status_code in (201, 422)
    gateway_id = await caller.registered()
    content = json.dumps(dict(zip(BEAT, sent.values(), strict=False)))
    path = f"{GATEWAYS}/{gateway_id}/heartbeat"
    assert (await caller.ask("POST", path, content=content)).status_code in (204, 422)


def _nobody() -> Any:
    from stoa_gitops.model.principal import Principal, PrincipalKind

    return Principal("nobody", PrincipalKind.ANONYMOUS)


async def _connect(served: Served) -> Any:
    import asyncio

    return await asyncio.open_connection("127.0.0.1", served.port)


# usage

USED = {
    "hour": 1780308000, "tenant_id": "acme", "api_id": "orders", "application_id": "mobile",
    "requests": 3, "errors": 1, "refused": 0, "received_bytes": 4, "sent_bytes": 5, "seconds": 0.5,
}  # fmt: skip
SOURCE = "0123456789abcdef"


async def test_usage_is_taken_in_the_name_of_the_gateway(caller: Caller) -> None:
    gateway_id = await caller.registered()
    path = f"{GATEWAYS}/{gateway_id}/usage"
    sent = {"source": SOURCE, "usage": [USED], "further": 1}
    assert (await caller.ask("POST", path, json=sent)).status_code == 204
    assert caller.served.operations.reports == [
        ("inst-edge-edgemcp-dev", SOURCE, UsageRow(*USED.values()))  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hour": 1780308001}, "hour"),
        ({"hour": 10**15}, "hour"),
        ({"requests": -1}, "requests"),
        ({"requests": 10**16}, "requests"),
        ({"seconds": float("nan")}, "seconds"),
        ({"api_id": "x" * 2000}, "api_id"),
        ({"tenant_id": "a\nb"}, "tenant_id"),
    ],
)
async def test_usage_that_makes_no_sense_is_refused_and_nothing_of_it_kept(
    caller: Caller, changed: dict[str, Any], said: str
) -> None:
    path = f"{GATEWAYS}/{await caller.registered()}/usage"
    sent = json.dumps({"source": SOURCE, "usage": [USED, {**USED, **changed}]})
    assert said in detail(await caller.ask("POST", path, content=sent), 422)
    assert caller.served.operations.reports == []


async def test_a_gateway_of_one_tenant_reports_no_usage_of_others(caller: Caller) -> None:
    path = f"{GATEWAYS}/{await caller.registered(tenant_id='acme')}/usage"
    for tenant, status in (("rival", 403), ("acme", 204)):
        sent = {"source": SOURCE, "usage": [{**USED, "tenant_id": tenant}]}
        assert (await caller.ask("POST", path, json=sent)).status_code == status


async def test_usage_needs_a_registered_gateway_a_key_and_bounds(caller: Caller) -> None:
    sent = {"source": SOURCE, "usage": [USED]}
    detail(await caller.ask("POST", f"{GATEWAYS}/nobody/usage", json=sent), 404)
    path = f"{GATEWAYS}/{await caller.registered()}/usage"
    wrong = {"X-Gateway-Key": "gw_dev_ffffffffffffffffffffffffffffffff"}
    assert (await caller.ask("POST", path, json=sent, headers=wrong)).status_code == 401
    for body in (b"", b"{}", json.dumps({"source": SOURCE, "usage": [USED] * 1001}).encode()):
        detail(await caller.ask("POST", path, content=body), 422)
    detail(await caller.ask("POST", path, content=b" " * (1024 * 1024 + 1)), 413)
    assert caller.served.operations.reports == []
