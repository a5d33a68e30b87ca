"""Who may call foreign APIs becomes documents; what no document says of it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.adapters.gravitee.node import group_reader
from stoa_gitops.catalog.export.overlay import yaml_text
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.operations.adopt import prepare_adoption
from stoa_gitops.operations.adopt_documents import observe_objects, propose_documents
from stoa_gitops.operations.apply import apply_plans
from tests.adapters.gravitee.rig import APIS, FOREIGN
from tests.scenarios.fleet_world import document
from tests.scenarios.makes_world import Gateway, MakesWorld, makes_world

NAME = "gravitee-dev"
APPS = "/management/organizations/DEFAULT/environments/DEFAULT/applications"
FEED = Key("api", "default", "other-feed")
WAYS: dict[str, dict[str, Any]] = {
    "4.12": {"version": "4.12.12"},
    "4.10": {"version": "4.10.8"},
    "classic": {"version": "4.1.0", "has_automation": False, "has_import": False},
}


async def sent(gateway: Gateway, path: str, body: Any = None) -> dict[str, Any]:
    answer = await gateway.person.post(path, json=body if body is not None else {})
    found: dict[str, Any] = answer.raise_for_status().json() if answer.content else {}
    return found


async def add_plan(gateway: Gateway, api: str, name: str, security: dict[str, Any]) -> str:
    path = f"{APIS}/{api}/plans"
    body = {"definitionVersion": "V4", "name": name, "security": security, "flows": [],
            "validation": "AUTO"}  # fmt: skip
    plan: str = (await sent(gateway, path, body))["id"]
    await sent(gateway, f"{path}/{plan}/_publish")
    return plan


async def add_application(gateway: Gateway, name: str, client: str = "") -> str:
    app = {"type": "simple", **({"client_id": client} if client else {})}
    body = {"name": name, "description": f"{name} of somebody", "settings": {"app": app}}
    found: str = (await sent(gateway, APPS, body))["id"]
    return found


async def subscribe(gateway: Gateway, api: str, application: str, plan: str) -> str:
    path = f"{APIS}/{api}/subscriptions"
    found: str = (await sent(gateway, path, {"applicationId": application, "planId": plan}))["id"]
    return found


async def keys_of(gateway: Gateway, api: str, subscription: str) -> list[str]:
    path = f"{APIS}/{api}/subscriptions/{subscription}/api-keys"
    listed = (await gateway.person.get(path)).raise_for_status().json()["data"]
    return [one["key"] for one in listed if not one["revoked"]]


async def made_by_hand(gateway: Gateway) -> dict[str, str]:
    """An API with a plan for keys and one for tokens, and applications of every sort."""
    api = (await sent(gateway, APIS, FOREIGN))["id"]
    gold = await add_plan(gateway, api, "Gold plan", {"type": "API_KEY"})
    token = await add_plan(gateway, api, "Partners", {"type": "JWT", "configuration": {}})
    ids = {"api": api, "gold": gold, "token": token}
    for name, plan, client in (
        ("Phone", gold, ""), ("Kiosk", gold, ""), ("Bot", token, "bot-1"), ("Nobody", "", ""),
    ):  # fmt: skip
        ids[name] = await add_application(gateway, name, client)
        if plan:
            ids[f"{name}-sub"] = await subscribe(gateway, api, ids[name], plan)
    await sent(gateway, f"{APIS}/{api}/subscriptions/{ids['Kiosk-sub']}/_pause")
    return ids


async def proposed(world: MakesWorld) -> Any:
    catalog = world.read()
    (instance,) = catalog.gateways
    found = await observe_objects(world.workspace, catalog, instance)
    tree = FolderSource(world.folder / "catalog").snapshot()
    return propose_documents(catalog, tree, instance, found, ())


def start(world: MakesWorld) -> Gateway:
    world.write({"environments/dev.yaml": document("Environment", "dev")})
    return world.gateways[NAME]


@pytest.mark.parametrize("way", WAYS)
async def test_what_may_call_a_foreign_api_is_written_or_told(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with makes_world(tmp_path, ["dev"], monkeypatch, WAYS[way], ["gravitee"]) as world:
        gateway = start(world)
        ids = await made_by_hand(gateway)
        found = await proposed(world)
        written = {str(one.key): one.document for one in found.documents if one.key}
        phone = written["application/default/phone"]["spec"]
        assert phone["subscriptions"] == [{"api": "other-feed", "plan": "gold-plan"}]
        assert phone["credentials"] == [{"type": "api_key", "keyRef": {"env": "DEFAULT_PHONE_KEY"}}]
        bot = written["application/default/bot"]["spec"]
        assert bot["subscriptions"] == [{"api": "other-feed", "plan": "partners"}]
        assert [one["type"] for one in bot["credentials"]] == ["jwt"]
        told = {(str(one.key), one.field): f"{one.value} {one.effect}" for one in found.unmapped}
        kiosk = told["application/default/kiosk", "subscriptions.default/other-feed.gold-plan"]
        assert kiosk.startswith("PAUSED not written, for it is paused")
        assert (
            "asks for tokens"
            in told["application/default/bot", "subscriptions.default/other-feed.partners"]
        )
        assert "no subscription that is written" in told["application/default/nobody", ""]
        assert not set(written) & {"application/default/kiosk", "application/default/nobody"}
        # Nothing of a key stands anywhere.
        (key,) = await keys_of(gateway, ids["api"], ids["Phone-sub"])
        assert key not in repr(found)


@pytest.mark.parametrize("way", WAYS)
async def test_an_adopted_application_keeps_its_subscription_and_its_key(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with makes_world(tmp_path, ["dev"], monkeypatch, WAYS[way], ["gravitee"]) as world:
        gateway = start(world)
        ids = await made_by_hand(gateway)
        (key,) = await keys_of(gateway, ids["api"], ids["Phone-sub"])
        monkeypatch.setenv("DEFAULT_PHONE_KEY", key)
        taken = {FEED, Key(APPLICATION, "default", "phone"), None}
        documents = [one for one in (await proposed(world)).documents if one.key in taken]
        world.write({one.path: yaml_text(one.document) for one in documents})
        catalog = world.read()
        assert not catalog.errors, catalog.errors
        keys = tuple(key for key in taken if key is not None)
        (instance,) = catalog.gateways
        prepared = await prepare_adoption(world.workspace, catalog, instance, keys)
        reports = await apply_plans(world.workspace, prepared, world.workspace.context.principal)
        outcomes = [one for report in reports.reports for one in report.outcomes]
        assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes
        # Policies of the API have documents that were not adopted by name.
        await world.converged()
        assert await keys_of(gateway, ids["api"], ids["Phone-sub"]) == [key]
        held = gateway.double.store.subscriptions
        assert held[ids["Phone-sub"]].status == "ACCEPTED"
        # The others are no part of what was adopted.
        assert held[ids["Kiosk-sub"]].status == "PAUSED"
        plans = (await world.plans()).values()
        assert all(plan.is_empty for plan in plans), plans


async def test_several_keys_are_told_for_a_document_has_them_all_for_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with makes_world(tmp_path, ["dev"], monkeypatch, makes=["gravitee"]) as world:
        gateway = start(world)
        ids = await made_by_hand(gateway)
        other = {**FOREIGN, "name": "News", "listeners": [
            {**FOREIGN["listeners"][0], "paths": [{"path": "/news"}]}  # type: ignore[dict-item, index]
        ]}  # fmt: skip
        news = (await sent(gateway, APIS, other))["id"]
        plan = await add_plan(gateway, news, "Basic", {"type": "API_KEY"})
        await subscribe(gateway, news, ids["Phone"], plan)
        found = await proposed(world)
        (phone,) = [one.document for one in found.documents if one.key and one.key.name == "phone"]
        assert phone["spec"]["subscriptions"] == [
            {"api": "news", "plan": "basic"}, {"api": "other-feed", "plan": "gold-plan"},
        ]  # fmt: skip
        assert len(phone["spec"]["credentials"]) == 2
        (told,) = [one for one in found.unmapped if one.field == "keys"]
        assert (str(told.key), told.changes) == ("application/default/phone", True)


async def test_what_would_take_too_many_calls_is_told_and_not_taken_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_reader, "FOREIGN_CALLS", 2)
    async with makes_world(tmp_path, ["dev"], monkeypatch, makes=["gravitee"]) as world:
        gateway = start(world)
        ids = await made_by_hand(gateway)
        for number in range(4):
            app = await add_application(gateway, f"More {number}")
            await subscribe(gateway, ids["api"], app, ids["gold"])
        gateway.double.requests.clear()
        found = await proposed(world)
        calls = [r for r in gateway.double.requests if "/subscriptions" in r and r[:3] == "GET"]
        assert len(calls) == 2
        (told,) = [one for one in found.unmapped if one.field == "subscriptions"]
        assert told.effect.startswith("not read: keys, for all foreign ones would take more than 2")
        # Its subscription is known, and that it has a key.
        (phone,) = [one.document for one in found.documents if one.key and one.key.name == "phone"]
        assert [one["type"] for one in phone["spec"]["credentials"]] == ["api_key"]


async def test_a_plan_asks_for_nothing_of_foreign_apis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with makes_world(tmp_path, ["dev"], monkeypatch, makes=["gravitee"]) as world:
        gateway = start(world)
        await made_by_hand(gateway)
        gateway.double.requests.clear()
        await world.plans()
        assert not [line for line in gateway.double.requests if "/subscriptions" in line]


async def test_odd_names_become_documents_of_their_own_and_nothing_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ['O\'Neil "Feed" a/b', "O\\Neil: feed-a/b", "Ünïcode 🚀 feed", "../../feed"]
    async with makes_world(tmp_path, ["dev"], monkeypatch, makes=["gravitee"]) as world:
        gateway = start(world)
        for number, name in enumerate(names):
            listener = {**FOREIGN["listeners"][0], "paths": [{"path": f"/odd/{number}"}]}  # type: ignore[dict-item, index]
            made = (await sent(gateway, APIS, {**FOREIGN, "name": name, "listeners": [listener]}))[
                "id"
            ]
            plan = await add_plan(gateway, made, f'Plan {name} "x"', {"type": "API_KEY"})
            await subscribe(gateway, made, await add_application(gateway, name), plan)
        found = await proposed(world)
        documents = [one for one in found.documents if one.key is not None]
        titles = [one.document["spec"]["displayName"] for one in documents]
        assert sorted(titles) == sorted([*names, *names])
        assert len({one.path for one in documents}) == 2 * len(names)
        world.write({one.path: yaml_text(one.document) for one in found.documents})
        # None leads out of its folder, and what was written is read as it was meant.
        catalog = world.read()
        assert not catalog.errors, catalog.errors
        resources = catalog.desired[NAME].resources
        assert len([key for key in resources if key.kind in ("api", "application")]) == 8
