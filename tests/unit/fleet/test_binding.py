"""Which documents take which registered gateways, and what these get."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.fleet.binding import Bindings, Expansion, bind, expand
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import (
    REGISTERED,
    GatewayInstance,
    RegistrationMatch,
    RegistrationRules,
)
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef

EDGE = RegistrationMatch("stoa_edge_mcp", "prod")


def document(
    name: str,
    match: RegistrationMatch | None = None,
    *,
    base_url: str = REGISTERED,
    tenants: tuple[str, ...] = (),
    suspended: bool = False,
) -> GatewayInstance:
    return GatewayInstance(
        name,
        "stoa_edge_mcp",
        "prod",
        base_url,
        SourceRef(f"gateways/{name}.yaml"),
        tenants=tenants,
        suspended=suspended,
        registration=RegistrationRules(match),
    )


def member(
    host: str, mode: Mode = Mode.EDGE_MCP, environment: str = "prod", tenant: str = ""
) -> Registration:
    return Registration.named(
        host, mode, environment, version="1", admin_url=f"http://{host}:8080", tenant_id=tenant
    )


def catalog_of(*documents: GatewayInstance) -> Catalog:
    source = SourceRef("tenants/acme/apis/a/api.yaml")
    resources = {
        key: Resource(key, Spec.of({}), source)
        for key in (Key("api", "acme", "a"), Key("api", "globex", "b"))
    }
    desired = {
        one.name: DesiredState(one.name, "default", "main@1", resources) for one in documents
    }
    return Catalog("default", "main@1", "1", documents, desired)


def names(bindings: Bindings) -> list[str]:
    return sorted(bindings.by_gateway)


def test_a_match_takes_every_gateway_of_its_type_and_environment() -> None:
    members = [
        member("a"), member("b"), member("c", Mode.SIDECAR), member("d", environment="dev"),
    ]  # fmt: skip
    bindings = bind([document("edge", EDGE)], members)
    assert names(bindings) == ["edge/a-edgemcp-prod", "edge/b-edgemcp-prod"]
    assert [one.registration.hostname for one in bindings.unbound.values()] == ["c", "d"]
    assert not any(binding.is_by_name for binding in bindings.bound.values())


def test_a_document_takes_the_gateway_that_is_called_like_it_in_both_spellings() -> None:
    for name in ("pod-1-edgemcp-prod", "pod-1-edge-mcp-prod", "pod-1-edge-mcp-production"):
        bindings = bind([document(name)], [member("pod-1"), member("pod-2")])
        assert names(bindings) == [f"{name}/pod-1-edgemcp-prod"]
        assert all(binding.is_by_name for binding in bindings.bound.values())


def test_a_gateway_that_two_documents_take_gets_neither_and_both_are_named() -> None:
    documents = [document("edge", EDGE), document("pod-1-edgemcp-prod")]
    bindings = bind(documents, [member("pod-1"), member("pod-2")])
    assert names(bindings) == ["edge/pod-2-edgemcp-prod"]
    (unbound,) = bindings.unbound.values()
    assert unbound.rivals == tuple(documents)
    assert unbound.reason == (
        "several documents take it, so none does: edge (gateways/edge.yaml:1), "
        "pod-1-edgemcp-prod (gateways/pod-1-edgemcp-prod.yaml:1)"
    )


def test_a_document_that_takes_others_of_the_environment_is_named_to_one_that_none_takes() -> None:
    other = RegistrationMatch("stoa_proxy", "prod")
    (unbound,) = bind([document("edge", other)], [member("a")]).unbound.values()
    assert unbound.reason == (
        "no document is called a-edgemcp-prod or matches stoa_edge_mcp in prod"
        " (edge, gateways/edge.yaml:1, is for stoa_proxy in prod): write one, gateways/*.yaml of"
        " the catalog"
    )
    far = RegistrationMatch("stoa_proxy", "dev")
    (unbound,) = bind([document("edge", far)], [member("a")]).unbound.values()
    assert "edge" not in unbound.reason.replace("edgemcp", "").replace("edge_mcp", "")


def test_a_document_with_an_address_takes_nobody() -> None:
    bindings = bind([document("a-edgemcp-prod", EDGE, base_url="http://a")], [member("a")])
    assert (bindings.bound, bindings.idle) == ({}, ())
    (unbound,) = bindings.unbound.values()
    assert "no document is called a-edgemcp-prod or matches stoa_edge_mcp in prod" in unbound.reason


def test_a_gateway_of_a_tenant_that_the_document_is_not_for_is_not_bound() -> None:
    bindings = bind([document("edge", EDGE, tenants=("acme",))], [member("a", tenant="globex")])
    assert "for the tenant globex, and edge" in next(iter(bindings.unbound.values())).reason
    assert bindings.idle == ("edge",)


def test_each_bound_gateway_is_one_of_its_own_with_the_resources_of_its_document() -> None:
    catalog = catalog_of(document("edge", EDGE), document("other", base_url="http://o"))
    members = [member("a"), member("b")]
    expanded = expand(catalog, bind(catalog.gateways, members))
    assert [gateway.name for gateway in expanded.gateways] == [
        "edge/a-edgemcp-prod", "edge/b-edgemcp-prod", "other",
    ]  # fmt: skip
    first = expanded.gateways[0]
    assert first.inventory_url == f"registered:{members[0].id}"
    assert (first.base_url, first.document) == ("http://a:8080", "edge")
    assert expanded.desired.keys() == {gateway.name for gateway in expanded.gateways}
    state = expanded.desired[first.name]
    assert state.gateway == first.name
    assert state.resources is catalog.desired["edge"].resources


def test_a_document_that_suspends_suspends_all_of_its_gateways() -> None:
    catalog = catalog_of(document("edge", EDGE, suspended=True))
    expanded = expand(catalog, bind(catalog.gateways, [member("a")]))
    assert [gateway.suspended for gateway in expanded.gateways] == [True]


def test_a_document_without_gateways_is_none() -> None:
    catalog = catalog_of(document("edge", EDGE))
    bindings = bind(catalog.gateways, [])
    expanded = expand(catalog, bindings)
    assert (expanded.gateways, dict(expanded.desired)) == ((), {})
    assert bindings.idle == ("edge",)


def test_a_gateway_of_a_tenant_gets_the_objects_of_that_tenant_only() -> None:
    catalog = catalog_of(document("edge", EDGE))
    bindings = bind(catalog.gateways, [member("a", tenant="acme"), member("b", tenant="acme")])
    last = Expansion()
    first = expand(catalog, bindings, last)
    mappings = [state.resources for state in first.desired.values()]
    assert [list(found) for found in mappings] == [[Key("api", "acme", "a")]] * 2
    assert mappings[0] is mappings[1]
    assert first.gateways[0].tenants == ("acme",)
    again = expand(catalog, bindings, last)
    assert again.desired["edge/a-edgemcp-prod"].resources is mappings[0]
    changed = expand(catalog_of(document("edge", EDGE)), bindings, last)
    assert changed.desired["edge/a-edgemcp-prod"].resources is not mappings[0]


def test_what_did_not_change_is_the_identical_gateway_of_the_last_time() -> None:
    catalog, last = catalog_of(document("edge", EDGE)), Expansion()
    first = expand(catalog, bind(catalog.gateways, [member("a")]), last)
    later = bind(catalog.gateways, [member("a"), member("b")])
    second = expand(catalog, later, last)
    name = "edge/a-edgemcp-prod"
    assert second.gateway(name) is first.gateway(name)
    assert second.desired[name] is first.desired[name]
    moved = bind(catalog.gateways, [member("a", tenant="acme")])
    third = expand(catalog, moved, last)
    assert third == expand(catalog, moved)
    assert third.gateway(name) is not first.gateway(name)
    assert list(last.bound) == [member("a").id]


modes = st.sampled_from(Mode)
environments = st.sampled_from(["prod", "production", "dev", "qa"])
members = st.lists(
    st.builds(
        member,
        st.sampled_from(["a", "b", "a-edge", "edge-mcp"]),
        modes,
        environments,
        st.sampled_from(["", "acme", "globex"]),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)
matches = st.none() | st.builds(
    RegistrationMatch,
    modes.map(lambda mode: mode.gateway_type),
    st.sampled_from(["prod", "dev", "qa"]),
)
documents = st.lists(
    st.builds(
        document,
        st.sampled_from(["edge", "a-edgemcp-prod", "a-edge-mcp-prod", "b-proxy-dev", "edge-mcp"]),
        matches,
        base_url=st.sampled_from([REGISTERED, REGISTERED, "http://x"]),
        tenants=st.sampled_from([(), ("acme",)]),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)


@given(documents, members, st.randoms(use_true_random=False))
def test_each_gateway_is_bound_once_or_not_at_all_whatever_the_order(
    known: list[GatewayInstance], registered: list[Registration], chance: object
) -> None:
    bindings = bind(known, registered)
    ids = {one.id for one in registered}
    assert bindings.bound.keys() | bindings.unbound.keys() == ids
    assert not bindings.bound.keys() & bindings.unbound.keys()
    assert len(bindings.by_gateway) == len(bindings.bound)
    shuffled, others = list(known), list(registered)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    chance.shuffle(others)  # type: ignore[attr-defined]
    assert bind(shuffled, others) == bindings


@given(documents, members)
def test_a_conflict_names_all_documents_that_would_take_the_gateway_alone(
    known: list[GatewayInstance], registered: list[Registration]
) -> None:
    together = bind(known, registered)
    for one in registered:
        alone = [
            taker
            for taker in known
            if (found := bind([taker], [one])).bound or "tenant" in found.unbound[one.id].reason
        ]
        if len(alone) > 1:
            assert {rival.name for rival in together.unbound[one.id].rivals} == {
                taker.name for taker in alone
            }
        elif alone and (one.id in together.bound):
            assert together.bound[one.id].document == alone[0]


@given(documents, members)
def test_what_is_expanded_is_what_is_bound_and_the_other_gateways(
    known: list[GatewayInstance], registered: list[Registration]
) -> None:
    catalog = catalog_of(*known)
    bindings = bind(catalog.gateways, registered)
    expanded = expand(catalog, bindings, Expansion())
    fixed = {gateway.name for gateway in known if not gateway.is_unbound}
    assert {gateway.name for gateway in expanded.gateways} == fixed | bindings.by_gateway.keys()
    for name, binding in bindings.by_gateway.items():
        tenant = binding.registration.tenant_id
        keys = expanded.desired[name].resources.keys()
        assert all(key.tenant == tenant for key in keys) if tenant else len(keys) == 2
