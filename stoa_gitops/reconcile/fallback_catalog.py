"""What stands in for the parts of a catalog that are broken, or for one that cannot be read at all. Pure.

What was applied last is in the store, by gateway; here is which gateways there were. With both, a process that starts on
a broken revision keeps everything that was live (its embedded gateway begins empty, and is given it again).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import DesiredState


@dataclass(frozen=True, slots=True)
class LastKnownGood:
    """Whose catalog it was, and which gateways it had, when the parts that concern all tenants were whole."""

    owner: str
    revision: str
    tenants: tuple[str, ...]
    gateways: tuple[GatewayInstance, ...]

    @classmethod
    def of(cls, catalog: Catalog) -> LastKnownGood | None:
        """Take it from a reading; None where that cannot be trusted, or has no gateway."""
        if catalog.is_all_broken or not catalog.gateways:
            return None
        return cls(catalog.owner, catalog.revision, catalog.tenants, catalog.gateways)

    def catalog(self) -> Catalog:
        """Return a catalog in which the last applied record stands in for everything."""
        names = [gateway.name for gateway in self.gateways]
        desired = {name: DesiredState(name, self.owner, self.revision) for name in names}
        return Catalog(
            self.owner,
            self.revision,
            None,
            self.gateways,
            desired,
            self.tenants,
            is_all_broken=True,
        )


def fill_from_last_good(catalog: Catalog, last: LastKnownGood | None) -> Catalog:
    """Return a reading with the gateways whose documents are broken, as they were last.

    Where the document that names the owner is broken, nothing of the reading is used but its findings: under
    another name every object would be made a second time.
    """
    if last is None or not catalog.is_all_broken:
        return catalog
    if catalog.owner != last.owner:
        stand_in = last.catalog()
        return replace(stand_in, diagnostics=catalog.diagnostics, documents=catalog.documents)
    has_embedded = any(gateway.is_embedded for gateway in catalog.gateways)
    missing = [
        gateway
        for gateway in last.gateways
        if catalog.gateway(gateway.name) is None and not (gateway.is_embedded and has_embedded)
    ]
    if not missing:
        return catalog
    gateways = sorted((*catalog.gateways, *missing), key=lambda gateway: gateway.name)
    empty = {g.name: DesiredState(g.name, catalog.owner, catalog.revision) for g in missing}
    return replace(catalog, gateways=tuple(gateways), desired={**catalog.desired, **empty})
