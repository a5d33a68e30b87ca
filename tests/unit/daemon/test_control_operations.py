"""What the control listener may ask of the process, over real parts and a store on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.control.process_port import Conflict, NotReady, UsageAsked
from stoa_gitops.daemon import control_operations as operations
from stoa_gitops.daemon.control_operations import ProcessOperations
from stoa_gitops.daemon.gateway_usage import GatewayUsage
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.daemon.registered_views import RegisteredViews
from stoa_gitops.errors import GatewayUnknown
from stoa_gitops.fleet.members import Fleet
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.instances import GatewayInstance, RegistrationMatch, RegistrationRules
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.model.resources import DesiredState, SourceRef
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.operations.store_choice import open_usage_ledger
from stoa_gitops.operations.views import GatewayView
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.store import CycleEntry, Quarantined, Scope, UsageRow
from tests.unit.fleet.test_binding import document, member
from tests.unit.store.world import BILLING, NOW, record

EDGE = GatewayInstance("edge", "stoa", "dev", "http://127.0.0.1:9", SourceRef("gateways/edge.yaml"))
ME = Principal("me", PrincipalKind.LOCAL_USER)
FROZEN = replace(EDGE, name="frozen", suspended=True)
MATCH = RegistrationMatch("stoa_edge_mcp", "prod")
KONG = replace(EDGE, name="kong")


@dataclass
class FakeWatcher:
    """Reads nothing; counts how often it is asked."""

    loads: int = 0
    unreadable: str | None = None

    async def reload(self, _: str) -> bool:
        self.loads += 1
        await asyncio.sleep(0)
        return True


def catalog(*gateways: GatewayInstance) -> Catalog:
    desired = {g.name: DesiredState(g.name, "default", "main@1") for g in gateways}
    return Catalog("default", "main@1", None, gateways, desired)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[ProcessOperations]:
    async with Workspace.open(tmp_path / "state") as workspace:
        statuses = StatusRegistry(workspace.context.clock)
        watcher: Any = FakeWatcher()
        found = ProcessOperations(workspace, statuses, DirtyQueue(), watcher)
        statuses.publish_catalog(catalog(EDGE, FROZEN), (EDGE, FROZEN))
        yield found


async def test_nothing_is_planned_before_the_catalog_is_read(process: ProcessOperations) -> None:
    process.statuses.catalog = None
    with pytest.raises(NotReady):
        await process.plan("edge")
    assert (await process.status()).catalog.revision is None


async def test_an_unknown_gateway_names_what_exists(process: ProcessOperations) -> None:
    for ask in (
        process.gateway("x"),
        process.plan("x"),
        process.reconcile("x", ME),
        process.suspend("x", ME, ""),
        process.resume("x", ME),
    ):
        with pytest.raises(GatewayUnknown, match="there is: edge, frozen"):
            await ask


async def test_a_gateway_that_is_down_has_a_plan_that_is_not_complete(
    process: ProcessOperations,
) -> None:
    plans = await process.plan("edge")
    assert not plans.is_complete
    assert plans.plans[0].error


async def test_more_plans_than_the_bound_are_put_off(
    process: ProcessOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "PLANS_WAITING", 0)
    with pytest.raises(NotReady, match="requested already"):
        await process.plan("edge")
    monkeypatch.undo()
    assert await process.plan("edge")


async def test_a_suspended_gateway_is_not_marked_and_a_resumed_one_is(
    process: ProcessOperations,
) -> None:
    await process.suspend("edge", ME, "because")
    with pytest.raises(Conflict):
        await process.reconcile("edge", ME)
    assert (await process.gateway("edge")).suspended is True
    assert process.queue.take("edge") == ("suspended",)
    await process.resume("edge", ME)
    assert process.queue.take("edge") == ("resumed",)
    await process.reconcile("edge", ME)
    assert process.queue.take("edge") == ("requested",)
    assert (await process.gateway("edge")).suspended is False
    assert [entry.action for entry in await process.audit("edge", 10, None)] == [
        "resume", "suspend",
    ]  # fmt: skip


async def test_a_plan_of_a_gateway_that_is_down_is_not_forced(process: ProcessOperations) -> None:
    with pytest.raises(NotReady, match="edge could not be observed"):
        await process.reconcile("edge", ME, "0123abcd")
    assert process.take_forced("edge") is None


async def test_errors_are_asked_of_the_embedded_gateway(process: ProcessOperations) -> None:
    with pytest.raises(Conflict, match="baseUrl: embedded"):
        await process.snapshots(None, None, 10, "")
    queries: list[dict[str, str]] = []

    async def ask(path: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        assert path == "/admin/snapshots"
        queries.append(dict(query))
        return (501, {}) if query["limit"] == "9" else (200, {"snapshots": [], "total": 0})

    process.ask_embedded = ask
    page = await process.snapshots("acme", None, 10, "7")
    assert (page.items, page.next) == ([], None)
    assert queries == [{"tenant": "acme", "before": "7", "limit": "10"}]
    await process.snapshots(None, "acme/orders", 10, "")
    await process.snapshots(None, "r1", 10, "")
    owner = process.statuses.catalog.owner if process.statuses.catalog else ""
    assert [one["api"] for one in queries[1:]] == [
        Key(API, "acme", "orders").identifier(owner), "r1",
    ]  # fmt: skip
    with pytest.raises(Conflict, match="STOA_SNAPSHOT_ENABLED"):
        await process.snapshots(None, None, 9, "")


async def test_usage_is_asked_of_the_gateway_that_is_named(
    process: ProcessOperations, tmp_path: Path
) -> None:
    everything = UsageAsked(None, None, None, None, None, None, is_total=True)
    row = UsageRow(0, "acme", "orders", "", 3, 0, 0, 0, 0, 0.5)
    at = int(process.workspace.context.clock().timestamp())
    with pytest.raises(Conflict):
        await process.usage(everything)
    async with open_usage_ledger(tmp_path) as ledger:
        process.gateway_usage = GatewayUsage(ledger, process.workspace.context.clock)
        await process.take_usage("edge", "source-1", [row._replace(hour=at - at % 3600)])
        assert [one.requests for one in (await process.usage(everything)).items] == [3]
        for unknown in ("west", "edge"):  # the second one did not register
            with pytest.raises(GatewayUnknown, match="counts usage here"):
                await process.usage(replace(everything, gateway=unknown))
        own = replace(EDGE, name="local", base_url="embedded")
        process.statuses.publish_catalog(catalog(own), (own,))
        with pytest.raises(Conflict, match="baseUrl: embedded"):
            await process.usage(replace(everything, gateway="local"))


@pytest.mark.parametrize("name", ["a-edgemcp-prod", "a-edge-mcp-prod", "edge/a-edgemcp-prod"])
async def test_usage_of_a_registered_gateway_is_asked_for_by_any_of_its_names(
    process: ProcessOperations, tmp_path: Path, name: str
) -> None:
    with_fleet(process, document("edge", MATCH))
    at = int(process.workspace.context.clock().timestamp())
    row = UsageRow(at - at % 3600, "acme", "orders", "", 3, 0, 0, 0, 0, 0.5)
    async with open_usage_ledger(tmp_path) as ledger:
        process.gateway_usage = GatewayUsage(ledger, process.workspace.context.clock)
        await process.take_usage("a-edgemcp-prod", "source-1", [row])
        await process.take_usage("b-edgemcp-prod", "source-1", [row])
        asked = UsageAsked(None, None, None, None, None, name, is_total=True)
        assert [one.requests for one in (await process.usage(asked)).items] == [3]


async def test_a_long_list_of_names_is_cut(process: ProcessOperations) -> None:
    many = tuple(replace(EDGE, name=f"g{number:03}") for number in range(100))
    process.statuses.publish_catalog(catalog(*many), many)
    with pytest.raises(GatewayUnknown, match="g019 and 80 more"):
        await process.plan("x")


async def test_what_a_document_suspends_is_resumed_there(process: ProcessOperations) -> None:
    with pytest.raises(Conflict, match="document"):
        await process.resume("frozen", ME)
    with pytest.raises(Conflict):
        await process.reconcile("frozen", ME)


async def test_objects_on_a_gateway_without_a_document_show_it_as_orphaned(
    process: ProcessOperations,
) -> None:
    store = process.workspace.context.store
    for owner, name in (("default", "gone"), ("default", "edge"), ("another", "theirs")):
        entry = CycleEntry("run", "main@1", "d", NOW, records=(record(BILLING),))
        await store.record_cycle(Scope(owner, name, "http://old"), entry)
    items = await process.gateways()
    assert [(item.name, item.bound) for item in items] == [
        ("edge", True), ("frozen", True), ("gone", False),
    ]  # fmt: skip
    assert (await process.gateway("gone")).objects == 1


async def test_news_are_read_at_once_and_several_at_a_time_make_one_reading(
    process: ProcessOperations,
) -> None:
    watcher: Any = process.watcher
    for _ in range(5):
        process.request_catalog_reload("webhook")
    following = asyncio.create_task(process.follow_reload_requests())
    while watcher.loads < 1:
        await asyncio.sleep(0)
    process.request_catalog_reload("webhook")
    while watcher.loads < 2:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not following.done()
    assert watcher.loads == 2
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_a_task_that_does_not_run_makes_the_process_unwell(
    process: ProcessOperations,
) -> None:
    process.list_failed_tasks = lambda: ("watching the catalog",)
    assert process.failed_tasks() == ("watching the catalog",)
    assert (await process.status()).well is False


async def test_what_a_gateway_refused_is_shown_though_nothing_was_applied_there(
    process: ProcessOperations,
) -> None:
    store = process.workspace.context.store
    place = SourceRef("tenants/acme/apis/billing/api.yaml", 2, 3)
    refused = Quarantined(BILLING, "d", "1", "too long", NOW, source=place)
    cycle = CycleEntry("run", "main@1", "d", NOW, quarantined=(refused,))
    await store.record_cycle(Scope("default", "edge", EDGE.base_url), cycle)
    shown = await process.gateway("edge")
    assert shown.objects == 0
    assert shown.document()["quarantined"] == [
        {
            "key": "api/acme/billing",
            "words": "too long",
            "since": NOW.isoformat(),
            "source": {"path": place.path, "line": 2, "column": 3},
        }
    ]
    process.statuses.publish_catalog(catalog(FROZEN), (FROZEN,))
    assert [item.name for item in await process.gateways()] == ["frozen"], "nothing is ours there"


async def test_what_suspends_and_resumes_shows_in_the_condition_at_once(
    process: ProcessOperations,
) -> None:
    def suspended(view: GatewayView) -> list[tuple[str, str]]:
        return [(c.status, c.message) for c in view.conditions if c.type == "Suspended"]

    await process.suspend("edge", ME, "because")
    ((status, message),) = suspended(await process.gateway("edge"))
    assert (status, message.endswith(": because")) == ("True", True)
    await process.resume("edge", ME)
    assert suspended(await process.gateway("edge")) == [("False", "")]


async def test_troubles_of_the_process_itself_show_in_its_status(
    process: ProcessOperations,
) -> None:
    process.list_failed_tasks = lambda: ["watching the catalog"]
    process.list_troubles = lambda: ["the file of gateway keys is empty"]
    status = await process.status()
    assert status.well is False
    assert status.troubles == [
        "background task does not run: watching the catalog; the log says why",
        "the file of gateway keys is empty",
    ]


def with_fleet(process: ProcessOperations, *documents: GatewayInstance) -> RegisteredViews:
    """Have a gateway `a` registered, and the documents in force; return the views of it."""
    fleet = Fleet()
    fleet.register(member("a"), 0.0, NOW)
    gateways = RegisteredGateways(lambda: (one.registration for one in fleet))
    expanded = gateways.expand(catalog(*documents))
    process.statuses.publish_catalog(expanded, expanded.gateways)
    process.fleet = RegisteredViews(gateways, lambda: fleet.members)
    return process.fleet


@pytest.mark.parametrize("name", ["a-edgemcp-prod", "a-edge-mcp-prod", "edge/a-edge-mcp-prod"])
async def test_a_registered_gateway_may_be_named_without_its_document_and_as_stoa_spells_it(
    process: ProcessOperations, name: str
) -> None:
    with_fleet(process, document("edge", MATCH), KONG)
    assert (await process.gateway(name)).name == "edge/a-edgemcp-prod"
    await process.suspend(name, ME, "because")
    assert (await process.gateway("edge/a-edgemcp-prod")).suspended
    await process.resume(name, ME)
    with pytest.raises(GatewayUnknown):
        await process.suspend(f"other/{name.rpartition('/')[2]}", ME, "of another document")
    with pytest.raises(GatewayUnknown):
        await process.suspend(
            "edge/kong", ME, "a gateway with an address has no document before it"
        )


async def test_a_gateway_that_no_document_takes_any_more_shows_once_with_what_is_ours_there(
    process: ProcessOperations,
) -> None:
    store = process.workspace.context.store
    scope = Scope("default", "edge/a-edgemcp-prod", "http://a:8080")
    await store.record_cycle(scope, CycleEntry("run", "main@1", "d", NOW, records=(record(),)))
    with_fleet(process, document("edge", MATCH))
    assert [one.name for one in await process.gateways()] == ["edge/a-edgemcp-prod"]
    with_fleet(process, KONG)
    shown = {one.name: one.status for one in await process.gateways()}
    assert shown == {"a-edgemcp-prod": "ONLINE", "kong": "OFFLINE"}
    for name in ("a-edgemcp-prod", "edge/a-edgemcp-prod"):
        detail = await process.gateway(name)
        assert (detail.name, detail.bound, detail.objects) == ("a-edgemcp-prod", False, 1)


async def test_that_it_was_told_shows_of_a_gateway_whose_document_has_a_token_for_it(
    process: ProcessOperations,
) -> None:
    token = SecretRef.parse("env:EDGE_TOKEN")
    edge = document("edge", MATCH)
    told = replace(edge, registration=RegistrationRules(MATCH, reload_token=token))
    with_fleet(process, told)
    condition = Condition("Told", ConditionStatus.FALSE, "GatewayRefused", "no", 0, NOW)
    process.statuses.set_condition("edge/a-edgemcp-prod", condition)
    (shown,) = await process.gateways()
    assert [one.type for one in shown.conditions] == ["Told"]
    with_fleet(process, edge)
    (shown,) = await process.gateways()
    assert shown.conditions == []
