from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from stoa_gitops.errors import CatalogUnreachable, StoreError, message_of
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.outcomes import Status
from stoa_gitops.reconcile.conditions import CATALOG
from stoa_gitops.reconcile.metrics import Metric
from stoa_gitops.reconcile.status import StatusRegistry
from tests.unit.reconcile.world import KONG, NOW, catalog, plan, worked


def board() -> StatusRegistry:
    made = StatusRegistry(lambda: NOW, lambda: {"kong": 2.5})
    made.publish_catalog(catalog(), (KONG,))
    return made


def truths(one: StatusRegistry, subject: str = "kong") -> dict[str, tuple[ConditionStatus, str]]:
    return {c.type: (c.status, c.reason) for c in one.conditions(subject)}


def figures(one: StatusRegistry) -> dict[str, Metric]:
    return {metric.name: metric for metric in one.metrics()}


def test_a_gateway_that_matches_is_reachable_and_in_sync() -> None:
    one = board()
    one.add_result("kong", worked(Status.APPLIED))
    assert truths(one)["GatewayReachable"] == (ConditionStatus.TRUE, "Observed")
    assert truths(one)["InSync"] == (ConditionStatus.TRUE, "Applied")


def test_a_gateway_that_is_not_reached_is_unknown_rather_than_out_of_sync() -> None:
    one = board()
    one.add_result("kong", worked(error="no connection"))
    assert truths(one)["GatewayReachable"] == (ConditionStatus.FALSE, "GatewayUnreachable")
    assert truths(one)["InSync"] == (ConditionStatus.UNKNOWN, "GatewayUnreachable")


def test_a_refused_object_is_named_in_the_condition() -> None:
    one = board()
    one.add_result("kong", worked(Status.QUARANTINED))
    (in_sync,) = (c for c in one.conditions("kong") if c.type == "InSync")
    assert (in_sync.reason, in_sync.message) == (
        "Quarantined",
        "api/acme/billing (tenants/acme/apis/billing.yaml:1:1): no",
    )


def test_an_unreadable_catalog_is_a_condition_and_the_last_one_stays() -> None:
    one = board()
    one.publish_unreadable(CatalogUnreachable("no answer"))
    assert truths(one, CATALOG)["CatalogReady"] == (ConditionStatus.FALSE, "CatalogUnreachable")
    assert one.catalog is not None
    assert one.catalog.revision == "main@1"


def test_changed_conditions_are_handed_to_the_store_once() -> None:
    one = board()
    one.add_result("kong", worked())
    first = one.take_unsaved()
    assert {c.type for c in first["kong"]} == {"GatewayReachable", "InSync"}
    one.add_result("kong", worked())
    assert one.take_unsaved() == {}
    one.add_result("kong", worked(error="gone"))
    assert {c.type for c in one.take_unsaved()["kong"]} == {"GatewayReachable", "InSync"}


def test_conditions_of_an_earlier_process_keep_their_times() -> None:
    one = board()
    before = NOW - timedelta(days=3)
    one.restore_conditions(
        "kong", [Condition("InSync", ConditionStatus.TRUE, "Applied", "", 7, before)]
    )
    one.add_result("kong", worked())
    (in_sync,) = (c for c in one.conditions("kong") if c.type == "InSync")
    assert in_sync.last_transition == before


def test_cycles_outcomes_and_durations_are_counted_by_gateway() -> None:
    one = board()
    one.add_result("kong", worked(Status.APPLIED), 0.2)
    one.add_result("kong", worked(Status.FAILED), 7.0)
    found = figures(one)
    cycles = {s.labels: s.value for s in found["stoa_gitops_cycles_total"].samples}
    assert cycles == {
        (("gateway", "kong"), ("status", "ok")): 1,
        (("gateway", "kong"), ("status", "failed")): 1,
    }
    changes = found["stoa_gitops_changes_total"].samples
    assert {dict(s.labels)["status"] for s in changes} == {"applied", "failed"}
    durations = found["stoa_gitops_cycle_duration_seconds"].samples
    buckets = {dict(s.labels)["le"]: s.value for s in durations if s.suffix == "_bucket"}
    assert (buckets["0.1"], buckets["0.25"], buckets["5.0"], buckets["+Inf"]) == (0, 1, 1, 2)
    assert [s.value for s in durations if s.suffix == "_sum"] == [7.2]


def test_queue_age_lag_and_revision_are_figures() -> None:
    one = board()
    one.counters.lags.extend([0.5, 0.001])
    found = figures(one)
    assert found["stoa_gitops_queue_age_seconds"].samples[0].value == 2.5
    assert found["stoa_gitops_catalog_info"].samples[0].labels == (("revision", "main@1"),)
    assert [s.value for s in found["stoa_gitops_loop_lag_seconds"].samples] == [0.001, 0.5]


def test_the_figure_of_a_folder_moves_with_its_content_and_its_name_does_not() -> None:
    one = board()
    one.publish_catalog(catalog(revision="working tree"), (KONG,))
    for content in ("1a2b3c4d", "5e6f7a8b"):
        one.content = lambda content=content: content  # type: ignore[misc]
        samples = figures(one)["stoa_gitops_catalog_info"].samples
        assert samples[0].labels == (("revision", f"working tree@{content}"),)
        assert one.catalog is not None
        assert one.catalog.revision == "working tree"


def test_a_gateway_that_is_gone_leaves_no_figures() -> None:
    one = board()
    one.add_result("kong", worked(Status.APPLIED), 0.2)
    one.publish_catalog(catalog(), ())
    one.remove_gateway("kong")
    labels = [s.labels for metric in one.metrics() for s in metric.samples]
    # a person may have marked it in the moment in which it went: nobody takes that mark any more
    assert [pairs for pairs in labels if ("gateway", "kong") in pairs] == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreError("the disk is full"), "StoreError"), (ValueError("secret"), "InternalError")],
)
def test_a_cycle_that_we_cannot_end_is_counted_and_nothing_is_claimed_of_the_gateway(
    error: Exception, reason: str
) -> None:
    one = board()
    one.publish_catalog(catalog(), (KONG,))
    one.add_result("kong", worked())
    one.add_failure(plan(error=message_of(error)), error)
    known = {c.type: c for c in one.conditions("kong")}
    assert (known["InSync"].status, known["InSync"].reason) == (ConditionStatus.UNKNOWN, reason)
    assert known["GatewayReachable"].status is ConditionStatus.TRUE
    assert "secret" not in known["InSync"].message
    assert not one.is_in_sync()
    assert (("gateway", "kong"), ("status", "failed")) in {
        s.labels for s in figures(one)["stoa_gitops_cycles_total"].samples
    }


def test_the_end_of_a_cycle_of_a_gateway_that_is_gone_leaves_nothing() -> None:
    one = board()
    one.publish_catalog(catalog(), ())
    one.add_result("kong", worked(Status.APPLIED))
    one.add_failure(plan(error="no"), StoreError("no"))
    assert (one.conditions("kong"), one.report("kong"), one.cycles("kong")) == ((), None, 0)
    assert figures(one)["stoa_gitops_cycles_total"].samples == ()


def test_a_gateway_that_is_added_later_makes_nobody_unready() -> None:
    one = board()
    one.publish_catalog(catalog(), (KONG,))
    assert not one.has_reconciled_all()
    one.add_result("kong", worked())
    assert one.has_reconciled_all()
    one.publish_catalog(catalog(), (KONG, replace(KONG, name="new")))
    assert one.has_reconciled_all()
    assert not one.is_in_sync()


@pytest.mark.parametrize(
    ("kind", "reason", "is_well"),
    [
        ("Configurable", "NeverAsks", False),
        ("Acknowledged", "NotTaken", False),
        ("Configurable", "AsksThoughPushed", True),
    ],
)
def test_a_gateway_that_does_not_get_all_is_not_in_sync_while_it_runs(
    kind: str, reason: str, is_well: bool
) -> None:
    one = board()
    one.publish_catalog(catalog(), (KONG,))
    one.add_result("kong", worked())
    assert one.is_in_sync()
    one.set_condition("kong", Condition(kind, ConditionStatus.FALSE, reason, "", 0, one.clock()))
    assert one.is_in_sync() is is_well
    assert one.is_in_sync(but_for=("kong",)), "one that does not run says nothing of the others"


def test_the_embedded_gateway_is_ready_by_its_own_cycle() -> None:
    one = board()
    local = replace(KONG, name="local", base_url="embedded")
    one.publish_catalog(catalog(), (KONG, local))
    one.add_result("kong", worked())
    one.add_result("local", worked(error="not yet"))
    assert not one.has_served_embedded()
    one.add_result("local", worked())
    assert one.has_served_embedded()


def test_conditions_that_could_not_be_stored_are_handed_out_again_unless_they_changed() -> None:
    one = board()
    one.add_result("kong", worked())
    lost = one.take_unsaved()["kong"]
    one.add_result("kong", worked(Status.FAILED))
    one.keep_unsaved("kong", lost)
    again = {c.type: c.status for c in one.take_unsaved()["kong"]}
    assert again == {"GatewayReachable": ConditionStatus.TRUE, "InSync": ConditionStatus.FALSE}
