"""`adopt` over a running Kong: its objects become documents that plan to nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest

from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.e2e.running import run_command

Database = Literal["off", "postgres"]
SERVICE, CONSUMER, ROUTE, OTHER = (f"44444444-0000-4000-8000-00000000000{n}" for n in range(4))


def uid(suffix: str) -> str:
    """An id as Kong makes them; `suffix` has two digits."""
    return f"44444444-0000-4000-8000-0000000000{suffix}"


KONG: dict[str, Any] = {
    "_format_version": "3.0",
    "_transform": False,
    "services": [
        {"id": SERVICE, "name": "acme.shop", "host": "shop.example", "port": 8080, "path": "/v2"},
        {"id": OTHER, "name": "Legacy_Orders", "host": "10.0.0.9", "connect_timeout": 500,
         "retries": 3},
        {"id": uid("c1"), "name": "mail", "protocol": "tcp", "host": "m.example"},
        {"id": uid("c2"), "name": "idle", "host": "idle.example"},
    ],
    "routes": [
        {"id": ROUTE, "name": "shop", "service": {"id": SERVICE}, "paths": ["~/shop(?:/|$)"],
         "regex_priority": 1},
        {"id": uid("c3"), "name": "orders", "service": {"id": OTHER},
         "paths": ["/orders", "~/by-id/\\d+$"]},
        {"id": uid("c4"), "name": "mail", "protocols": ["tcp"],
         "destinations": [{"port": 25}], "service": {"id": uid("c1")}},
        {"id": uid("c5"), "name": "lonely", "paths": ["/lonely"]},
    ],
    "plugins": [
        {"id": uid("d1"), "name": "key-auth", "service": {"id": SERVICE},
         "config": {"key_names": ["X-API-Key"], "key_in_query": False, "hide_credentials": True}},
        {"id": uid("d2"), "name": "acl", "service": {"id": SERVICE},
         "config": {"allow": ["acme", "acme.shop"], "hide_groups_header": True}},
        {"id": uid("d3"), "name": "rate-limiting", "service": {"id": SERVICE},
         "config": {"minute": 100, "limit_by": "consumer", "policy": "local"}},
        {"id": uid("d4"), "name": "bot-detection", "service": {"id": SERVICE}},
        {"id": uid("d5"), "name": "prometheus"},
        {"id": uid("d6"), "name": "cors", "service": {"id": OTHER},
         "config": {"origins": ["https://(a|b)\\.example"]}},
    ],
    "consumers": [
        {"id": CONSUMER, "username": "acme.buyer"},
        {"id": uid("e1"), "username": "nobody", "custom_id": "n-1"},
    ],
    "keyauth_credentials": [
        {"id": uid("e2"), "key": "s3cr3t-key-1", "consumer": {"id": CONSUMER}},
    ],
    "basicauth_credentials": [
        {"id": uid("e3"), "username": "buyer", "consumer": {"id": CONSUMER},
         "password": "e80f30b4dfffb5bcf41153b6593f1d8831cb8808"},
    ],
    "acls": [
        {"id": uid("e4"), "group": "acme.shop", "consumer": {"id": CONSUMER}},
        {"id": uid("e5"), "group": "acme", "consumer": {"id": CONSUMER}},
    ],
    "vaults": [
        {"id": uid("e6"), "prefix": "my-env", "name": "env", "config": {"prefix": "K_"}},
    ],
}  # fmt: skip
KEYS = (
    "api/acme/shop",
    "policy/acme/shop.api_key",
    "policy/acme/shop.rate_limit",
    "application/acme/buyer",
)
NONE: Mapping[str, Any] = {}
SECRET: Mapping[str, Any] = {"ACME_BUYER_KEY": "s3cr3t-key-1"}


class Site:
    """A catalog with one Kong in it, the Kong, and its proxy."""

    def __init__(self, root: Path, double: KongDouble, admin: str, proxy: str) -> None:
        self.root, self.double, self.proxy = root, double, proxy
        gateway = root / "gateways/kong-prod.yaml"
        gateway.parent.mkdir(parents=True)
        gateway.write_text(
            "apiVersion: gostoa.dev/v1alpha1\nkind: GatewayInstance\nmetadata: {name: kong-prod}\n"
            f"spec: {{gatewayType: kong, environment: prod, baseUrl: '{admin}'}}\n"
        )

    async def run(
        self, *arguments: str, code: int = 0, variables: Mapping[str, Any] = NONE
    ) -> tuple[str, str]:
        where = ["--catalog", str(self.root), "--state", str(self.root.parent / "state")]
        if arguments[0] == "validate":
            where = where[:2]
        found, out, err = await run_command(*arguments, *where, **variables)
        assert found == code, out + err
        assert "s3cr3t" not in out + err
        return out, err

    def take(self, folder: Path) -> None:
        """Copy written documents into the catalog, as a person would."""
        shutil.copytree(folder, self.root, dirs_exist_ok=True)

    async def answers(self) -> dict[str, Any]:
        found = {}
        asked = {
            "/shop/a": "s3cr3t-key-1",
            "/shop": "wrong",
            "/orders/7": "",
            "/by-id/7": "",
            "/lonely": "",
        }
        async with aiohttp.ClientSession(self.proxy) as session:
            for path, key in asked.items():
                async with session.get(path, headers={"X-API-Key": key}) as answer:
                    body = await answer.json()
                    body.pop("route", None)
                    found[path] = answer.status, body
        return found

    def held(self) -> dict[str, Any]:
        return {
            ident: {name: value for name, value in entity.items() if name != "updated_at"}
            for held in self.double.entities.values()
            for ident, entity in held.items()
        }


@asynccontextmanager
async def site(folder: Path, database: Database = "off") -> AsyncIterator[Site]:
    double = KongDouble("3.9.1", database=database)
    source = KongDouble("3.9.1")
    text = source.load(KONG)
    if database == "off":
        double.load(json.loads(text))
    else:
        double.entities = json.loads(json.dumps(source.entities))
    admin, admin_url = await listening(double.app())
    proxy, proxy_url = await listening(double.proxy_app())
    try:
        yield Site(folder / "catalog", double, admin_url, proxy_url)
    finally:
        await proxy.cleanup()
        await admin.cleanup()


@pytest.mark.parametrize("database", ["off", "postgres"])
async def test_what_a_kong_holds_becomes_documents_that_plan_to_nothing_and_can_be_adopted(
    tmp_path: Path, database: Database
) -> None:
    async with site(tmp_path, database) as here:
        out, err = await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"))
        assert "tenants/acme/apis/shop/api.yaml" in out
        assert f"stoa-gitops adopt kong-prod {KEYS[0]}" in err
        here.take(tmp_path / "out")
        await here.run("validate")
        out, _ = await here.run("plan", "--output", "json")
        (plan,) = json.loads(out)["gateways"]
        assert plan["changes"] == []
        assert {skip["reason"] for skip in plan["skipped"]} == {"Unmanaged"}
        before, routed = here.held(), await here.answers()
        await here.run("adopt", "kong-prod", *KEYS, "--yes", variables=SECRET)
        out, _ = await here.run("plan", "--output", "json", variables=SECRET)
        (plan,) = json.loads(out)["gateways"]
        assert plan["changes"] == []
        after = here.held()
        ours = {
            i
            for i, entity in after.items()
            if "stoa-managed-by:default" in (entity.get("tags") or ())
        }
        replaced = before.keys() - after.keys() | ours
        assert {i: e for i, e in before.items() if i not in replaced} == {
            i: e for i, e in after.items() if i not in replaced
        }
        assert {SERVICE, CONSUMER} <= ours
        assert ROUTE not in after
        assert await here.answers() == routed


async def test_what_no_document_says_is_listed_with_what_becomes_of_it(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        _, err = await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"))
        page = (tmp_path / "out/NOT-EXPRESSED.md").read_text()
        legacy = (tmp_path / "out/tenants/default/apis/legacy-orders/api.yaml").read_text()
        assert "s3cr3t" not in page + legacy
        for words in (
            "api/default/mail",
            "idle",
            "prometheus",
            "global",
            "lonely",
            "bot-detection",
            "my-env",
            "by-id",
            "connect_timeout",
            "application/default/nobody",
            "user name and password buyer",
            "cors",
        ):
            assert words in page, words
            assert words in err, words
        first, *_ = legacy.splitlines()
        assert first.startswith("# Adopting this changes what requests do")
        assert "service.connect_timeout" in first
        assert not (tmp_path / "out/tenants/default/apis/mail").exists()
        assert not (tmp_path / "out/tenants/default/apis/idle").exists()
        assert not (tmp_path / "out/tenants/default/applications").exists()
        shop = (tmp_path / "out/tenants/acme/apis/shop/api.yaml").read_text()
        [comment] = [line for line in shop.splitlines() if line.startswith("#")]
        assert comment.startswith("# What keeps callers out here is not said, and others let them")
        assert comment.endswith("service acme.shop plugins.bot-detection")


async def test_a_credential_is_a_reference_that_is_not_compared_while_it_is_not_set(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        _, err = await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"))
        assert "application/acme/buyer: set ACME_BUYER_KEY before you apply it" in err
        text = (tmp_path / "out/tenants/acme/applications/buyer.yaml").read_text()
        assert text.startswith("# A gateway does not give credentials back: set ACME_BUYER_KEY")
        assert "env: ACME_BUYER_KEY" in text
        here.take(tmp_path / "out")
        await here.run("adopt", "kong-prod", *KEYS, "--yes", variables=SECRET)
        out, _ = await here.run("plan")
        assert "no value here for env:ACME_BUYER_KEY: whether it changed is not known" in out
        assert "no changes, 4 unchanged" in out


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        there = tmp_path / "out/NOT-EXPRESSED.md"
        there.parent.mkdir()
        there.write_text("mine")
        _, err = await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"), code=64)
        assert "NOT-EXPRESSED.md" in err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["NOT-EXPRESSED.md"]
        assert there.read_text() == "mine"


async def test_a_deck_file_becomes_the_same_documents_without_asking_the_gateway(
    tmp_path: Path,
) -> None:
    file = tmp_path / "deck.json"
    text = json.dumps({**KONG, "_info": {"select_tags": []}})
    file.write_text(text.replace('"s3cr3t-key-1"', json.dumps('${{ env "DECK_BUYER" }}')))
    async with site(tmp_path) as here:
        await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"))
        start = len(here.double.requests)
        await here.run("adopt", "kong-prod", "--write", str(tmp_path / "deck"), "--from", str(file))
        assert here.double.requests[start:] == []
        written = {p.relative_to(tmp_path / "deck") for p in (tmp_path / "deck").rglob("*.*")}
        assert written == {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.*")}
        # The page and the record name the place that the objects came from.
        told = {Path("NOT-EXPRESSED.md"), *(path for path in written if ".imported" in path.parts)}
        for path in written - told - {Path("tenants/acme/applications/buyer.yaml")}:
            assert (tmp_path / "deck" / path).read_text() == (tmp_path / "out" / path).read_text()
        buyer = (tmp_path / "deck/tenants/acme/applications/buyer.yaml").read_text()
        assert "env: ACME_BUYER_KEY" in buyer
        here.take(tmp_path / "deck")
        await here.run(
            "adopt", "kong-prod", *KEYS, "--yes", variables={"ACME_BUYER_KEY": "s3cr3t-key-1"}
        )
        routed = await here.answers()
        assert routed["/shop/a"][0] == 200


async def test_a_file_that_cannot_be_read_is_said_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "deck.yaml"
    file.write_text('_format_version: "3.0"\nservices:\n- name: shop\n  host: [1]\n')
    async with site(tmp_path) as here:
        arguments = ("adopt", "kong-prod", "--write", str(tmp_path / "out"), "--from")
        _, err = await here.run(*arguments, str(file), code=64)
        assert f"{file}:4: services[0].host: expected a text" in err
        _, err = await here.run(*arguments, str(tmp_path / "none.yaml"), code=64)
        assert "none.yaml cannot be read" in err
        _, err = await here.run("adopt", "kong-prod", KEYS[0], "--from", str(file), code=64)
        assert "--write" in err
        assert not (tmp_path / "out").exists()


async def test_a_gateway_without_such_files_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        gateway = here.root / "gateways/kong-prod.yaml"
        gateway.write_text(gateway.read_text().replace("gatewayType: kong", "gatewayType: stoa"))
        file = tmp_path / "deck.yaml"
        file.write_text("{}")
        arguments = ("adopt", "kong-prod", "--write", str(tmp_path / "out"), "--from", str(file))
        _, err = await here.run(*arguments, code=64)
        assert "Not supported by STOA" in err


async def test_what_a_document_cannot_say_stays_or_goes_as_the_page_said(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"))
        here.take(tmp_path / "out")
        out, _ = await here.run("adopt", "kong-prod", "api/default/legacy-orders", "--yes")
        assert "service.connect_timeout" in out
        held = here.held()
        cors = held[uid("d6")]
        assert cors["config"]["origins"] == ["https://(a|b)\\.example"]
        assert held[OTHER]["connect_timeout"] == 60_000
        answers = await here.answers()
        assert (answers["/orders/7"][0], answers["/by-id/7"][0]) == (200, 404)
        out, _ = await here.run("plan", "--output", "json")
        assert json.loads(out)["gateways"][0]["changes"] == []


async def test_import_gateway_writes_the_same_documents_into_the_catalog(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.run("adopt", "kong-prod", "--write", str(tmp_path / "out"))
        _, err = await here.run("import", "gateway", "kong-prod")
        # The last line is the command that adopts them.
        assert err.splitlines()[-1].startswith("stoa-gitops adopt kong-prod api/acme/shop ")
        catalog = tmp_path / "catalog"
        for file in (tmp_path / "out/tenants").rglob("*.yaml"):
            own = catalog / file.relative_to(tmp_path / "out")
            assert own.read_text() == file.read_text()
        api = catalog / "tenants/acme/apis/shop/api.yaml"
        api.write_text(api.read_text().replace("spec:", "spec:\n  description: Mine", 1))
        before = api.read_text()
        await here.run("adopt", "kong-prod", *KEYS, "--yes", variables=SECRET)
        _, err = await here.run("import", "gateway", "kong-prod")
        assert api.read_text() == before
        assert "no longer" not in err
        _, err = await here.run("import", "gateway", "nothing", code=64)
        assert "the catalog has no gateway nothing; it has kong-prod" in err
        _, err = await here.run("import", "gateway", "kong-prod", "api/acme/none", code=64)
        assert "kong-prod has no foreign object api/acme/none" in err
