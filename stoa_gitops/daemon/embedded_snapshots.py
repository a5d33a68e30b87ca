"""Requests that the embedded gateway answered 5xx, with the names of the catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from stoa_gitops.control.process_port import Conflict
from stoa_gitops.daemon.catalog_names import api_id, snapshots_with_names
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.operations.snapshot_views import SnapshotPage, SnapshotView

NO_SNAPSHOTS: Final = (
    "no errors are kept here: no gateway with `baseUrl: embedded` runs in this process, or "
    "STOA_SNAPSHOT_ENABLED is false"
)


async def read_snapshots(
    ask_embedded: Callable[
        [str, Mapping[str, str | None]], Awaitable[tuple[int, Mapping[str, Any]]]
    ],
    catalog: Catalog | None,
    asked: Mapping[str, str | None],
) -> SnapshotPage:
    """Return a page of errors, newest first; raises Conflict without an embedded gateway.

    `asked` is the query of the data plane's admin API, in which `api` may be a name of the catalog.
    """
    if catalog is not None:
        asked = {**asked, "api": api_id(asked["api"], catalog.owner)}
    status, found = await ask_embedded("/admin/snapshots", asked)
    if status != 200:
        raise Conflict(NO_SNAPSHOTS)
    items = [SnapshotView.model_validate(one) for one in found["snapshots"]]
    is_last = found["total"] <= len(items)
    page = SnapshotPage(items=items, next=None if is_last else items[-1].request_id)
    if catalog is None or not items:
        return page
    return await asyncio.to_thread(snapshots_with_names, page, catalog)
