"""Gets the table that the control plane has published for this gateway, and acknowledges it."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

from stoa_proxy.admin.batch import Parse
from stoa_proxy.admin.store import Store
from stoa_proxy.control_plane import route_list
from stoa_proxy.control_plane.client import (
    PREFIX,
    ControlPlaneClient,
    Download,
    problem_detail,
    read_retry_after,
)
from stoa_proxy.control_plane.known_lines import KnownLines
from stoa_proxy.control_plane.registration import Member
from stoa_proxy.control_plane.table_builder import Refusal, TableBuilder
from stoa_proxy.control_plane.table_document import DocumentReader
from stoa_proxy.control_plane.trouble_log import TroubleLog
from stoa_proxy.errors import ControlPlaneFailed
from stoa_proxy.foundation.breather import Breather, clear
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.collector import set_apart, young_collections_only

_log = logging.getLogger("stoa_proxy.control_plane")

DOWNLOAD_SECONDS: Final = 120.0
"""For a whole table; 15 MB for 10,000 APIs."""

_ACK_SECONDS = 10.0
# Of an acknowledgement: what is wrong with one object is most often wrong with the others, too.
_MAX_NAMED = 100
_MAX_ETAG = 256
_MAX_PROBLEM = 8192
_MAX_ITEMS = 100_000
# Changed objects from which on a build leaves more behind than the collector should look at.
_MANY = 1000


class Look(NamedTuple):
    """What a look at the control plane came to.

    `is_unknown`: it does not know this gateway; `is_known`: it does. `is_settled`: what is served
    is what is to be served. `retry_after`: it asks to come back after so many seconds.
    """

    is_unknown: bool = False
    is_known: bool = False
    is_settled: bool = False
    retry_after: float | None = None


class Pull:
    """Keeps a store as the control plane publishes it.

    Whatever goes wrong, the store stays as it was. `looks` counts them by what came of them:
    `applied`, `unchanged`, `failed`. A control plane without `table` (STOA's own) is
    asked for `routes`.
    """

    def __init__(
        self,
        client: ControlPlaneClient,
        store: Store,
        parsers: Mapping[str, Parse],
        clock: Clock,
    ) -> None:
        self._client = client
        self._store = store
        self._parsers = parsers
        self._clock = clock
        self._has_tables: bool | None = None
        # What was taken last; without effect as soon as others have changed the store.
        self._known = KnownLines()
        self._version: tuple[str, str, str] | None = None
        self._list_digest = b""
        self._ack: Mapping[str, object] | None = None
        self.looks: Counter[str] = Counter()
        self._trouble = TroubleLog(_log, clock, "getting the table from the control plane")

    def begin(self) -> None:
        """Forget what the control plane can do: it may be another one after a registration."""
        self._has_tables = None

    async def look(self, member: Member) -> Look:
        """Ask once, and change the store if there is something new. Raises nothing expected."""
        try:
            if self._has_tables is False:
                return await self._look_for_routes(member)
            look = await self._look_for_table(member)
            if look.is_unknown and self._has_tables is None:
                self._has_tables = False
                return await self._look_for_routes(member)
            return look
        except ControlPlaneFailed as error:
            self._fail(str(error))
            await self._acknowledge(member)
            return Look()

    async def _look_for_table(self, member: Member) -> Look:
        path = f"{PREFIX}/{member.id}/table"
        async with self._client.download(
            path, self._condition(), seconds=DOWNLOAD_SECONDS
        ) as download:
            if download.status == 404:
                return Look(is_unknown=True)
            if download.status in (200, 304, 409):
                self._has_tables = True
            if download.status == 200:
                with young_collections_only():
                    await self._take_table(download)
            detail = await _read_detail(download)
        await self._acknowledge(member)
        look = self._conclude(download, detail)
        return look._replace(is_known=look.is_settled)

    def _conclude(self, download: Download, detail: str = "") -> Look:
        if download.status == 200:
            self._trouble.succeeded()
            return Look(is_settled=True)
        if download.status in (304, 409):
            self._trouble.succeeded()
            self.looks["unchanged"] += 1
        if download.status == 304:
            return Look(is_settled=True)
        if download.status == 409:
            # Whoever has the admin token writes the table of this gateway.
            _log.debug("the control plane writes the table itself: nothing to get")
            return Look(is_settled=True)
        # 503 is how a control plane says that it has no table for this gateway yet.
        level = logging.INFO if download.status == 503 else logging.WARNING
        self._fail(f"status {download.status}{detail}", level)
        return Look(retry_after=read_retry_after(download.headers))

    def _fail(self, reason: str, level: int = logging.WARNING) -> None:
        self.looks["failed"] += 1
        self._trouble.failed(reason, level)

    async def _take_table(self, download: Download) -> None:
        """Change the store to what a document says; what it came to is acknowledged later."""
        etag = _read_etag(download.headers)
        reader = DocumentReader()
        builder = TableBuilder(self._store, self._parsers, self._known_lines())
        try:
            breather = Breather()
            async for part in download.parts:
                for line in reader.feed(part):
                    builder.add_line(line)
                    await breather.rest()
            reader.finish()
            await self._apply(builder, etag, reader.generation)
        except ControlPlaneFailed as error:
            self._ack = _make_ack(etag, reader.generation, str(error), builder.refusals)
            raise
        self._ack = _make_ack(etag, reader.generation, None, builder.refusals)

    async def _apply(self, builder: TableBuilder, etag: str | None, generation: int) -> None:
        await builder.build(etag, generation)
        if builder.changes_count >= _MANY:
            set_apart()
        known, self._known, self._version = self._known, builder.taken, builder.version
        self.looks["applied"] += 1
        store = self._store
        _log.info(
            "the table of the control plane is in force generation=%d routes=%d policies=%d"
            " consumers=%d",
            generation, len(store.routes), len(store.policies), len(store.consumers),
        )  # fmt: skip
        await clear(known)
        if builder.refusals:
            shown = "; ".join(
                f"{one.kind} {one.id!r}: {one.reason!r}" for one in builder.refusals[:5]
            )
            _log.warning(
                "%d objects of the control plane's table are not taken: %s",
                len(builder.refusals), shown,
            )  # fmt: skip

    async def _acknowledge(self, member: Member) -> None:
        """Send what is not acknowledged yet; tried again with the next look."""
        if self._ack is None:
            return
        if self._store.settle is not None:
            await self._store.settle()
        try:
            path = f"{PREFIX}/{member.id}/table-ack"
            response = await self._client.call("POST", path, self._ack, seconds=_ACK_SECONDS)
        except ControlPlaneFailed as error:
            _log.debug("the table is not acknowledged: %s", error)
            return
        # Another try would not help where it is refused: only when it was out of reach.
        if response.status < 500:
            self._ack = None

    async def _look_for_routes(self, member: Member) -> Look:
        path = f"{PREFIX}/routes?gateway_name={quote(member.name, safe='')}"
        async with self._client.download(
            path, self._condition(), seconds=DOWNLOAD_SECONDS
        ) as download:
            if download.status != 200:
                return self._conclude(download, await _read_detail(download))
            content = await _read_all(download.parts, route_list.MAX_BYTES)
        digest = hashlib.sha256(content).digest()
        if self._version == self._store.version and digest == self._list_digest:
            # STOA's own control plane has no entity tags.
            self.looks["unchanged"] += 1
            return self._conclude(download)
        with young_collections_only():
            builder, items = await self._take_list(content, _read_etag(download.headers))
        self._list_digest = digest
        now = self._clock.now().isoformat()
        for owner, body in route_list.make_acks(items, builder.refusals, member.id, now):
            await self._client.call(
                "POST", f"{PREFIX}/{owner}/route-sync-ack", body, seconds=_ACK_SECONDS
            )
        return self._conclude(download)

    async def _take_list(
        self, content: bytes, etag: str | None
    ) -> tuple[TableBuilder, list[route_list.Item]]:
        """Change the store to what a list of routes says; return what was made of it."""
        builder = TableBuilder(self._store, self._parsers, self._known_lines(), kinds=("apis",))
        items: list[route_list.Item] = []
        breather = Breather()
        for raw, item in route_list.read_items(content):
            if len(items) == _MAX_ITEMS:
                raise ControlPlaneFailed(f"more than {_MAX_ITEMS} routes")
            if item.get("backend_url"):  # STOA's own gateway passes over the others, too
                builder.add_line(raw, route_list.read_line)
                items.append(item)
            await breather.rest()
        await self._apply(builder, etag, 0)
        return builder, items

    def _known_lines(self) -> KnownLines:
        return self._known if self._version == self._store.version else KnownLines()

    def _condition(self) -> dict[str, str]:
        source = self._store.source
        return {} if source is None else {"If-None-Match": source.etag}


def _make_ack(
    etag: str | None, generation: int, error: str | None, refusals: list[Refusal]
) -> Mapping[str, object]:
    return {
        "etag": etag or "",
        "generation": generation,
        "status": "applied" if error is None else "failed",
        "error": None if error is None else error[:1000],
        "objects": [
            {"kind": one.kind, "id": one.id, "error": one.reason} for one in refusals[:_MAX_NAMED]
        ],
    }


def _read_etag(headers: Mapping[str, str]) -> str | None:
    """Return an entity tag that can be sent back, or None."""
    etag = headers.get("etag", "")
    is_usable = 2 < len(etag) <= _MAX_ETAG and etag.isascii() and etag.isprintable()
    return etag if is_usable and etag.endswith('"') else None


async def _read_detail(download: Download) -> str:
    """Return what a response that is a problem says of itself; empty for one that is too long."""
    try:
        content = await _read_all(download.parts, _MAX_PROBLEM)
    except ControlPlaneFailed:
        return ""
    return problem_detail(download.headers, content)


async def _read_all(parts: AsyncIterator[bytes], most: int) -> bytes:
    content = bytearray()
    async for part in parts:
        content += part
        if len(content) > most:
            raise ControlPlaneFailed(f"a response of more than {most} bytes")
    return bytes(content)
