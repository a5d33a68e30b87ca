"""What the real gateway got wrong and this one must not: each trap, and the tests that keep it out.

Numbers are those of the contract's list of traps (13: found in its history; N: found by running it;
others: the section that names it).
"""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, Upstream, running

TRAPS = {
    "1.2 secrets are listed in clear": [
        "admin/test_api::test_a_route_is_read_back_with_every_field_and_never_the_credential",
        "admin/test_api::test_consumers_are_read_back_by_fingerprint",
    ],
    "1.3 names are not resolved before they are trusted": [
        "foundation/test_address_guard::test_a_name_is_checked_by_the_address_it_is_connected_to",
        "foundation/test_address_guard::test_literals_are_checked_again_when_they_are_connected_to",
    ],
    "1.4 policies are stored and never applied": [
        "policies/test_policies::test_a_rate_limit_is_enforced_for_anonymous_clients",
        "admin/test_api::test_a_policy_with_a_wrong_config_is_refused",
    ],
    "1.4 a limit is checked and recorded in two steps": [
        "test_traps::test_requests_at_once_never_get_more_than_the_limit",
        "core/test_counters::test_a_request_that_one_limit_refuses_is_counted_by_none",
    ],
    "16.2 quotas are never enforced": [
        "policies/test_quota::test_requests_over_the_quota_are_refused_until_the_next_period",
        "policies/test_quota::test_a_restart_goes_on_with_the_count",
    ],
    "16.6 any audience and any time are accepted": [
        "policies/test_jwt::test_issuer_audience_and_times_are_checked",
        "policies/test_jwt::test_times_have_the_tolerance_of_the_policy_and_no_more",
    ],
    "16.6 any bearer opens": [
        "policies/test_jwt::test_no_algorithm_but_the_known_asymmetric_ones_is_accepted",
        "policies/test_jwt::test_tokens_of_clients_that_are_no_application_are_refused",
    ],
    "16.1.5 a rejection of a circuit breaker counts twice": [
        "admin/test_figures::test_breakers_of_backends_that_failed_are_listed_and_can_be_closed"
    ],
    "1.7, 13.13 a swap drops routes": [
        "admin/test_api::test_a_refused_update_leaves_the_old_route_in_place",
        "core/test_match::test_a_table_made_step_by_step_equals_one_made_at_once",
    ],
    "1.8 a prefix has no boundary": ["core/test_match::test_a_prefix_ends_at_a_segment_boundary"],
    "1.8 ties are decided by chance": [
        "core/test_match::test_routes_that_collide_are_decided_by_id_whatever_the_order"
    ],
    "1.8, 13.45 decoded paths are sent upstream": [
        "core/test_match::test_what_is_not_refused_is_forwarded_as_it_was_sent",
        "engines/complete/test_forwarding::test_the_remainder_and_query_go_upstream_byte_for_byte",
    ],
    "1.8 retries lose bodies and headers": [
        "engines/complete/test_fallback::test_other_requests_are_tried_once",
        "engines/complete/test_failures::test_a_backend_credential_goes_with_every_retry_and_never_to_the_fallback",
    ],
    "1.8 identity headers of the caller pass": [
        "engines/complete/test_forwarding::test_claims_of_identity_and_hop_headers_do_not_pass"
    ],
    "16.1.1 unknown admin paths are open": [
        "admin/test_api::test_a_catch_all_route_does_not_get_the_admin_paths"
    ],
    "16.1.3 the address check has holes": [
        "foundation/test_address_guard::test_addresses_that_are_not_public_are_refused",
        "foundation/test_address_guard::test_backends_that_cannot_be_trusted_are_refused",
        "admin/test_api::test_everything_wrong_with_a_route_is_reported_and_nothing_is_stored",
    ],
    "16.2 an upgrade becomes a plain request": [
        "engines/complete/test_websocket::test_messages_pass_both_ways_through_the_whole_pipeline"
    ],
    "13.14 one bad object spoils others": [
        "admin/test_api::test_everything_wrong_with_a_route_is_reported_and_nothing_is_stored"
    ],
    "13.33 readiness hangs on what not every request needs": [
        "test_traps::test_readiness_does_not_hang_on_upstreams",
        "engines/complete/test_failures::test_readiness_is_set_by_the_embedding_process",
    ],
    "13.34 a missing admin token fails in silence": [
        "test_recorded_admin::test_a_recorded_exchange_is_answered_alike"
    ],
    "13.39 tenants see each other": [
        "admin/test_api::test_an_instance_of_one_tenant_refuses_others",
        "admin/test_api::test_an_api_id_of_another_tenant_is_refused",
    ],
    "13.40 blank ids, partial writes": [
        "admin/test_api::test_everything_wrong_with_a_route_is_reported_and_nothing_is_stored"
    ],
    "13.41, 13.42 settings are guessed, secrets printed": [
        "test_app::test_a_setting_that_is_wrong_is_named",
        "test_app::test_settings_are_read_and_the_token_is_never_shown",
        "test_app::test_no_secret_gets_into_the_log",
    ],
    "13.44 a limit merges callers": [
        "test_traps::test_clients_whose_keys_begin_alike_are_counted_apart"
    ],
    "13.46 faults show their insides": ["test_traps::test_a_fault_of_ours_shows_no_details"],
    "13.50 success is made up": [
        "engines/complete/test_forwarding::test_a_response_that_breaks_off_is_not_taken_for_whole",
        "engines/complete/test_failures::test_a_response_that_cannot_be_read_is_a_502_that_says_why",
    ],
    "N1 the caller's path chooses the host": [
        "core/test_match::test_no_path_changes_the_host_or_leaves_the_base",
        "engines/test_backend_traps::test_no_path_changes_the_host_of_any_backend",
    ],
    "N2 GET and DELETE with a body hang": [
        "engines/complete/test_forwarding::test_bodies_are_forwarded_with_every_method",
        "engines/test_backend_traps::test_a_get_with_a_body_arrives_whole_at_each_backend",
    ],
    "N3 redirects carry credentials elsewhere": [
        "engines/complete/test_forwarding::test_redirects_are_handed_to_the_client",
        "engines/test_backend_traps::test_no_redirect_carries_a_credential_to_another_host",
        "engines/test_backend_auth::test_a_token_endpoint_that_leads_away_or_may_not_be_called_gives_no_token",
    ],
    "N4 a credential is added beside the caller's": [
        "engines/complete/test_forwarding::test_a_backend_credential_replaces_the_clients",
        "policies/test_request_and_response_policies::test_a_backend_credential_stands_above_header_edits",
    ],
    "N5 a balancer that does not balance": [
        "engines/test_backends::test_each_backend_gets_exactly_its_weight_and_the_turn_outlives_writes",
        "engines/test_backends::test_equal_backends_take_turns",
        "core/test_balancing::test_the_turn_stays_over_a_swap_while_the_backends_stay",
    ],
    "16.1.3 upstreams are not checked": [
        "engines/test_backends::test_backends_and_checks_are_under_the_address_rules",
    ],
    "N6 bodies above 4097 bytes are lost": [
        "test_traps::test_bodies_of_every_size_arrive_whole",
        "engines/complete/test_failures::test_a_gigabyte_streams_both_ways_in_bounded_memory",
    ],
    "N7 limits run before authentication": [
        "policies/test_request_and_response_policies::test_policies_run_in_the_documented_order_whatever_their_priorities",
        "test_traps::test_clients_who_are_not_admitted_use_up_nobodys_limit",
    ],
    "N12 a WebSocket takes any token": [
        "engines/complete/test_websocket::test_a_handshake_needs_what_any_request_needs"
    ],
    "N13 some backends are not checked": [
        "foundation/test_address_guard::test_a_denied_fallback_is_refused_at_upsert",
        "engines/complete/test_fallback::test_a_denied_backend_goes_to_the_fallback",
    ],
    "N15 a numeric token breaks the start": [
        "test_app::test_settings_are_read_and_the_token_is_never_shown"
    ],
    "N16 a stop waits for streams for ever": [
        "test_app::test_stopping_waits_for_a_request_and_ends_a_stream_that_never_ends",
        "engines/complete/test_websocket::test_stopping_says_goodbye_and_does_not_wait_for_ever",
        "engines/complete/test_websocket::test_an_end_that_never_answers_a_close_does_not_hold_up_a_stop",
    ],
    "N17 wrong tokens lock the right one out": [
        "admin/test_api::test_bad_tokens_exhaust_nobody_elses_limit"
    ],
    "N18 prefixes / and …/ are dead": [
        "engines/complete/test_forwarding::test_prefixes_that_end_in_a_slash_work"
    ],
    "N19 dots leave the base path": [
        "engines/complete/test_forwarding::test_paths_that_could_escape_are_refused"
    ],
    "N20 a route works only after an interval": [
        "test_traps::test_a_route_works_as_soon_as_it_is_acknowledged"
    ],
    "N21 garbage is acknowledged": [
        "admin/test_api::test_everything_wrong_with_a_route_is_reported_and_nothing_is_stored"
    ],
    "N22 a slash at the end of the control plane's URL is doubled": [
        "control_plane/test_registration::test_a_slash_at_the_end_of_the_url_makes_no_double_one"
    ],
    "N24 two processes share a port": ["test_app::test_a_port_in_use_is_named"],
    "N25 the address is ignored": ["test_app::test_only_the_given_address_is_bound"],
}  # fmt: skip
WITHOUT_A_PLACE_HERE = {
    "N8 tools survive their contract", "N9 two ways to a tool have two gates",
    "N10 a caller's token goes on to backends of tools", "N11 approvals of tools are ignored",
    "N14 the id of a client leaves its folder", "N23 tools are called by nobody",
}  # fmt: skip
"""Of MCP and OAuth, which this gateway does not speak."""


def names_in(module: str) -> set[str]:
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_its_tests(trap: str) -> None:
    for name in TRAPS[trap]:
        module, _, function = name.partition("::")
        assert function in names_in(module), name


def test_no_trap_is_left_out() -> None:
    found = [trap.split()[0] for trap in (*TRAPS, *WITHOUT_A_PLACE_HERE) if trap.startswith("N")]
    assert sorted(found, key=lambda name: int(name[1:])) == [f"N{n}" for n in range(1, 26)]


async def test_requests_at_once_never_get_more_than_the_limit(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("rate_limit", {"requests": 10, "window": "1m"})
    answers = await asyncio.gather(*(api.get("/a") for _ in range(40)))
    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 30


async def test_clients_whose_keys_begin_alike_are_counted_apart(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.policy("rate_limit", {"requests": 1, "window": "1m"})
    keys = ["a" * 40 + "1", "a" * 40 + "2"]
    for number, key in enumerate(keys):
        await api.consumer(key, f"c{number}")
    statuses = [(await api.get("/a", {"X-API-Key": key})).status for key in keys * 2]
    assert statuses == [200, 200, 429, 429]


async def test_clients_who_are_not_admitted_use_up_nobodys_limit(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.policy("rate_limit", {"requests": 1, "window": "1m", "by": "tenant"})
    await api.consumer("k1")
    assert {(await api.get("/a", {"X-API-Key": "no"})).status for _ in range(5)} == {401}
    assert (await api.get("/a", {"X-API-Key": "k1"})).status == 200


async def test_readiness_does_not_hang_on_upstreams(api: Api, closed_url: str) -> None:
    await api.route(closed_url)
    assert (await api.get("/a")).status == 502
    assert (await api.get("/ready")).status == 200


async def test_a_fault_of_ours_shows_no_details(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the insides")

    monkeypatch.setattr(api.gateway.pipeline, "decide", fail)
    answer = await api.get("/a")
    assert (answer.status, answer.content_type) == (500, "application/problem+json")
    assert "insides" not in await answer.text()
    assert "insides" in caplog.text


@pytest.mark.parametrize("size", [1, 4096, 4097, 4098, 65_535, 65_536, 65_537, 300_000])
async def test_bodies_of_every_size_arrive_whole(api: Api, upstream: Upstream, size: int) -> None:
    async def measure(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=(await request.read())[::-1])

    upstream.answer = measure
    body = bytes(number % 251 for number in range(size))
    await api.route(upstream.url)
    answer = await api.send("POST", "/a", data=body)
    assert answer._body == body[::-1]


async def test_a_route_works_as_soon_as_it_is_acknowledged(upstream: Upstream) -> None:
    async with running() as api:
        await api.route(upstream.url)
        assert (await api.get("/a")).status == 200
