"""Conditions after cycles and readings, and the table that explains their reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoa_gitops.model.conditions import REASON_MEANINGS, ConditionReason, ConditionStatus
from stoa_gitops.model.outcomes import Status
from stoa_gitops.reconcile.conditions import IN_SYNC, REACHABLE, cycle_conditions
from stoa_gitops.reconcile.conditions_page import reasons_table
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.suspension import SUSPENDED
from tests.unit.reconcile.world import NOW, worked

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_every_reason_is_explained() -> None:
    assert set(REASON_MEANINGS) == set(ConditionReason)


def test_the_table_in_the_docs_is_current() -> None:
    assert reasons_table() in OPERATIONS.read_text(encoding="utf-8"), (
        "replace the table in docs/operations.md by the output of "
        "`python -m stoa_gitops.reconcile.conditions_page`"
    )


@pytest.mark.parametrize(
    ("result", "reachable", "in_sync"),
    [
        (worked(Status.APPLIED), "Observed", "Applied"),
        (worked(Status.FAILED), "Observed", "ApplyFailed"),
        (worked(Status.QUARANTINED), "Observed", "Quarantined"),
        (worked(error="timed out"), "GatewayUnreachable", "GatewayUnreachable"),
    ],
)
def test_reasons_follow_from_the_result(result: CycleResult, reachable: str, in_sync: str) -> None:
    found = {item.type: item.reason for item in cycle_conditions(result, 1, NOW)}
    assert found == {SUSPENDED: "NotRequested", REACHABLE: reachable, IN_SYNC: in_sync}


def test_a_gateway_that_was_not_read_is_unknown_and_not_out_of_sync() -> None:
    found = {item.type: item.status for item in cycle_conditions(worked(error="x"), 1, NOW)}
    assert found[REACHABLE] is ConditionStatus.FALSE
    assert found[IN_SYNC] is ConditionStatus.UNKNOWN
