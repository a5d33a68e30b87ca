from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.daemon.registered_views import RegisteredViews
from stoa_gitops.fleet.health import GatewayStatus
from stoa_gitops.fleet.members import Fleet
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance
from tests.unit.fleet.test_binding import EDGE, catalog_of, document, member

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def views_of(catalog: Catalog, *hosts: str, environment: str = "prod") -> RegisteredViews:
    fleet = Fleet()
    for host in hosts:
        fleet.register(member(host, environment=environment), 0.0, NOW)
    gateways = RegisteredGateways(lambda: (one.registration for one in fleet))
    gateways.expand(catalog)
    return RegisteredViews(gateways, lambda: fleet.members)


def test_a_gateway_without_a_document_shows_that_and_why() -> None:
    (view,) = views_of(catalog_of(), "a").others(NOW)
    assert (view.name, view.bound, view.status) == ("a-edgemcp-prod", False, "ONLINE")
    (condition,) = view.conditions
    assert (condition.type, condition.status, condition.reason) == ("Bound", "False", "NoDocument")
    assert "write one" in condition.message


def test_one_that_several_documents_take_names_them_all() -> None:
    catalog = catalog_of(document("edge", EDGE), document("a-edgemcp-prod"))
    (unbound,) = views_of(catalog, "a").others(NOW)
    assert not unbound.bound
    assert unbound.conditions[0].reason == "SeveralDocuments"
    assert "gateways/edge.yaml" in unbound.conditions[0].message


def test_a_document_without_a_gateway_stays_visible() -> None:
    (view,) = views_of(catalog_of(document("edge", EDGE))).others(NOW)
    assert (view.name, view.bound, view.status) == ("edge", True, "OFFLINE")
    assert view.conditions[0].reason == "NoGateway"


def test_a_document_whose_gateways_are_all_silent_is_not_well() -> None:
    catalog = catalog_of(document("edge", EDGE))
    fleet = Fleet()
    for host in ("a", "b"):
        fleet.register(member(host, environment="prod"), 0.0, NOW)
    gateways = RegisteredGateways(lambda: (one.registration for one in fleet))
    views = RegisteredViews(gateways, lambda: fleet.members)
    one, two = gateways.expand(catalog).gateways
    assert views.silent_documents() == []
    fleet.leave(one.registration_id, 0.0, NOW)
    assert views.silent_documents() == [], "the other one serves"
    assert views.silent_gateways() == {one.name}
    fleet.leave(two.registration_id, 0.0, NOW)
    assert views.silent_documents() == ["edge"]


def test_one_that_is_written_to_and_sends_no_heartbeats_is_never_silent() -> None:
    pushed = replace(document("edge", EDGE), auth=GatewayAuth("bearer"))
    catalog = catalog_of(pushed)
    fleet = Fleet()
    fleet.register(member("a", environment="prod"), 0.0, NOW)
    gateways = RegisteredGateways(lambda: (one.registration for one in fleet))
    views = RegisteredViews(gateways, lambda: fleet.members)
    (one,) = gateways.expand(catalog).gateways
    assert not one.is_pulling
    fleet.tick(0.0, NOW)
    for second in range(1, 95):
        fleet.tick(float(second), NOW)
    assert fleet.get(one.registration_id).status is GatewayStatus.OFFLINE
    assert views.silent_documents() == []
    assert views.silent_gateways() == frozenset()


def test_bound_gateways_are_found_by_their_registration() -> None:
    catalog = catalog_of(document("edge", EDGE))
    views = views_of(catalog, "a")
    assert list(views.others(NOW)) == []
    bound: GatewayInstance = views.gateways.expand(catalog).gateways[0]
    found = views.member(bound)
    assert found is not None
    assert found.name == "a-edgemcp-prod"
