"""`adopt GATEWAY --write DIR`: documents for foreign objects of a gateway or a vendor's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stoa_gitops.adapters.registry import gateway_types, losses
from stoa_gitops.catalog.export.proposal import Proposal, propose
from stoa_gitops.drivers.vendor_export import read_export
from stoa_gitops.errors import GatewayUnreachable, UsageError
from stoa_gitops.model.losses import Loss

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from stoa_gitops.adapter_sdk.capabilities import Rules
    from stoa_gitops.catalog import Tree
    from stoa_gitops.catalog.export.drafts import LossFinder
    from stoa_gitops.model.canonical import JsonObject
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key
    from stoa_gitops.model.resources import Observed
    from stoa_gitops.model.unmapped import Unmapped
    from stoa_gitops.operations.workspace import Workspace

MAX_EXPORT_BYTES: Final = 64 << 20
"""Bytes of a vendor's file that are read: the parsed objects take many times as much memory."""


@dataclass(frozen=True, slots=True)
class GatewayObjects:
    """What is on a gateway, and what of it no document can express.

    find_losses  what the running gateway cannot express of a spec; None where none was asked
    """

    objects: Sequence[Observed]
    unmapped: Sequence[Unmapped]
    find_losses: LossFinder | None = None


def read_vendor_export(
    path: Path, instance: GatewayInstance, owner: str, *, is_implied: bool = False
) -> GatewayObjects:
    """Read a file of the gateway's vendor; UsageError where it cannot be read or is too large.

    `is_implied` takes what the file implies along, such as who may call what.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_EXPORT_BYTES + 1)  # one more tells "exactly" from "more than"
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_EXPORT_BYTES:
        raise UsageError(f"{path} has more than {MAX_EXPORT_BYTES >> 20} MiB: split it")
    return GatewayObjects(*read_export(data, str(path), instance, owner, is_implied=is_implied))


async def observe_objects(
    workspace: Workspace, catalog: Catalog, instance: GatewayInstance
) -> GatewayObjects:
    """Read everything that is on a gateway; GatewayUnreachable where it does not answer."""
    session = await workspace.session(catalog, instance)
    actual = await session.observe_all(for_documents=True)
    if actual.error is not None:
        raise GatewayUnreachable(f"{instance.name}: {actual.error}")
    driver = session.driver
    return GatewayObjects(actual.objects, await driver.unmapped(), _loss_finder(driver.rules))


def _loss_finder(rules: Rules) -> LossFinder:
    """Return what finds losses of an observed object; that it cannot be adopted is one, too."""

    def find(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
        found = rules.losses(kind, spec) if rules.losses else ()
        reason = rules.refuse_adoption(kind, spec) if rules.refuse_adoption else ""
        return (*found, Loss(reason)) if reason else found

    return find


def propose_documents(
    catalog: Catalog,
    tree: Tree,
    instance: GatewayInstance,
    gateway_objects: GatewayObjects,
    keys: Collection[Key],
    *,
    closes: bool = False,
) -> Proposal:
    """Draft documents for the foreign objects of `keys`, or for all that the catalog has not.

    `closes` is as of `propose`.
    A key of an API takes what belongs to it along. Raises UsageError for a key that names no
    foreign object.
    """
    chosen = _chosen(catalog, instance, gateway_objects.objects, keys)
    return propose(
        catalog,
        tree,
        instance.name,
        chosen,
        gateway_objects.find_losses or losses(instance),
        gateway_objects.unmapped,
        gateway_types(),
        closes=closes,
    )


def _chosen(
    catalog: Catalog,
    instance: GatewayInstance,
    objects: Sequence[Observed],
    keys: Collection[Key],
) -> list[Observed]:
    foreign = [observed for observed in objects if not observed.managed]
    missing = sorted(set(keys) - {observed.key for observed in foreign})
    if missing:
        raise UsageError(f"{instance.name} has no foreign object {', '.join(map(str, missing))}")
    # An API takes its policies along: they hang on it and cannot be adopted before it.
    if keys:
        return [item for item in foreign if item.key in keys or item.key.parent in keys]
    resources = catalog.desired[instance.name].resources
    return [item for item in foreign if (item.key.parent or item.key) not in resources]
