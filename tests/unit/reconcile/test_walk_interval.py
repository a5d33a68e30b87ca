from __future__ import annotations

import pytest

from stoa_gitops.reconcile.catalog_watcher import walk_interval


@pytest.mark.parametrize(
    ("asked", "of_gateways", "expected"),
    [
        (None, [], 60.0),
        (None, [300.0, 3600.0], 60.0),
        (None, [300.0, 2.0], 2.0),
        (None, [0.01], 1.0),
        (3600.0, [2.0], 60.0),
        (5.0, [2.0], 5.0),
    ],
)
def test_what_no_event_tells_is_seen_within_a_minute_at_most(
    asked: float | None, of_gateways: list[float], expected: float
) -> None:
    assert walk_interval(asked, of_gateways) == expected
