"""Usage of the embedded gateway and of registered ones, over a ledger on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.control.process_port import Conflict, UsageAsked
from stoa_gitops.daemon import gateway_usage
from stoa_gitops.daemon.gateway_usage import GatewayUsage
from stoa_gitops.errors import StoreError
from stoa_gitops.operations.store_choice import open_usage_ledger
from stoa_gitops.operations.usage_views import UsagePage
from stoa_gitops.store import UsageLedger, UsageRow

NOW = datetime(2026, 6, 1, 10, 30, tzinfo=UTC)
HOUR = int(NOW.timestamp()) - 1800
ALL = UsageAsked(None, None, None, None, None, None, is_total=False)
ROW = UsageRow(HOUR, "acme", "orders", "mobile", 3, 1, 0, 4, 5, 0.5)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[UsageLedger]:
    async with open_usage_ledger(tmp_path / "state") as ledger:
        yield ledger


@pytest.fixture
def usage(ledger: UsageLedger) -> GatewayUsage:
    return GatewayUsage(ledger, lambda: NOW)


def requests(page: UsagePage) -> list[tuple[str, str, int]]:
    return [(one.hour[11:13], one.application_id, one.requests) for one in page.items]


class Embedded:
    """The admin API of an embedded gateway that answers one thing."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.answer = status, document
        self.asked: list[tuple[str, dict[str, str | None]]] = []

    async def __call__(
        self, path: str, query: Mapping[str, str | None]
    ) -> tuple[int, Mapping[str, Any]]:
        self.asked.append((path, dict(query)))
        return self.answer


async def test_a_report_that_comes_again_or_late_counts_once(usage: GatewayUsage) -> None:
    grown = ROW._replace(requests=5, sent=9, seconds=0.75)
    for row in (ROW, grown, grown, ROW):
        await usage.take("edge", "source-1", [row])
    (one,) = (await usage.read(ALL, None, None)).items
    assert (one.requests, one.errors, one.received_bytes, one.sent_bytes, one.seconds) == (
        5, 1, 4, 9, 0.75,
    )  # fmt: skip
    assert one.hour == "2026-06-01T10:00:00Z"


async def test_gateways_and_what_counted_them_add_up(usage: GatewayUsage) -> None:
    await usage.take("edge", "source-1", [ROW, ROW._replace(hour=HOUR - 3600)])
    await usage.take("edge", "source-2", [ROW])
    await usage.take("west", "source-1", [ROW._replace(application_id="")])
    assert requests(await usage.read(ALL, None, None)) == [
        ("09", "mobile", 3), ("10", "", 3), ("10", "mobile", 6),
    ]  # fmt: skip
    total = replace(ALL, is_total=True)
    assert requests(await usage.read(total, None, None)) == [("10", "", 3), ("10", "mobile", 9)]
    assert requests(await usage.read(replace(ALL, gateway="west"), None, "west")) == [("10", "", 3)]
    for narrowed in ({"tenant": "rival"}, {"api": "x"}, {"application": "x"}):
        nothing = await usage.read(replace(ALL, gateway="edge", **narrowed), None, "edge")
        assert nothing.items == []


async def test_the_embedded_gateway_adds_up_with_reports(usage: GatewayUsage) -> None:
    own = {
        "hour": "2026-06-01T10:00:00Z", "tenant_id": "acme", "api_id": "orders",
        "application_id": "mobile", "requests": 4, "errors": 0, "refused": 2,
        "received_bytes": 0, "sent_bytes": 5, "seconds": 0.5,
    }  # fmt: skip
    embedded = Embedded(200, {"usage": [own], "is_whole": True})
    await usage.take("edge", "source-1", [ROW])
    page = await usage.read(ALL, embedded, None)
    (one,) = page.items
    assert (one.requests, one.errors, one.refused, one.sent_bytes, one.seconds) == (7, 1, 2, 10, 1)
    assert page.is_whole
    # Both are asked for the same hours, also where none are named.
    assert embedded.asked == [("/admin/usage", {
        "from": "2026-05-31T10:00:00Z", "to": "2026-06-01T11:00:00Z", "tenant": None,
        "api": None, "application": None, "by": "hour",
    })]  # fmt: skip
    alone = await usage.read(replace(ALL, gateway="local"), embedded, None)
    assert [one.requests for one in alone.items] == [4]


async def test_where_nothing_counts_it_is_said(usage: GatewayUsage) -> None:
    with pytest.raises(Conflict, match="no usage is counted here"):
        await usage.read(ALL, Embedded(501, {}), None)
    with pytest.raises(Conflict, match="cannot be read"):
        await usage.read(ALL, Embedded(503, {"detail": "cannot be read"}), None)
    with pytest.raises(Conflict, match="from must be before to"):
        await usage.read(replace(ALL, start=NOW + timedelta(days=2)), None, None)
    await usage.take("edge", "source-1", [ROW])
    before = replace(ALL, end=NOW - timedelta(days=2))
    assert (await usage.read(before, None, None)).items == [], "nothing of these hours alone"


async def test_hours_too_old_or_ahead_are_passed_over_and_old_ones_go(
    usage: GatewayUsage, ledger: UsageLedger
) -> None:
    quarter = gateway_usage.KEPT_HOURS * 3600
    rows = [ROW._replace(hour=hour) for hour in (HOUR - quarter - 3600, HOUR, HOUR + 48 * 3600)]
    await usage.take("edge", "source-1", rows)
    whole = replace(ALL, start=NOW - timedelta(days=100), end=NOW + timedelta(days=100))
    assert requests(await usage.read(whole, None, None)) == [("10", "mobile", 3)]
    later = GatewayUsage(ledger, lambda: NOW + timedelta(days=93))
    await later.take("edge", "source-1", [])
    with pytest.raises(Conflict):
        await later.read(whole, None, None)


async def test_more_rows_than_fit_are_said(
    usage: GatewayUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_usage, "MAX_ROWS", 2)
    rows = [ROW._replace(application_id=f"a{number}") for number in range(3)]
    await usage.take("edge", "source-1", rows[:2])
    assert (await usage.read(ALL, None, None)).is_whole
    await usage.take("edge", "source-1", rows)
    page = await usage.read(ALL, None, None)
    assert (page.is_whole, len(page.items)) == (False, 2)


async def test_a_gateway_fills_no_hour_without_end_and_a_full_one_holds_up_no_other(
    usage: GatewayUsage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gateway_usage, "MOST_OF_AN_HOUR", 2)
    rows = [ROW._replace(application_id=f"a{number}") for number in range(3)]
    for _ in range(2):
        await usage.take("edge", "source-1", rows)
    await usage.take("edge", "source-2", [rows[0]])
    grown, next_hour = rows[0]._replace(requests=9), rows[2]._replace(hour=HOUR + 3600)
    await usage.take("edge", "source-1", [rows[2], grown, next_hour])
    await usage.take("other", "source-1", [rows[2]])
    ahead = replace(ALL, end=NOW + timedelta(hours=1))
    assert requests(await usage.read(ahead, None, None)) == [
        ("10", "a0", 9), ("10", "a1", 3), ("10", "a2", 3), ("11", "a2", 3),
    ]  # fmt: skip
    assert caplog.text.count("edge: 1 rows of usage are not kept: it has 2 of one hour") == 1


async def test_all_there_is_may_be_asked_for_by_the_first_year_and_the_last(
    usage: GatewayUsage,
) -> None:
    await usage.take("edge", "source-1", [ROW])
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    embedded = Embedded(200, {"usage": [], "is_whole": True})
    page = await usage.read(replace(ALL, start=first, end=last), embedded, None)
    assert requests(page) == [("10", "mobile", 3)]
    ((_, query),) = embedded.asked
    assert (query["from"], query["to"]) == ("0001-01-01T00:00:00Z", "9999-12-31T23:00:00Z")
    assert (await usage.read(replace(ALL, end=first + timedelta(hours=5)), None, None)).items == []


async def test_what_one_gateway_makes_up_keeps_nobody_from_reading(usage: GatewayUsage) -> None:
    most = 10**15  # of one figure, as the control API takes it
    for number in range(10):
        rows = [
            ROW._replace(hour=HOUR - hour * 3600, requests=most, received=most)
            for hour in range(1000)
        ]
        await usage.take("edge", f"source-{number}", rows)
    await usage.take("west", "source-1", [ROW._replace(api_id="crm")])
    whole = replace(ALL, start=NOW - timedelta(days=60), is_total=True)
    page = await usage.read(whole, None, None)
    assert {one.api_id: one.requests for one in page.items} == {"orders": 2**63 - 1, "crm": 3}


async def test_reports_outlive_the_process(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_usage_ledger(tmp_path) as ledger:
            await GatewayUsage(ledger, lambda: NOW).take("edge", "source-1", [ROW])
    async with open_usage_ledger(tmp_path) as ledger:
        page = await GatewayUsage(ledger, lambda: NOW).read(ALL, None, None)
    assert requests(page) == [("10", "mobile", 3)]
    assert (tmp_path / "reported-usage.db").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_no_database_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "reported-usage.db").write_bytes(b"not a database, but long enough to be read" * 99)
    async with open_usage_ledger(tmp_path) as ledger:
        with pytest.raises(StoreError, match="damaged"):
            await GatewayUsage(ledger, lambda: NOW).take("edge", "source-1", [ROW])
