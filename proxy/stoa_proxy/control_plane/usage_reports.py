"""Reports of what callers used to the control plane: sums of hours, until it has taken them.

A report holds the sums of its hours and no differences, so one whose response was lost is sent
again and counts once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Protocol

from stoa_proxy.admin.usage import Row, UsageReport, usage_fields
from stoa_proxy.control_plane.client import PREFIX, ControlPlaneClient, Response
from stoa_proxy.control_plane.registration import Member
from stoa_proxy.control_plane.trouble_log import TroubleLog
from stoa_proxy.errors import ControlPlaneFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.private_database import DatabaseError

_log = logging.getLogger("stoa_proxy.control_plane")

_MAX_ROWS: Final = 200
"""Rows of one report: 60 KiB with usual ids."""

# A control plane of STOA has no such call; nor does one that has forgotten this gateway, which
# heartbeats find out.
_NOT_TAKEN: Final = frozenset({404, 405, 501})

# Says something of the rows themselves, which no other time makes better: they are too long, or an
# id has what the control plane takes in none.
_REFUSED: Final = frozenset({413, 422})

# Says that a gateway is none that this key reports for.
_NOBODY: Final = frozenset({403, 404})


class CountedUsage(Protocol):
    """Where usage is kept."""

    async def unreported(
        self, limit: int, tenant_id: str | None, gateway: str, after: Row | None
    ) -> UsageReport:
        """Return what has changed since it was reported, `gateway` being this one's id."""

    async def mark_reported(self, report: UsageReport) -> None:
        """Note that a report was taken."""


class UsageReports:
    """Sends what was counted, of one tenant where the gateway is that tenant's."""

    def __init__(
        self, client: ControlPlaneClient, usage: CountedUsage, tenant_id: str | None, clock: Clock
    ) -> None:
        self._client = client
        self._usage = usage
        self._tenant_id = tenant_id
        self._trouble = TroubleLog(_log, clock, "report of usage")

    async def send(self, member: Member, seconds: float) -> None:
        """Send all that is not reported; what fails is sent with the next call.

        `seconds` bound each call. Each row is sent once: those of a busy gateway have grown again
        before the last ones are sent, and that would have no end.
        """
        after: Row | None = None
        try:
            while after := await self._send_some(member, seconds, after):
                pass
        except (ControlPlaneFailed, DatabaseError, OSError) as error:
            self._trouble.failed(str(error))

    async def _send_some(self, member: Member, seconds: float, after: Row | None) -> Row | None:
        """Send rows that are not reported; return the last where there may be more."""
        report = await self._usage.unreported(_MAX_ROWS, self._tenant_id, member.id, after)
        waiting = [report] if report.rows else []
        while waiting:
            part = waiting.pop()
            response = await self._call(member, part, seconds)
            if response.status in _NOT_TAKEN:
                _log.debug("usage is not taken: %s", response.describe())
                return None
            if response.status in _REFUSED and len(part.rows) > 1:
                # One row must not hold up the others: it is looked for by halves.
                middle = len(part.rows) // 2
                halves = part.rows[middle:], part.rows[:middle]
                waiting += [part._replace(rows=rows) for rows in halves]
                continue
            if not response.is_success:
                self._trouble.failed(response.describe())
            if response.status in _REFUSED:
                _log.warning("usage of %r is not reported until it grows", part.rows[0][:4])
            elif not response.is_success:
                return None
            else:
                self._trouble.succeeded()
            await self._usage.mark_reported(part)
        return report.rows[-1] if report.has_more else None

    async def _call(self, member: Member, report: UsageReport, seconds: float) -> Response:
        usage = [{"hour": row[0], **usage_fields(row)} for row in report.rows]
        body = {"source": report.source, "usage": usage}
        response = await self._post(report.gateway, body, seconds)
        if response.status in _NOBODY and report.gateway != member.id:
            # Who had the name before is forgotten, or of an environment that the key is not for.
            response = await self._post(member.id, body, seconds)
        return response

    async def _post(self, gateway: str, body: Mapping[str, object], seconds: float) -> Response:
        path = f"{PREFIX}/{gateway}/usage"
        return await self._client.call("POST", path, body, seconds=seconds)
