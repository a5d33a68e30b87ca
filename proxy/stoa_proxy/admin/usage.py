"""`GET /admin/usage`: what callers used, by API and application, of each hour or altogether."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from stoa_proxy.core.problems import Respond, problem

_HOUR: Final = 3600
_DAY: Final = timedelta(days=1)
_PARAMETERS: Final = frozenset({"from", "to", "tenant", "api", "application", "by"})
_BY: Final = ("hour", "total")
_FIELDS: Final = ("tenant_id", "api_id", "application_id")
_FIGURES: Final = ("requests", "errors", "refused", "received_bytes", "sent_bytes", "seconds")


Row = tuple[int, str, str, str, int, int, int, int, int, float]
"""Start of the hour in seconds since 1970, the key, and its figures."""


class UsageReport(NamedTuple):
    """Sums of hours, what has counted them, and whose they are.

    source    the same for as long as the database counts for one gateway
    gateway   the id under which the hours were first reported
    has_more  there are further rows that are not reported
    """

    source: str
    gateway: str
    rows: Sequence[Row]
    has_more: bool


class UsageRequest(NamedTuple):
    """Whole hours in [start, end), in seconds since 1970; of a tenant, an API and an application,
    None for all, and added up over all hours or of each.
    """

    start: int
    end: int
    tenant_id: str | None
    api_id: str | None
    application_id: str | None
    is_total: bool


def parse_usage(query: str, now: datetime, tenant_id: str | None) -> UsageRequest | Respond:
    """Return what a query (`_PARAMETERS`) asks, or the refusal of one that asks nothing.

    `from` and `to` are times of RFC 3339; the last 24 hours without them. `by` is `hour` or
    `total`. A gateway of one tenant (`tenant_id`) shows that tenant's alone.
    """
    values = parse_qs(query, keep_blank_values=True)
    unknown = sorted(values.keys() - _PARAMETERS)
    if unknown:
        known = ", ".join(sorted(_PARAMETERS))
        return problem(400, "Usage query refused", f"{unknown[0]}: there are {known}")
    twice = next((name for name, given in sorted(values.items()) if len(given) > 1), None)
    if twice is not None:
        return problem(400, "Usage query refused", f"{twice}: once")
    by = values.get("by", ["hour"])[0]
    if by not in _BY:
        return problem(400, "Usage query refused", f"by: {' or '.join(_BY)}")
    try:
        # The hour that begins at this moment is the last one.
        end = _read_time(values.get("to"), now + timedelta(seconds=1))
        start = _read_time(values.get("from"), end - _DAY)
    except (ValueError, OverflowError):
        detail = "from and to are times such as 2026-11-30T07:00:00Z, each once"
        return problem(400, "Usage query refused", detail)
    if start >= end:
        return problem(400, "Usage query refused", "from must be before to")
    asked, api_id, application_id = (
        values.get(name, [None])[0] for name in ("tenant", "api", "application")
    )
    if tenant_id is not None and asked not in {None, tenant_id}:
        return problem(404, "No such tenant here")
    first, last = int(start.timestamp()), int(end.timestamp())
    start_hour, end_hour = first - first % _HOUR, -(-last // _HOUR) * _HOUR
    return UsageRequest(
        start_hour, end_hour, tenant_id or asked, api_id, application_id, by == "total"
    )


def _read_time(values: Sequence[str] | None, default: datetime) -> datetime:
    if values is None:
        return default
    (text,) = values
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


def usage_document(rows: Sequence[Sequence[object]], maximum: int) -> dict[str, object]:
    """Return rows as JSON; `is_whole` is False where there may be more than `maximum`."""
    return {
        "usage": [_row(row) for row in rows],
        "is_whole": len(rows) < maximum,
    }


def _row(row: Sequence[object]) -> dict[str, object]:
    hour = row[0]
    assert isinstance(hour, int)
    time = datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"hour": time, **usage_fields(row)}


def usage_fields(row: Sequence[object]) -> dict[str, object]:
    """Return ids and figures of a row by name, all but its hour."""
    return dict(zip((*_FIELDS, *_FIGURES), row[1:], strict=True))
