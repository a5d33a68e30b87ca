"""`gateways export`: a gateway's own backup, if its type supports one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoa_gitops.errors import GatewayRefused, GatewayUnreachable, UsageError
from stoa_gitops.foundation.files import new_private_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stoa_gitops.adapter_sdk.contract import AdapterResult
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.operations.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup.

    document  the backup itself; None where it is a file of the vendor's, which was written
    about     what is known of that file
    warnings  for people
    """

    document: Mapping[str, object] | None
    about: Mapping[str, object]
    warnings: tuple[str, ...] = ()


async def export_gateway(
    workspace: Workspace, catalog: Catalog, instance: GatewayInstance, path: Path | None = None
) -> Backup:
    """Return the backup as a document, or write it to `path` where it is a file of the vendor's.

    Secrets in it are as the gateway gives them. Such a file is complete, and readable by its owner
    only, or it is not there. Raises GatewayUnreachable, GatewayRefused with the gateway's message,
    UsageError for a file without a path, FileExistsError and OSError.
    """
    session = await workspace.session(catalog, instance)
    health = await session.driver.health()
    if not health.success:
        raise GatewayUnreachable(f"{instance.name}: {health.error or 'no answer'}")
    suffix = session.driver.archive_suffix
    if not suffix:
        archive = _checked(instance, await session.driver.export_archive())
        return Backup(dict(archive.data or {}), {}, archive.warnings)
    if path is None:
        raise UsageError(
            f"the backup of {instance.name} is a file: name one with --out, as backup{suffix}"
        )
    with new_private_file(path) as file:
        archive = _checked(instance, await session.driver.export_archive(file))
    return Backup(None, dict(archive.data or {}), archive.warnings)


def _checked(instance: GatewayInstance, archive: AdapterResult) -> AdapterResult:
    if not archive.success:
        raise GatewayRefused(f"{instance.name}: {archive.error}")
    return archive
