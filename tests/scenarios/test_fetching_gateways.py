"""Gateways that fetch their configuration, through everything that may happen around them."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from stoa_gitops.control.fleet_port import Acknowledged, TableAcknowledged
from stoa_gitops.control.process_port import Conflict, NotReady
from stoa_gitops.daemon import publication
from stoa_gitops.daemon.published_views import object_ids
from stoa_gitops.model.conditions import ConditionStatus
from stoa_gitops.operations.gateways import resume_gateway, suspend_gateway
from tests.scenarios.fleet_world import FleetWorld, api, document, usual_files


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FleetWorld]:
    async with FleetWorld(tmp_path).process() as made:
        yield made


def pushed_files(*apis: str) -> dict[str, str | None]:
    """The usual files with a document that has its gateways written to."""
    files = usual_files(*apis)
    document = str(files["gateways/edge.yaml"])
    files["gateways/edge.yaml"] = (
        document.replace("{match: {}}", "{match: {}, networks: [10.0.0.0/8]}")
        + "  auth: {type: bearer, tokenRef: {env: EDGE_TOKEN}}\n"
    )
    return files


async def refusal(world: FleetWorld, gateway_id: str) -> str:
    with pytest.raises(NotReady) as caught:
        await world.paths(gateway_id)
    return str(caught.value)


async def test_a_commit_is_what_every_gateway_of_the_document_gets(world: FleetWorld) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    await world.commit(usual_files("a", "b"), one, two)
    assert await world.paths(one) == await world.paths(two) == ["/apis/acme/a", "/apis/acme/b"]
    before = await world.published.table(one)
    await world.commit({"tenants/acme/apis/a/api.yaml": None}, one, two)
    assert await world.paths(one) == await world.paths(two) == ["/apis/acme/b"]
    assert (await world.published.table(one)).etag != before.etag


async def test_nothing_is_served_before_a_cycle_of_this_process(world: FleetWorld) -> None:
    one = world.register("pod-1")
    assert await refusal(world, one) == "the catalog has not been read yet"
    world.write(usual_files("a"))
    world.read()
    assert "nothing is published for edge/pod-1-edgemcp-prod yet" in await refusal(world, one)


async def test_what_an_earlier_process_published_is_compared_and_served_again(
    world: FleetWorld, tmp_path: Path
) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), one, two)
    table, routes = await world.published.table(one), await world.published.routes(two)
    async with world.process():
        world.read()
        for gateway_id in (one, two):
            await refusal(world, gateway_id)
            result = await world.cycle(gateway_id)
            assert result.report.plan.changes == ()
        assert await world.published.table(one) == table
        assert await world.published.routes(two) == routes


async def test_a_gateway_that_registers_again_under_another_address_gets_the_same(
    world: FleetWorld,
) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    table = await world.published.table(one)
    world.register("pod-1", admin_url="http://10.9.9.9:8080", version="0.2.0")
    world.read()
    result = await world.cycle(one)
    assert (result.report.plan.holds, result.report.plan.changes) == ((), ())
    assert await world.published.table(one) == table


async def test_a_tenants_folder_that_is_missing_empties_nobody(world: FleetWorld) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    await world.commit(usual_files("a", "b"), one, two)
    await world.commit({"tenants": None}, one, two)
    assert await world.paths(one) == await world.paths(two) == ["/apis/acme/a", "/apis/acme/b"]
    async with world.process():
        await world.commit({}, one, two)
        assert await world.paths(one) == await world.paths(two) == ["/apis/acme/a", "/apis/acme/b"]


async def test_an_empty_list_is_served_only_after_somebody_forced_it(world: FleetWorld) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), one, two)
    await world.commit({"tenants/acme/apis/a/api.yaml": None}, one, two)
    assert await world.paths(one) == await world.paths(two) == ["/apis/acme/a"]
    for gateway_id in (one, two):
        await world.cycle(gateway_id, force=True)
        assert await world.paths(gateway_id) == []
    # A real gateway acknowledges routes, and there are none: that it fetched them is all it says.
    assert world.condition(two, "Acknowledged").status is ConditionStatus.TRUE
    last = (await world.workspace.context.store.list_cycles(world.name(one), limit=1))[0]
    assert last.actor == "anna"
    async with world.process():
        await world.commit({}, one, two)
        assert await world.paths(one) == await world.paths(two) == []


async def test_nothing_at_all_is_not_an_empty_list(world: FleetWorld) -> None:
    one = world.register("pod-1", ours=False)
    await world.commit(usual_files(), one)
    assert "nothing is published" in await refusal(world, one)


async def test_a_catalog_that_breaks_changes_nothing(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a", "b"), one)
    table = await world.published.table(one)
    await world.commit({"tenants/acme/apis/a/api.yaml": "kind: ["}, one)
    assert await world.published.table(one) == table
    await world.commit({"gateways/edge.yaml": "kind: ["}, one)
    assert await world.published.table(one) == table
    await world.commit({"catalog.yaml": "kind: ["}, one)
    assert await world.published.table(one) == table


async def test_a_catalog_that_is_gone_at_the_start_changes_nothing(world: FleetWorld) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    await world.commit(usual_files("a", "b"), one, two)
    table, routes = await world.published.table(one), await world.published.routes(two)
    async with world.process():
        shutil.rmtree(world.folder / "catalog")
        world.read()
        for gateway_id in (one, two):
            await world.cycle(gateway_id)
        assert await world.published.table(one) == table
        assert await world.published.routes(two) == routes


async def test_two_documents_that_take_one_gateway_give_it_nothing_new(world: FleetWorld) -> None:
    one, two = world.register("pod-1"), world.register("pod-2")
    await world.commit(usual_files("a"), one, two)
    named = document(
        "GatewayInstance", "pod-1-edgemcp-prod", "gatewayType: stoa\nenvironment: prod"
    )
    await world.commit({"gateways/named.yaml": named}, two)
    assert "several documents take it" in await refusal(world, one)
    assert await world.paths(two) == ["/apis/acme/a"]


async def test_a_gateway_without_a_document_is_told_what_to_write(world: FleetWorld) -> None:
    one = world.register("pod-1", environment="dev")
    await world.commit(usual_files("a"))
    told = await refusal(world, one)
    assert "no document is called pod-1-edgemcp-dev or matches stoa_edge_mcp in dev" in told
    assert told.endswith("is for stoa_edge_mcp in prod): write one, gateways/*.yaml of the catalog")


async def test_a_document_that_is_gone_leaves_its_gateways_as_they_are(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    await world.commit({"gateways/edge.yaml": None})
    assert "no document" in await refusal(world, one)


async def test_nothing_is_known_of_a_gateway_that_was_forgotten(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    store, name = world.workspace.context.store, world.name(one)
    assert [scope.gateway for scope in await store.list_scopes("default")] == [name]
    await world.published.forget(one, name)
    assert await store.list_scopes("default") == []
    assert await store.read_published(one) is None
    await world.cycle(one)
    assert await world.paths(one) == ["/apis/acme/a"]


async def test_a_suspended_gateway_is_told_so(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    context = world.workspace.context
    await suspend_gateway(context, world.name(one), context.principal, "trying something")
    assert "is suspended" in await refusal(world, one)
    await world.commit({"tenants/acme/apis/b/api.yaml": api("b")}, one)
    await refusal(world, one)
    await resume_gateway(context, world.name(one), context.principal)
    assert await world.paths(one) == ["/apis/acme/a"]
    await world.cycle(one)
    assert await world.paths(one) == ["/apis/acme/a", "/apis/acme/b"]


async def test_a_document_that_suspends_suspends_all_of_its_gateways(world: FleetWorld) -> None:
    one = world.register("pod-1")
    files = usual_files("a")
    await world.commit(files, one)
    files["gateways/edge.yaml"] = f"{files['gateways/edge.yaml']}  suspended: true\n"
    await world.commit(files, one)
    assert "suspended by gateways/edge.yaml" in await refusal(world, one)


async def test_a_gateway_of_a_tenant_gets_nothing_of_others(world: FleetWorld) -> None:
    one = world.register("pod-1", tenant_id="acme")
    files = usual_files("a") | usual_files("g", tenant="globex")
    await world.commit(files, one)
    assert await world.paths(one) == ["/apis/acme/a"]


async def test_a_gateway_that_restarts_for_one_tenant_is_not_sent_those_of_others(
    world: FleetWorld,
) -> None:
    one = world.register("pod-1")
    files = usual_files("a") | usual_files("g", tenant="globex")
    await world.commit(files, one)
    assert await world.paths(one) == ["/apis/acme/a", "/apis/globex/g"]
    world.register("pod-1", tenant_id="acme")
    # Their deletion is held, for it is all that globex has; it is not published all the same.
    await world.commit({}, one)
    assert await world.paths(one) == ["/apis/acme/a"]


async def test_one_that_registers_as_something_else_waits_for_its_next_cycle(
    world: FleetWorld,
) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a") | usual_files("g", tenant="globex"), one)
    for fields in ({"tenant_id": "acme"}, {"ours": False}):
        world.register("pod-1", **fields)  # type: ignore[arg-type]
        world.read()
        assert "has changed" in await refusal(world, one)
        await world.cycle(one)
        assert await world.paths(one)


SECRET = "auth: {in: header, name: X-Key, valueRef: {env: ACME_KEY}}"


def with_secret(name: str) -> str:
    return api(name).replace("backend: {", f"backend: {{{SECRET}, ")


async def test_credentials_go_to_the_gateway_and_not_into_the_store(
    world: FleetWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "kept-from-all")
    one = world.register("pod-1")
    files = usual_files("b") | {"tenants/acme/apis/a/api.yaml": with_secret("a")}
    await world.commit(files, one)
    auths = [route["backend_auth"] for route in (await world.table(one))["apis"]]
    expected = {"in": "header", "name": "X-Key", "value": "kept-from-all"}
    assert sorted(auths, key=str) == [None, expected]
    record = await world.workspace.context.store.read_published(one)
    assert record is not None
    assert b"kept-from-all" not in record.saved
    stored = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert b"kept-from-all" not in stored


async def test_a_credential_that_is_not_here_after_a_restart_is_kept_by_the_gateway(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "kept-from-all")
    one = world.register("pod-1")
    files = usual_files("b") | {"tenants/acme/apis/a/api.yaml": with_secret("a")}
    await world.commit(files, one)
    before = await world.published.table(one)
    async with world.process():
        monkeypatch.delenv("ACME_KEY")
        await world.commit({}, one)
        kept = [route for route in (await world.table(one))["apis"] if route.get("keep")]
        assert [sorted(route) for route in kept] == [["id", "keep"]]
        monkeypatch.setenv("ACME_KEY", "kept-from-all")
        await world.cycle(one)
        again = await world.published.table(one)
        assert b"kept-from-all" in again.body
        assert again.body.splitlines()[1:-1] == before.body.splitlines()[1:-1]


async def test_a_changed_credential_is_a_new_publication(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "first")
    one = world.register("pod-1")
    await world.commit(usual_files() | {"tenants/acme/apis/a/api.yaml": with_secret("a")}, one)
    first = await world.published.table(one)
    monkeypatch.setenv("ACME_KEY", "second")
    await world.cycle(one)
    assert (await world.published.table(one)).etag != first.etag


# what the real gateway gets


async def test_items_of_routes_have_the_documented_fields(world: FleetWorld) -> None:
    two = world.register("pod-2", ours=False)
    files = usual_files("a")
    files["tenants/acme/apis/a/api.yaml"] = api("a", backend="http://10.1.2.3:8080")
    await world.commit(files, two)
    (item,) = await world.routes(two)
    assert item["gateway_instance_id"] == two
    assert item["generation"] == 1
    assert item["trusted_backend"] is True
    assert (item["api_id"], item["tenant_id"]) == ("a", "acme")
    assert set(item) == {
        "id", "api_id", "deployment_id", "gateway_instance_id", "name", "tenant_id", "path_prefix",
        "backend_url", "methods", "spec_hash", "activated", "generation", "trusted_backend",
    }  # fmt: skip


async def test_a_backend_with_a_name_needs_no_trust(world: FleetWorld) -> None:
    two = world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), two)
    assert [item["trusted_backend"] for item in await world.routes(two)] == [False]


async def test_what_a_real_gateway_cannot_do_is_said_and_not_sent(world: FleetWorld) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    files = usual_files("b")
    limited = "policies: [{type: rate_limit, config: {requests: 5, window: 60s}}]"
    files["tenants/acme/apis/a/api.yaml"] = api("a", more=limited)
    await world.commit(files, one, two)
    assert await world.paths(one) == ["/apis/acme/a", "/apis/acme/b"]
    assert await world.paths(two) == ["/apis/acme/b"]
    report = world.statuses.report(world.name(two))
    assert report is not None
    skipped = {str(skip.key): skip.explanation for skip in report.plan.skipped}
    assert "does not enforce them" in skipped["policy/acme/a.rate_limit"]


async def test_routes_are_not_for_who_takes_a_table_and_a_table_not_for_others(
    world: FleetWorld,
) -> None:
    one, two = world.register("pod-1"), world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), one, two)
    with pytest.raises(Conflict, match="whole table"):
        await world.published.routes(one)
    with pytest.raises(Conflict, match="did not say"):
        await world.published.table(two)


async def test_a_pushed_gateway_that_asks_is_told_which_of_both_to_end(world: FleetWorld) -> None:
    two = world.register("pod-2", ours=False)
    await world.commit(pushed_files("a"))
    with pytest.raises(Conflict, match="STOA_ROUTE_RELOAD_ENABLED"):
        await world.published.routes(two)
    condition = world.condition(two, "Configurable")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "AsksThoughPushed")
    world.seconds += 100
    world.published.fetching.check()
    assert world.condition(two, "Configurable").status is ConditionStatus.TRUE


async def test_a_gateway_that_never_asks_is_not_configurable(world: FleetWorld) -> None:
    two = world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), two)
    world.seconds += 70
    world.published.fetching.check()
    assert not [c for c in world.statuses.conditions(world.name(two)) if c.type == "Configurable"]
    world.seconds += 10
    world.published.fetching.check()
    condition = world.condition(two, "Configurable")
    assert condition.status is ConditionStatus.FALSE
    assert "STOA_ROUTE_RELOAD_ENABLED=true" in condition.message
    assert "STOA_ADMIN_API_TOKEN" in condition.message
    await world.routes(two)
    assert world.condition(two, "Configurable").status is ConditionStatus.TRUE


async def test_one_that_never_asked_is_configurable_once_its_document_has_auth(
    world: FleetWorld,
) -> None:
    two = world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), two)
    world.seconds += 100
    world.published.fetching.check()
    assert world.condition(two, "Configurable").status is ConditionStatus.FALSE
    await world.commit(pushed_files("a"))
    world.published.fetching.check()
    condition = world.condition(two, "Configurable")
    assert (condition.status, condition.reason) == (ConditionStatus.TRUE, "Pushed")


async def test_a_refusal_by_an_earlier_process_ends_with_its_time(world: FleetWorld) -> None:
    two = world.register("pod-2", ours=False)
    await world.commit(pushed_files("a"))
    with pytest.raises(Conflict):
        await world.published.routes(two)
    known = world.condition(two, "Configurable")
    async with world.process():
        world.read()
        world.statuses.restore_conditions(world.name(two), [known])
        world.published.fetching.check()
        assert world.condition(two, "Configurable").status is ConditionStatus.FALSE
        world.seconds += 100
        world.published.fetching.check()
        assert world.condition(two, "Configurable").status is ConditionStatus.TRUE


async def test_a_gateway_that_is_offline_is_not_asked_to_be_set_otherwise(
    world: FleetWorld,
) -> None:
    two = world.register("pod-2", ours=False)
    world.offline.add(two)
    await world.commit(usual_files("a"), two)
    world.seconds += 1_000
    world.published.fetching.check()
    world.offline.clear()
    world.seconds += 70
    world.published.fetching.check()
    assert not [c for c in world.statuses.conditions(world.name(two)) if c.type == "Configurable"]


async def test_one_that_fetches_no_more_after_a_restart_is_not_configurable(
    world: FleetWorld,
) -> None:
    two = world.register("pod-2", ours=False)
    await world.commit(usual_files("a"), two)
    await world.routes(two)
    world.published.note_start(two)
    world.seconds += 80
    world.published.fetching.check()
    assert world.condition(two, "Configurable").reason == "NeverAsks"


async def test_one_is_told_of_what_is_new_and_again_after_its_start(world: FleetWorld) -> None:
    two = world.register("pod-2", ours=False)
    told: list[str] = []
    world.published.tell = told.append
    await world.commit({p: text for p, text in usual_files("a").items() if "/apis/" not in p}, two)
    assert told == [], "there is nothing to fetch"
    await world.commit(usual_files("a"), two)
    assert told == [two]
    await world.cycle(two)
    assert told == [two], "nothing is new"
    world.published.note_start(two)
    await world.cycle(two)
    assert told == [two, two]
    await world.commit({"tenants/acme/apis/a/api.yaml": api("a", backend="https://c.example")}, two)
    assert told == [two, two, two]


# what gateways say


async def test_a_gateway_for_which_there_is_nothing_says_so(world: FleetWorld) -> None:
    one = world.register("pod-1")
    files = usual_files("a")
    await world.commit({p: text for p, text in files.items() if "/apis/" not in p}, one)
    condition = world.condition(one, "Acknowledged")
    assert (condition.status, condition.reason) == (ConditionStatus.UNKNOWN, "NothingPublished")
    await world.commit(files, one)
    assert world.condition(one, "Acknowledged").reason == "Published"


async def test_an_acknowledged_table_shows(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    assert world.condition(one, "Acknowledged").status is ConditionStatus.UNKNOWN
    etag = (await world.published.table(one)).etag
    await world.published.acknowledge_table(one, TableAcknowledged(etag, 1, "applied"))
    assert world.condition(one, "Acknowledged").status is ConditionStatus.TRUE


async def test_an_acknowledgement_of_an_earlier_table_says_nothing(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    etag = (await world.published.table(one)).etag
    await world.commit({"tenants/acme/apis/b/api.yaml": api("b")}, one)
    await world.published.acknowledge_table(one, TableAcknowledged(etag, 1, "applied"))
    assert world.condition(one, "Acknowledged").status is ConditionStatus.UNKNOWN


async def test_what_a_gateway_refuses_of_a_table_shows(world: FleetWorld) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    etag = (await world.published.table(one)).etag
    refused = Acknowledged("r1", "apis", "failed", 1, "backend refused")
    ack = TableAcknowledged(f'"{etag}"', 1, "applied", objects=(refused,))
    await world.published.acknowledge_table(one, ack)
    condition = world.condition(one, "Acknowledged")
    assert condition.status is ConditionStatus.FALSE
    assert "r1: backend refused" in condition.message


async def test_refusals_of_a_hostile_gateway_take_little_memory_and_a_short_message(
    world: FleetWorld,
) -> None:
    one = world.register("pod-1")
    await world.commit(usual_files("a"), one)
    etag = (await world.published.table(one)).etag
    refused = tuple(
        Acknowledged(f"{number}-" + "i" * 900, "apis", "failed", 1, "e" * 10_000)
        for number in range(2_000)
    )
    ack = TableAcknowledged(etag, 1, "failed", "x" * 10_000, refused)
    tracemalloc.start()
    try:
        await world.published.acknowledge_table(one, ack)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000
    message = world.condition(one, "Acknowledged").message
    assert message.startswith("generation 1: 2001 not taken: xxx")
    assert len(message) < 2_000


async def test_errors_of_many_routes_are_kept_for_some_of_them(world: FleetWorld) -> None:
    one = world.register("pod-1", ours=False)
    await world.commit(usual_files(*(f"a{number}" for number in range(120))), one)
    ids = [str(item["deployment_id"]) for item in await world.routes(one)]
    for _ in range(2):
        acks = [Acknowledged(name, "route", "failed", 1, "e" * 10_000) for name in ids]
        assert await world.published.acknowledge(one, acks) == 120
    assert world.condition(one, "Acknowledged").message.startswith("generation 1: 120 not taken")
    states = [item["sync_status"] for item in (await world.published.config(one)).deployments]
    assert states == ["failed"] * 120
    entry = world.published._entries[one]
    assert sum(map(len, entry.failures.values())) < 100 * 300 + 20 * 10


async def test_routes_are_acknowledged_one_by_one_and_in_their_generation(
    world: FleetWorld,
) -> None:
    one, two = world.register("pod-1", ours=False), world.register("pod-2", ours=False)
    await world.commit(usual_files("a", "b"), one, two)
    ids = [str(item["deployment_id"]) for item in await world.routes(one)]
    others = [str(item["deployment_id"]) for item in await world.routes(two)]
    acks = [Acknowledged(one_id, "route", "applied", 1) for one_id in (*ids, *others)]
    assert await world.published.acknowledge(one, acks[:1]) == 1
    assert world.condition(one, "Acknowledged").status is ConditionStatus.UNKNOWN
    odd = [replace(ack, status=word) for ack in acks[:2] for word in ("", "pending", "success")]
    assert await world.published.acknowledge(one, odd) == 6
    assert world.condition(one, "Acknowledged").status is ConditionStatus.UNKNOWN
    # Those of the other gateway are not its own.
    assert await world.published.acknowledge(one, acks) == 2
    assert world.condition(one, "Acknowledged").status is ConditionStatus.TRUE
    assert world.condition(two, "Acknowledged").status is ConditionStatus.UNKNOWN
    await world.commit({"tenants/acme/apis/b/api.yaml": None}, one)
    stale = [replace(ack, status="failed", error="late") for ack in acks[:2]]
    assert await world.published.acknowledge(one, stale) == 1
    assert world.condition(one, "Acknowledged").status is ConditionStatus.UNKNOWN


async def test_a_table_is_read_once_for_all_of_its_acknowledgements(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.register("pod-1", ours=False)
    await world.commit(usual_files("a", "b"), one)
    ids = [str(item["deployment_id"]) for item in await world.routes(one)]
    read: list[bytes] = []

    def find(lines: bytes, gateway_id: str) -> tuple[frozenset[str], frozenset[str]]:
        read.append(lines)
        return object_ids(lines, gateway_id)

    monkeypatch.setattr(publication, "object_ids", find)
    for name in (*ids, *ids):
        assert await world.published.acknowledge(one, [Acknowledged(name, "route", "applied")]) == 1
    assert len(read) == 1
    assert world.condition(one, "Acknowledged").status is ConditionStatus.TRUE
    # What is published next has ids of its own.
    await world.commit(usual_files("c"), one)
    (new,) = {str(item["deployment_id"]) for item in await world.routes(one)} - {*ids}
    assert await world.published.acknowledge(one, [Acknowledged(new, "route", "applied")]) == 1
    assert len(read) == 2


async def test_config_lists_what_a_gateway_is_to_have(world: FleetWorld) -> None:
    one = world.register("pod-1", ours=False)
    assert (await world.published.config(one)).deployments == ()
    await world.commit(usual_files("a"), one)
    config = await world.published.config(one)
    (found,) = config.deployments
    assert found["sync_status"] == "pending"
    assert [api["name"] for api in await world.published.apis(one)] == ["a"]
    assert json.dumps(config.deployments)


async def test_a_gateway_whose_table_could_not_be_taken_over_is_not_emptied(
    world: FleetWorld,
) -> None:
    one = world.register("pod-1", ours=False)
    await world.commit(usual_files("a", "b"), one)
    before = await world.routes(one)
    # As a gateway of ours that takes hardly anything: nothing of before is of use, all is refused.
    world.register("pod-1", extensions=("table",))
    await world.commit({}, one)
    assert "nothing is published" in await refusal(world, one)
    world.register("pod-1", ours=False)
    await world.commit({}, one)
    assert await world.routes(one) == before


@pytest.mark.parametrize("ours", [True, False])
async def test_one_that_asks_while_its_cycle_is_due_gets_what_that_publishes(
    world: FleetWorld, *, ours: bool
) -> None:
    one = world.register("pod-1", ours=ours)
    await world.commit(usual_files("a"), one)
    asked: list[str] = []

    async def settle(name: str) -> None:
        asked.append(name)
        await world.cycle(one)

    world.published.settle = settle
    world.write(usual_files("a", "b"))
    world.read()
    assert len(await world.paths(one)) == 2
    assert asked == [world.name(one)]
