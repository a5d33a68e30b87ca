"""What the node is.

Asked, believed as long as it is the same, and refused where this adapter does not speak to it.
"""

from __future__ import annotations

import json

import pytest

from stoa_gitops.errors import GatewayError
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import Testbed, apis, foreign_for, kong, limit, policy


@pytest.mark.parametrize(
    ("version", "database", "title"),
    [
        ("3.9.1", "off", "kong 3.9.1 (document writes, paths as regular expressions)"),
        ("3.4.2", "postgres", "kong 3.4.2 (paths as regular expressions)"),
    ],
)
async def test_the_title_says_how_the_node_is_written_and_how_paths_are(
    version: str, database: str, title: str
) -> None:
    async with kong(version, database) as testbed:  # type: ignore[arg-type]
        assert (await testbed.driver.health()).success
        assert testbed.driver.title == title


@pytest.mark.parametrize(
    ("version", "edition", "words"),
    [
        ("2.8.5", "community", "Kong 2.8.5 is not supported: this adapter speaks to 3.0 to 3.9"),
        ("4.0.0", "community", "Kong 4.0.0 is not supported"),
        ("3.9.1", "enterprise", "Kong Enterprise 3.9.1 is not supported"),
    ],
)
async def test_a_node_that_this_adapter_does_not_know_is_refused_in_words(
    version: str, edition: str, words: str
) -> None:
    double = KongDouble(version, edition=edition)
    async with kong(double=double) as testbed:
        health = await testbed.driver.health()
        assert not health.success
        assert words in str(health.error)
        with pytest.raises(GatewayError):
            await testbed.adapter.list_apis()  # type: ignore[union-attr]
        assert testbed.double.posts == []


async def test_a_minor_that_nobody_tried_is_worked_and_said_so() -> None:
    double = KongDouble("3.10.0")
    async with kong(double=double) as testbed:
        await testbed.converge(apis("billing"))
        assert "newer than 3.9" in testbed.driver.title
        assert set(testbed.ours()) == {"acme.billing"}


async def test_a_401_from_a_proxy_before_the_node_is_about_credentials_and_not_about_the_node() -> (
    None
):
    async with kong() as testbed:
        await testbed.converge(apis("billing"))
        testbed.double.nginx_401()
        health = await testbed.driver.health()
        assert (health.success, health.reason) == (False, "GatewayUnauthorized")
        assert "spec.auth" in str(health.error)
        state = await testbed.driver.observe(testbed.records)
        assert (state.is_complete, state.objects) == (False, ())


async def test_the_upgrade_of_a_node_is_noticed_by_the_name_it_gives_itself() -> None:
    async with kong("3.4.2") as testbed:
        await testbed.converge(apis("billing"))
        testbed.double.become("3.9.1")
        start = len(testbed.double.requests)
        plan = await testbed.plan(apis("billing"))
        assert plan.is_empty, plan.changes
        assert "3.9.1" in plan.title
        assert "GET /" in testbed.requests_since(start)


@pytest.mark.parametrize("database", ["off", "postgres"])
async def test_a_list_that_is_cut_in_the_middle_deletes_nothing(database: str) -> None:
    async with kong(database=database) as testbed:  # type: ignore[arg-type]
        await testbed.converge(apis("billing", "crm"))
        testbed.double.restart("persisted")
        testbed.driver._adapter._session._snapshot = None
        testbed.double.cut_answers(1, match="GET /routes")
        plan = await testbed.plan(apis("billing"))
        assert not plan.complete
        assert plan.changes == ()


async def test_another_hash_while_it_is_read_is_read_again() -> None:
    async with kong() as testbed:
        await testbed.converge(apis("billing"))
        testbed.driver._adapter._session._snapshot = None
        seen = 0

        def move_once() -> None:
            nonlocal seen
            seen += 1
            if seen == 2:
                testbed.double.load({"_format_version": "3.0", "_transform": False})

        testbed.double.on_status = move_once
        state = await testbed.driver.observe({})
        assert state.is_complete, state.error
        assert state.objects == ()


async def test_entities_of_a_plugin_that_we_do_not_know_are_carried_over() -> None:
    """`GET /endpoints` names every collection, those of custom plugins included."""
    async with kong("3.4.2") as testbed:
        testbed.double.load(
            {
                "_format_version": "3.0",
                "hmacauth_credentials": [
                    {
                        "id": "55555555-0000-4000-8000-000000000001",
                        "username": "u",
                        "secret": "a-secret",
                        "consumer": {"id": "55555555-0000-4000-8000-000000000002"},
                        "created_at": 1,
                    }
                ],
                "consumers": [
                    {"id": "55555555-0000-4000-8000-000000000002", "username": "u", "created_at": 1}
                ],
            }
        )
        before = testbed.foreign()
        await testbed.converge(apis("billing"))
        assert testbed.foreign() == before


async def test_expressions_of_two_policies_that_share_a_plugin_are_one_plugin() -> None:
    async with kong() as testbed:
        quota = policy("billing", "quota", {"requests": 5000, "period": "month", "by": "consumer"})
        specs = {**apis("billing"), **dict([limit("billing"), quota])}
        outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}
        (plugin,) = testbed.double.entities["plugins"].values()
        assert (plugin["config"]["minute"], plugin["config"]["month"]) == (100, 5000)
        del specs[Key("policy", "acme", "billing.rate_limit")]
        await testbed.converge(specs)
        (plugin,) = testbed.double.entities["plugins"].values()
        assert (plugin["config"]["minute"], plugin["config"]["month"]) == (None, 5000)
        assert (await testbed.plan(specs)).is_empty


async def test_a_plugin_that_a_restart_switched_off_is_known_with_the_next_look() -> None:
    async with kong() as testbed:
        await testbed.converge(apis("billing"))
        assert testbed.driver.capabilities["policy:rate_limit"].supported
        for _ in range(3):
            await testbed.plan(apis("billing"))
        testbed.double.switch_off("rate-limiting")
        await testbed.plan(apis("billing"))
        found = testbed.driver.capabilities["policy:rate_limit"]
        assert (found.supported, found.reason) == (
            False, "the plugin rate-limiting is not enabled on this node",
        )  # fmt: skip


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_a_stock_node_is_read_though_it_has_paths_that_are_no_collections(
    version: str,
) -> None:
    """`/proxy-cache/{cache_key}` looks like an entity, and `GET /proxy-cache` is 405."""
    async with kong(version) as testbed:
        testbed.double.load(foreign_for(version))
        await testbed.converge(apis("billing"))
        assert (await testbed.plan(apis("billing"))).is_empty
        assert testbed.count("GET /proxy-cache") == 0
        # A bundled plugin's own collection is read, so that what it holds is carried over.
        assert testbed.count("GET /acme_storage") > 0


def _with_names(*names: str) -> dict[str, object]:
    certificate = "66666666-0000-4000-8000-000000000001"
    return {
        "_format_version": "3.0",
        "certificates": [
            {"id": certificate, "cert": "-----BEGIN CERTIFICATE-----\nx",
             "key": "-----BEGIN PRIVATE KEY-----\nx", "created_at": 1},
        ],
        "snis": [
            {"id": f"66666666-0000-4000-8000-00000000001{at}", "name": name,
             "certificate": {"id": certificate}, "created_at": 1}
            for at, name in enumerate(names)
        ],
    }  # fmt: skip


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_certificates_with_names_do_not_stop_writes_and_keep_their_names(
    version: str,
) -> None:
    async with kong(version) as testbed:
        testbed.double.load(_with_names("shop.example", "*.shop.example"))
        before = testbed.foreign()
        for specs in (apis("billing", "crm"), apis("crm", active=False)):
            outcomes = await testbed.converge(specs)
            assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
            assert testbed.foreign() == before


async def _refused_writes(testbed: Testbed, words: str) -> None:
    """Reading goes on, the heading says why nothing is written, and nothing is lost."""
    before, posts = testbed.foreign(), len(testbed.double.posts)
    plan = await testbed.plan(apis("billing"))
    assert plan.complete
    outcomes = await testbed.execute(plan)
    assert {o.status for o in outcomes} == {Status.FAILED}
    assert all(words in o.message for o in outcomes)
    assert (await testbed.plan(apis("billing"))).complete
    assert words in testbed.driver.title
    assert testbed.foreign() == before
    assert len(testbed.double.posts) == posts


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
@pytest.mark.parametrize("count", [100, 150, 1010])
async def test_targets_that_the_node_does_not_list_are_never_lost(count: int, version: str) -> None:
    """3.9.1 lists 1,000 of an upstream, and has no second page; two may have one address."""
    upstream = "77777777-0000-4000-8000-000000000000"
    targets = [
        {"id": f"77777777-0000-4000-8000-{at:012d}", "weight": at % 7, "created_at": 1,
         "target": f"10.0.{at // 200}.{at % 200 // 2}:80", "upstream": {"id": upstream}}
        for at in range(1, count + 1)
    ]  # fmt: skip
    async with kong(version) as testbed:
        testbed.double.load(
            {
                "_format_version": "3.0",
                "upstreams": [{"id": upstream, "name": "many", "created_at": 1}],
                "targets": targets,
            }
        )
        before = testbed.foreign()["targets"]
        outcomes = await testbed.converge(apis("billing"))
        assert {o.status for o in outcomes} == {Status.APPLIED}
        assert testbed.foreign()["targets"] == before
        assert len(before) == count


async def test_a_list_with_an_id_twice_stops_writes_until_it_is_whole() -> None:
    key_set = "88888888-0000-4000-8000-000000000000"
    keys = [
        {"id": f"88888888-0000-4000-8000-00000000000{at}", "name": f"k{at}", "kid": str(at),
         "jwk": json.dumps({"kty": "oct", "kid": str(at), "k": "c2VjcmV0"}),
         "set": {"id": key_set} if at == 1 else None, "created_at": 1}
        for at in (1, 2)
    ]  # fmt: skip
    document = {
        "_format_version": "3.0",
        "key_sets": [{"id": key_set, "name": "set", "created_at": 1}],
        "keys": keys,
    }
    async with kong("3.4.2") as testbed:
        testbed.double.load(document)
        await _refused_writes(
            testbed, "keys/88888888-0000-4000-8000-000000000001 is in the export alone"
        )
        for one in document["keys"]:
            one["set"] = {"id": key_set}  # type: ignore[index]
        testbed.double.load(document)
        outcomes = await testbed.converge(apis("billing"))
        assert {o.status for o in outcomes} == {Status.APPLIED}
        assert len(testbed.foreign()["keys"]) == 2
