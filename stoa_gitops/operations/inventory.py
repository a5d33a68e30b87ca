"""`state`: the objects that catalogs own on gateways, as the store has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoa_gitops.errors import UsageError
from stoa_gitops.operations.status import require_gateway, require_store
from stoa_gitops.operations.store_choice import open_store
from stoa_gitops.operations.stored_gateways import load_gateways

if TYPE_CHECKING:
    from stoa_gitops.model.keys import Key
    from stoa_gitops.model.principal import Principal
    from stoa_gitops.model.resources import AppliedRecord
    from stoa_gitops.reconcile.session import SessionContext
    from stoa_gitops.store import Scope, Store


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """One object of the inventory: whose it is, on which gateway, and what was last applied."""

    scope: Scope
    record: AppliedRecord

    def summary(self) -> dict[str, Any]:
        """Return it as JSON, without its spec."""
        record = self.record
        return {
            "gateway": self.scope.gateway,
            "owner": self.scope.owner,
            "base_url": self.scope.base_url,
            "key": str(record.key),
            "id": record.gateway_id,
            "revision": record.revision,
            "adopted": record.adopted,
            "protected": record.protected,
        }

    def document(self) -> dict[str, Any]:
        """Return it as JSON; secrets are references, as in the catalog."""
        return {**self.summary(), "spec": dict(self.record.spec.value)}


async def list_objects(
    folder: Path, gateways: Collection[str] = (), tenant: str | None = None
) -> list[OwnedObject]:
    """Return what is owned, sorted by gateway and key; all where nothing narrows it.

    Raises UsageError for a gateway that the store does not know, and without a store; StoreError.
    """
    require_store(folder)
    async with open_store(folder) as store:
        found = await _load(store, gateways)
    return [item for item in found if tenant is None or item.record.key.tenant == tenant]


async def show_object(folder: Path, gateway: str, key: Key) -> list[OwnedObject]:
    """Return an object by its key; several where catalogs or addresses differ; UsageError."""
    found = [item for item in await list_objects(folder, [gateway]) if item.record.key == key]
    if not found:
        raise UsageError(f"nothing is known of {key} on {gateway}; `state list` shows what is")
    return found


async def _load(store: Store, gateways: Collection[str]) -> list[OwnedObject]:
    known = await load_gateways(store)
    for name in gateways:
        require_gateway(known, name)
    return [
        OwnedObject(scope, record)
        for name, stored in sorted(known.items())
        if not gateways or name in gateways
        for scope in stored.scopes
        for _, record in sorted((await store.load_records(scope)).items())
    ]


async def choose_objects(
    store: Store, gateway: str, keys: Sequence[Key], owner: str | None
) -> list[OwnedObject]:
    """Return the objects of some keys, with the policies of APIs; raises UsageError.

    Refused are keys that the store does not have, and keys of several catalogs without `owner`.
    """
    found = [
        item
        for item in await _load(store, [gateway])
        if (owner is None or item.scope.owner == owner)
        and (item.record.key in keys or item.record.key.parent in keys)
    ]
    missing = sorted(set(keys) - {item.record.key for item in found})
    if missing:
        raise UsageError(f"nothing is known of {', '.join(map(str, missing))} on {gateway}")
    owners = sorted({item.scope.owner for item in found})
    if len(owners) > 1:
        raise UsageError(
            f"several catalogs own these there ({', '.join(owners)}): name one by --owner"
        )
    return found


async def forget_objects(
    context: SessionContext, gateway: str, chosen: Sequence[OwnedObject], principal: Principal
) -> None:
    """Drop what is known of objects; they stay on the gateway. Nobody else writes meanwhile.

    Raises LeaseHeld where another process writes to the gateway, StoreError.
    """
    from stoa_gitops.reconcile.lease import leased
    from stoa_gitops.store import AuditEntry

    now = context.clock()
    async with leased(context.store, gateway, principal.subject, context.clock):
        for scope in sorted({item.scope for item in chosen}):
            keys = [item.record.key for item in chosen if item.scope == scope]
            message = f"of catalog {scope.owner}; it stays on the gateway"
            entries = [
                AuditEntry(now, principal.subject, gateway, str(key), "forget", "applied", message)
                for key in keys
            ]
            await context.store.forget_objects(scope, keys, entries)
