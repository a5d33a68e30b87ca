"""Falls back to the last known good gateways for broken parts of a catalog. Pure.

The store has what was applied last to each gateway, this module which gateways there were. With
both, a process that starts on a broken revision keeps everything that was live; its embedded
gateway, which starts empty, gets it again. For a single broken document this module does nothing:
there the planner takes the last applied records (`planning.classification`), and `planning.prune`
deletes nothing that the document may have described.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.grants import UNKNOWN_GRANTS
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import DesiredState, SourceRef
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, SecretRights


@dataclass(frozen=True, slots=True)
class LastKnownGood:
    """Owner, gateways and rights of the last catalog that was not broken for all tenants.

    has_document  the owner and the rights stood in a catalog.yaml
    """

    owner: str
    revision: str
    tenants: tuple[str, ...]
    gateways: tuple[GatewayInstance, ...]
    secret_rights: SecretRights = DEFAULT_RIGHTS
    has_document: bool = False

    @classmethod
    def of(cls, catalog: Catalog) -> LastKnownGood | None:
        """Return it from a reading; None where that is broken as a whole, or has no gateway."""
        if catalog.is_all_broken or not catalog.gateways:
            return None
        return cls(
            catalog.owner,
            catalog.revision,
            catalog.tenants,
            catalog.gateways,
            catalog.secret_rights,
            catalog.has_document,
        )

    def catalog(self) -> Catalog:
        """Return a catalog that keeps on every gateway what was applied last."""
        desired = {
            gateway.name: DesiredState(
                gateway.name, self.owner, self.revision, rights=self.secret_rights
            )
            for gateway in self.gateways
        }
        return Catalog(
            self.owner,
            self.revision,
            None,
            self.gateways,
            desired,
            self.tenants,
            is_all_broken=True,
            secret_rights=self.secret_rights,
        )


def fill_from_last_good(catalog: Catalog, last: LastKnownGood | None) -> Catalog:
    """Return a reading with the gateways whose documents are broken as they were last.

    A catalog.yaml that is gone counts as broken: what stood there decided about everything live.
    """
    if last is None:
        return catalog
    if last.has_document and not catalog.has_document and not catalog.is_all_broken:
        catalog = _without_its_document(catalog, last)
    if not catalog.is_all_broken:
        return catalog
    if catalog.owner != last.owner:
        # The document that names the owner is broken. Ids of objects are derived from the owner:
        # under another name every object would be created a second time, so only the findings are
        # used.
        fallback = last.catalog()
        return replace(fallback, diagnostics=catalog.diagnostics, documents=catalog.documents)
    if not catalog.grants.is_known:
        catalog = _with_rights(catalog, last.secret_rights)
    # A process has one embedded gateway: a renamed document replaces the one before.
    has_embedded = any(gateway.is_embedded for gateway in catalog.gateways)
    missing = [
        gateway
        for gateway in last.gateways
        if catalog.gateway(gateway.name) is None and not (gateway.is_embedded and has_embedded)
    ]
    if not missing:
        return catalog
    gateways = sorted((*catalog.gateways, *missing), key=lambda gateway: gateway.name)
    empty = {
        gateway.name: DesiredState(
            gateway.name, catalog.owner, catalog.revision, rights=catalog.secret_rights
        )
        for gateway in missing
    }
    return replace(catalog, gateways=tuple(gateways), desired={**catalog.desired, **empty})


def _without_its_document(catalog: Catalog, last: LastKnownGood) -> Catalog:
    """Return a reading that lost its catalog.yaml, with the finding that says so."""
    finding = Diagnostic(
        Severity.ERROR,
        "catalog.no-document",
        f"there was a catalog.yaml at {last.revision}, and there is none now",
        SourceRef("catalog.yaml"),
        hint="put it back: all objects bear the name that it has, and what it grants to tenants is "
        f"live. To take the grants back, write `metadata: {{name: {last.owner}}}` without a spec; "
        "another catalog gets a state folder of its own (--state)",
    )
    diagnostics = sorted((*catalog.diagnostics, finding), key=lambda found: found.order)
    unknown = SecretRights(UNKNOWN_GRANTS)
    return replace(
        catalog, diagnostics=tuple(diagnostics), is_all_broken=True, secret_rights=unknown
    )


def _with_rights(catalog: Catalog, rights: SecretRights) -> Catalog:
    """Return a catalog whose grants cannot be read with those that were read last.

    What was applied with them is live, and a gateway that lost it gets it again.
    """
    desired = {name: replace(state, rights=rights) for name, state in catalog.desired.items()}
    return replace(catalog, secret_rights=rights, desired=desired)
