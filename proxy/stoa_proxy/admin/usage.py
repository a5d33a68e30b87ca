"""`GET /admin/usage`: what callers used, by hour, API and application."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from stoa_proxy.core.problems import Respond, problem

_HOUR: Final = 3600
_DAY: Final = timedelta(days=1)
_FIELDS: Final = ("tenant_id", "api_id", "application_id")
_FIGURES: Final = ("requests", "errors", "refused", "received_bytes", "sent_bytes", "seconds")


class UsageRequest(NamedTuple):
    """Whole hours in [start, end), in seconds since 1970; `tenant_id` None is all tenants."""

    start: int
    end: int
    tenant_id: str | None


def parse_usage(query: str, now: datetime, tenant_id: str | None) -> UsageRequest | Respond:
    """Return what a query (`from`, `to`, `tenant`) asks, or the refusal of one that asks nothing.

    `from` and `to` are times of RFC 3339; the last 24 hours without them. A gateway of one tenant
    (`tenant_id`) shows that tenant's alone.
    """
    values = parse_qs(query, keep_blank_values=True)
    unknown = sorted(values.keys() - {"from", "to", "tenant"})
    if unknown:
        return problem(400, "Usage query refused", f"{unknown[0]}: there are from, to and tenant")
    try:
        # The hour that begins at this moment is the last one.
        end = _read_time(values.get("to"), now + timedelta(seconds=1))
        start = _read_time(values.get("from"), end - _DAY)
    except (ValueError, OverflowError):
        detail = "from and to are times such as 2026-11-30T07:00:00Z, each once"
        return problem(400, "Usage query refused", detail)
    if start >= end:
        return problem(400, "Usage query refused", "from must be before to")
    asked = values.get("tenant", [None])[-1]
    if tenant_id is not None and asked not in {None, tenant_id}:
        return problem(404, "No such tenant here")
    first, last = int(start.timestamp()), int(end.timestamp())
    return UsageRequest(first - first % _HOUR, -(-last // _HOUR) * _HOUR, tenant_id or asked)


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
    hour, *rest = row
    assert isinstance(hour, int)
    names = (*_FIELDS, *_FIGURES)
    time = datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"hour": time, **dict(zip(names, rest, strict=True))}
