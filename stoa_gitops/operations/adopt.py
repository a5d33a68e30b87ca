"""`adopt GATEWAY KEY…`: takes ownership of objects that exist on a gateway already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoa_gitops.operations.plan import PreparedSet, prepare_gateway_plan

if TYPE_CHECKING:
    from collections.abc import Collection

    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key
    from stoa_gitops.operations.workspace import Workspace


async def prepare_adoption(
    workspace: Workspace, catalog: Catalog, instance: GatewayInstance, keys: Collection[Key]
) -> PreparedSet:
    """Plan the adoption of foreign objects; `apply_plans` carries it out like any other plan.

    Raises UsageError for objects that cannot be adopted, StoreError.
    """
    return PreparedSet.of(
        catalog, [await prepare_gateway_plan(workspace, catalog, instance, adopting=keys)]
    )
