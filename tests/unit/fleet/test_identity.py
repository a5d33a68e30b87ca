"""Names and ids of gateways: STOA's documented ones, and one for whatever else is sent."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.fleet.identity import (
    MAX_NAME,
    Mode,
    canonical_environment,
    gateway_id,
    identity_name,
    parse_mode,
    spellings,
)

DOCUMENT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
modes = st.sampled_from(Mode)
environments = st.sampled_from(("dev", "staging", "prod", "qa", "eu-west"))
hosts = st.text(min_size=1).filter(lambda text: text.strip() != "")


@pytest.mark.parametrize(
    ("hostname", "mode", "environment", "name"),
    [
        ("stoa-gw-abc123", "edge-mcp", "prod", "stoa-gw-abc123-edgemcp-prod"),
        ("kong-sidecar-xyz", "sidecar", "staging", "kong-sidecar-xyz-sidecar-staging"),
        ("GW-1", "edge_mcp", "Production", "gw-1-edgemcp-prod"),
    ],
)
def test_the_documented_names(hostname: str, mode: str, environment: str, name: str) -> None:
    assert identity_name(hostname, parse_mode(mode), environment) == name


@pytest.mark.parametrize("text", ["edge-mcp", "edge_mcp", "edgemcp", "mcp", " Edge-MCP "])
def test_every_spelling_of_the_first_mode(text: str) -> None:
    assert parse_mode(text) is Mode.EDGE_MCP


def test_an_unknown_mode_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="edge-mcp, sidecar, proxy, shadow, connect"):
        parse_mode("banana")


@pytest.mark.parametrize("hostname", ["", "  "])
def test_a_blank_host_name_is_refused(hostname: str) -> None:
    with pytest.raises(ValueError, match="not blank"):
        identity_name(hostname, Mode.PROXY, "dev")


@pytest.mark.parametrize("environment", ["", "日本", "///"])
def test_an_environment_without_letters_is_refused(environment: str) -> None:
    with pytest.raises(ValueError, match="letter or digit"):
        canonical_environment(environment)


@given(hosts, modes, environments)
def test_any_host_name_gives_a_name_that_a_document_can_have(
    hostname: str, mode: Mode, environment: str
) -> None:
    name = identity_name(hostname, mode, environment)
    assert DOCUMENT_NAME.fullmatch(name)
    assert name.endswith(f"-{mode.short}-{environment}")
    assert identity_name(hostname, mode, environment) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [("inst_shadow_1", "inst-shadow-1"), ("../gw", "gw"), ("gw.a", "gw-a"), ("ä", "ö")],
)
def test_odd_host_names_do_not_become_that_of_another(one: str, other: str) -> None:
    assert identity_name(one, Mode.PROXY, "dev") != identity_name(other, Mode.PROXY, "dev")


def test_long_host_names_that_differ_at_the_end_differ() -> None:
    names = {identity_name("x" * 300 + end, Mode.EDGE_MCP, "staging") for end in "abc"}
    assert len(names) == 3
    assert {len(name) for name in names} == {MAX_NAME}


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True), modes, environments)
def test_the_spelling_of_the_real_gateway_leads_to_the_name(
    hostname: str, mode: Mode, environment: str
) -> None:
    name = identity_name(hostname, mode, environment)
    assert name in set(spellings(f"{hostname}-{mode.value}-{environment}"))
    assert next(iter(spellings(name))) == name


@given(st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True), environments)
def test_a_host_that_ends_with_edge_is_not_asked_for_by_the_other_one(
    hostname: str, environment: str
) -> None:
    asked = f"{hostname}-edge-mcp-{environment}"
    neighbour = identity_name(f"{hostname}-edge", Mode.EDGE_MCP, environment)
    assert neighbour not in set(spellings(asked))
    assert neighbour in set(spellings(f"{hostname}-edge-edge-mcp-{environment}"))


def test_a_host_may_be_called_edge() -> None:
    assert "edge-edgemcp-dev" in set(spellings("edge-mcp-dev"))


def test_environments_have_aliases_there_too() -> None:
    assert "a-edgemcp-prod" in set(spellings("a-edge-mcp-production"))
    assert "inst-shadow-1-a4d41218-shadow-staging" in set(spellings("inst_shadow_1-shadow-staging"))


@given(st.text())
def test_any_text_may_be_asked_for(text: str) -> None:
    assert text.strip() in list(spellings(text))


def test_an_id_is_a_uuid_of_the_name() -> None:
    assert gateway_id("a-edgemcp-prod") == gateway_id("a-edgemcp-prod")
    assert gateway_id("a-edgemcp-prod") != gateway_id("b-edgemcp-prod")
    assert gateway_id("a")[14] == "5"


def test_an_environment_that_leaves_no_room_in_a_name_is_refused() -> None:
    assert len(identity_name("büro", Mode.PROXY, "e" * 48)) == MAX_NAME
    for length in (49, 63, 64, 100):
        with pytest.raises(ValueError, match="at most 48 characters"):
            identity_name("pod", Mode.PROXY, "e" * length)
