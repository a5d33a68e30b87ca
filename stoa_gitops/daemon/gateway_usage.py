"""What callers of all gateways of ours used: the embedded one's own, and reports of registered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from stoa_gitops.control.process_port import Conflict, UsageAsked
from stoa_gitops.daemon.catalog_names import with_ids, with_names
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.operations.usage_views import UsagePage, UsageView
from stoa_gitops.store import UsageFilter, UsageLedger, UsageRow

log = logging.getLogger(__name__)

NO_USAGE: Final = (
    "no usage is counted here: no gateway with `baseUrl: embedded` runs in this process, and no "
    "registered gateway has reported any"
)
MAX_ROWS: Final = 10_000
"""Rows of one response; the data plane's bound, too."""

KEPT_HOURS: Final = 24 * 92
"""As long as gateways keep theirs."""

MOST_OF_AN_HOUR: Final = 100_000
"""Rows of one hour and gateway that are kept: as many as a data plane counts apart. Whoever has a
gateway key could else fill the disk with ids that nobody has."""

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
# Of the years 1 to 9999: others have no text.
_FIRST_HOUR: Final = -62_135_596_800
_LAST_HOUR: Final = 253_402_297_200
# A gateway whose clock is wrong by more must not fill years that nobody asks for.
_AHEAD_SECONDS: Final = _DAY

AskEmbedded: TypeAlias = Callable[
    [str, Mapping[str, str | None]], Awaitable[tuple[int, Mapping[str, Any]]]
]


@dataclass(frozen=True, slots=True)
class GatewayUsage:
    """Belongs to the loop's thread. `ask_embedded` returns 501 where there is no such gateway."""

    ledger: UsageLedger
    clock: Callable[[], datetime]
    _full: dict[str, int] = field(default_factory=dict)

    async def take(self, gateway: str, source: str, rows: Iterable[UsageRow]) -> None:
        """Keep the report of a registered gateway; raises StoreError.

        Passed over are hours that are too old to be kept or more than a day ahead, and rows beyond
        MOST_OF_AN_HOUR: a report that is refused would come again, and hold up all after it.
        """
        now = int(self.clock().timestamp())
        oldest = now - now % _HOUR - KEPT_HOURS * _HOUR
        kept = [row for row in rows if oldest <= row.hour <= now + _AHEAD_SECONDS]
        left_out = await self.ledger.take(gateway, source, kept, oldest, MOST_OF_AN_HOUR)
        if left_out and self._full.get(gateway) != now - now % _HOUR:
            # Once an hour: it reports every half minute.
            self._full[gateway] = now - now % _HOUR
            log.warning(
                "%s: %d rows of usage are not kept: it has %d of one hour already",
                gateway, left_out, MOST_OF_AN_HOUR,
            )  # fmt: skip

    async def read_named(
        self,
        catalog: Catalog | None,
        asked: UsageAsked,
        ask_embedded: AskEmbedded | None,
        gateway: str | None,
    ) -> UsagePage:
        """Do what `read` does, with names of the catalog instead of ids and beside them."""
        if catalog is None:
            return await self.read(asked, ask_embedded, gateway)
        page = await self.read(with_ids(asked, catalog.owner), ask_embedded, gateway)
        return await asyncio.to_thread(with_names, page, catalog)

    async def read(
        self, asked: UsageAsked, ask_embedded: AskEmbedded | None, gateway: str | None
    ) -> UsagePage:
        """Return what is known of the hours that are asked for; raises Conflict and StoreError.

        `gateway` is the registered one that is meant; None for all. Without `ask_embedded` the
        embedded one is left out.
        """
        start, end = self._hours(asked)
        found: list[UsageView] = []
        is_whole, is_counted = True, gateway is not None
        if ask_embedded is not None:
            status, document = await ask_embedded("/admin/usage", _query(asked, start, end))
            if status not in {200, 501}:
                raise Conflict(str(document.get("detail", NO_USAGE)))
            if status == 200:
                is_counted, is_whole = True, document["is_whole"]
                found = [UsageView.model_validate(one) for one in document["usage"]]
        if gateway is not None or asked.gateway is None:
            rows = await self.ledger.read(
                UsageFilter(
                    start, end, asked.tenant, asked.api, asked.application, gateway,
                    asked.is_total, MAX_ROWS + 1,
                )
            )  # fmt: skip
            is_whole &= len(rows) <= MAX_ROWS
            is_counted = is_counted or bool(rows) or await self.ledger.has_rows()
            found = _added(found, map(_view, rows))
        if not is_counted:
            raise Conflict(NO_USAGE)
        return UsagePage(items=found[:MAX_ROWS], is_whole=is_whole and len(found) <= MAX_ROWS)

    def _hours(self, asked: UsageAsked) -> tuple[int, int]:
        """Return the whole hours that are touched, as seconds: [start, end); the last day's."""
        # The hour that begins at this moment is the last one.
        end = asked.end or self.clock() + timedelta(seconds=1)
        last = int(end.timestamp())
        first = last - _DAY if asked.start is None else int(asked.start.timestamp())
        if first >= last:
            raise Conflict("from must be before to")
        # Whoever asks for all there is names the first year and the last one.
        return max(first - first % _HOUR, _FIRST_HOUR), min(-(-last // _HOUR) * _HOUR, _LAST_HOUR)


def _query(asked: UsageAsked, start: int, end: int) -> dict[str, str | None]:
    return {
        "from": _time_text(start),
        "to": _time_text(end),
        "tenant": asked.tenant,
        "api": asked.api,
        "application": asked.application,
        "by": "total" if asked.is_total else "hour",
    }


def _time_text(seconds: int) -> str:
    # Not strftime: its year 1 has one digit.
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _view(row: UsageRow) -> UsageView:
    return UsageView(
        hour=_time_text(row.hour),
        tenant_id=row.tenant_id,
        api_id=row.api_id,
        application_id=row.application_id,
        requests=row.requests,
        errors=row.errors,
        refused=row.refused,
        received_bytes=row.received,
        sent_bytes=row.sent,
        seconds=row.seconds,
    )


_FIGURES: Final = ("requests", "errors", "refused", "received_bytes", "sent_bytes", "seconds")


def _added(some: Iterable[UsageView], others: Iterable[UsageView]) -> list[UsageView]:
    """Return rows of both, those of one hour and the same ids added up."""
    by_key: dict[tuple[str, str, str, str], UsageView] = {}
    for one in (*some, *others):
        key = (one.hour, one.tenant_id, one.api_id, one.application_id)
        known = by_key.get(key)
        if known is not None:
            sums = {name: getattr(known, name) + getattr(one, name) for name in _FIGURES}
            one = known.model_copy(update=sums)  # noqa: PLW2901 - what stands for both
        by_key[key] = one
    return [by_key[key] for key in sorted(by_key)]
