"""`/admin/quotas`: what callers have used of their quotas.

Paths and fields are those of STOA gateway 0.9.25 (`handlers/admin/quotas`), which has one quota of
a day and one of a month for each consumer. Here there may be several, of several APIs: these fields
are those of the one that has least left, and `quotas` are all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from stoa_proxy.admin.store import Store
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.quotas import QuotaCounters, QuotaKey
from stoa_proxy.http.heads import RequestHead

NAME: Final = "quotas"

_MOST: Final = 500
_BY: Final = ("consumer", "ip", "tenant", "header")
_JSON: Final = (("Content-Type", "application/json"),)
# The fields of STOA's, by the period that they are of.
_FIELDS: Final = (("daily", "day"), ("monthly", "month"))


class _Query(NamedTuple):
    """Which callers are asked for: those behind `after`, of one kind, and of a tenant's APIs."""

    by: str
    tenant_id: str | None
    after: str
    limit: int


class _Row(NamedTuple):
    """One quota of a caller. `reset_at` is the end of its period, in seconds since 1970."""

    key: QuotaKey
    used: int
    limit: int
    reset_at: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


class QuotaAdmin:
    """Serves counts of quotas; of a gateway of one tenant (`tenant_id`) that tenant's alone."""

    def __init__(self, states: PolicyStates, store: Store, tenant_id: str | None) -> None:
        self._states = states
        self._store = store
        self._tenant_id = tenant_id

    def handle(self, head: RequestHead, parts: Sequence[str], query: str) -> Respond:
        """Return the response to an authorized request for what is below `/admin/quotas`."""
        is_read = head.method in ("GET", "HEAD")
        is_reset = len(parts) == 2 and parts[1] == "reset"
        if len(parts) > 1 and not is_reset:
            return Respond(404)
        if is_reset and head.method != "POST":
            return Respond(405, (("Allow", "POST"),))
        if not is_reset and not is_read:
            return Respond(405, (("Allow", "GET,HEAD"),))
        asked = _parse(query, self._tenant_id)
        if isinstance(asked, Respond):
            return asked
        if not parts:
            return self._list(asked)
        return self._reset(parts[0], asked) if is_reset else self._show(parts[0], asked)

    def _list(self, asked: _Query) -> Respond:
        found: dict[str, list[QuotaKey]] = {}
        for key in self._keys(asked):
            if key.subject > asked.after:
                found.setdefault(key.subject, []).append(key)
        shown: list[object] = []
        for subject in sorted(found):
            # Of a policy that is gone there are counts, and no limit any more.
            if rows := self._rows(found[subject]):
                shown.append(_stats(subject, rows))
            if len(shown) == asked.limit:
                break
        return _respond(200, shown)

    def _show(self, subject: str, asked: _Query) -> Respond:
        rows = self._rows(key for key in self._keys(asked) if key.subject == subject)
        return _respond(200, _stats(subject, rows)) if rows else Respond(404)

    def _reset(self, subject: str, asked: _Query) -> Respond:
        rows = self._rows(key for key in self._keys(asked) if key.subject == subject)
        if not rows:
            message = f"Consumer '{subject}' not found"
            return _respond(404, {"status": "error", "message": message})
        self._counters.reset(row.key for row in rows)
        message = f"Quota reset for consumer '{subject}'"
        return _respond(200, {"status": "ok", "message": message})

    @property
    def _counters(self) -> QuotaCounters:
        return self._states.of(QuotaCounters)

    def _keys(self, asked: _Query) -> Iterable[QuotaKey]:
        return (
            key
            for key in self._counters.known()
            if key.kind == asked.by and asked.tenant_id in (None, key.tenant)
        )

    def _rows(self, keys: Iterable[QuotaKey]) -> list[_Row]:
        found: list[_Row] = []
        for key in sorted(keys):
            limit = self._limit(key)
            count = None if limit is None else self._counters.find(key)
            if count is not None and limit is not None:
                found.append(_Row(key, count.used, limit, count.end))
        return found

    def _limit(self, key: QuotaKey) -> int | None:
        """Return what the policy of a count allows now; None where there is none."""
        for policy in self._store.table.api(key.api).policies:
            quota = policy.quota
            if quota is not None and quota[:2] == (key.policy, key.period):
                return quota[2]
        return None


def _stats(subject: str, rows: Sequence[_Row]) -> dict[str, object]:
    stats: dict[str, object] = {"consumer_id": subject}
    for name, period in _FIELDS:
        of_period = [row for row in rows if row.key.period == period]
        least = min(of_period, key=lambda row: row.left, default=None)
        # STOA's 0 is no limit.
        stats[f"{name}_count"] = 0 if least is None else least.used
        stats[f"{name}_limit"] = 0 if least is None else least.limit
        stats[f"{name}_remaining"] = 0 if least is None else least.left
    stats["quotas"] = [
        {
            "tenant_id": row.key.tenant,
            "api_id": row.key.api,
            "policy_id": row.key.policy,
            "period": row.key.period,
            "count": row.used,
            "limit": row.limit,
            "remaining": row.left,
            "reset_at": datetime.fromtimestamp(row.reset_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for row in rows
    ]
    return stats


def _parse(query: str, tenant_id: str | None) -> _Query | Respond:
    values = parse_qs(query, keep_blank_values=True)
    unknown = values.keys() - {"by", "tenant", "after", "limit"}
    if unknown or any(len(one) > 1 for one in values.values()):
        return _refuse("there are by, tenant, after and limit, each once")
    texts = {name: one[0] for name, one in values.items()}
    by, limit = texts.get("by", "consumer"), texts.get("limit", str(_MOST))
    if by not in _BY:
        return _refuse(f"by is one of {', '.join(_BY)}")
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= 4
    if not is_number or not 1 <= int(limit) <= _MOST:
        return _refuse(f"limit is a number from 1 to {_MOST}")
    asked = texts.get("tenant")
    if tenant_id is not None and asked not in {None, tenant_id}:
        return problem(404, "No such tenant here")
    return _Query(by, tenant_id or asked, texts.get("after", ""), int(limit))


def _refuse(detail: str) -> Respond:
    return problem(400, "Quota query refused", detail)


def _respond(status: int, value: object) -> Respond:
    return Respond(status, _JSON, json.dumps(value, separators=(",", ":")).encode())
