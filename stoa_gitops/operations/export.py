"""`gateways export`: a gateway's own backup, if its type supports one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoa_gitops.errors import GatewayRefused, GatewayUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.operations.workspace import Workspace


async def export_gateway(
    workspace: Workspace, catalog: Catalog, instance: GatewayInstance
) -> Mapping[str, object]:
    """Return the archive as a document; secrets in it are as the gateway gives them.

    Raises GatewayUnreachable, and GatewayRefused with the gateway's message.
    """
    session = await workspace.session(catalog, instance)
    health = await session.driver.health()
    if not health.success:
        raise GatewayUnreachable(f"{instance.name}: {health.error or 'no answer'}")
    archive = await session.driver.export_archive()
    if not archive.success:
        raise GatewayRefused(f"{instance.name}: {archive.error}")
    return dict(archive.data or {})
