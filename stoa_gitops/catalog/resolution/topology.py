"""Environments and gateways of a catalog.

They are few, and everything else depends on them, so all are parsed again when one changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stoa_gitops.catalog.documents.canonical_json import to_tree
from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.kind import KindSet
from stoa_gitops.catalog.evaluation.overlay import (
    OverlaidDocument,
    Overlay,
    apply_overlay,
    is_overlaid,
)
from stoa_gitops.catalog.evaluation.parse import find_secrets, parse_document
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.completeness import (
    environments_without_document,
    unused_environments,
)
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.catalog.resolution.foreign_secrets import SecretGuard, SecretRefusal
from stoa_gitops.catalog.resolution.gateway_address import address_of
from stoa_gitops.catalog.resolution.index import Index
from stoa_gitops.catalog.resolution.registered_gateways import find_rivals
from stoa_gitops.model.grants import NO_GRANTS, UNKNOWN_GRANTS, Grants
from stoa_gitops.model.instances import (
    GatewayInstance,
    PruneBudget,
    RegistrationRules,
    WritePolicy,
)
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, SecretRights

BROKEN: Final = Overlay("\0broken")
"""Overlay of an environment whose document is broken; a NUL is in no valid name."""

_NOWHERE: Final = SourceRef("")


@dataclass(slots=True)
class Topology:
    """The parts of a catalog outside of tenants' folders.

    overlays    by environment with a document; BROKEN where the document is
    gateways    valid ones by name
    documented  names of gateways with a document, broken or not
    is_unsure   a file that is no use may hold the document of any environment without one
    has_unread_gateway  a file that is no use may hold the document of any gateway without one
    unknown     environments without a document that most likely are misspelt
    grants      what tenants are given beyond their own folders
    operators_secrets  references to secrets in documents of gateways, as text
    rights      which secrets tenants may use, as of the tenants that there are
    """

    overlays: dict[str, Overlay] = field(default_factory=dict)
    gateways: dict[str, GatewayInstance] = field(default_factory=dict)
    documented: frozenset[str] = frozenset()
    grants: Grants = NO_GRANTS
    operators_secrets: frozenset[str] = frozenset()
    rights: SecretRights = DEFAULT_RIGHTS
    found: list[LocatedFinding] = field(default_factory=list)
    is_unsure: bool = False
    has_unread_gateway: bool = False
    unknown: frozenset[str] = frozenset()

    def overlay(self, name: str) -> tuple[Overlay, bool]:
        """Return the overlay of an environment, and whether its document is broken."""
        is_unknown = self.is_unsure or name in self.unknown
        overlay = self.overlays.get(name, BROKEN if is_unknown else Overlay(name))
        return (Overlay(name), True) if overlay is BROKEN else (overlay, False)

    def signature(self, environment: str) -> object:
        """Return everything outside of tenants that results in an environment depend on."""
        # Without these settings a change of an interval does not evaluate 10,000 documents again.
        gateways = tuple(without_runtime_settings(gateway) for gateway in self.gateways.values())
        known = self.documented, self.has_unread_gateway
        return self.overlay(environment), gateways, known, self.rights


def without_runtime_settings(gateway: GatewayInstance) -> GatewayInstance:
    """Return a gateway without the settings of the reconciler, which no document depends on."""
    return replace(
        gateway,
        source=_NOWHERE,
        display_name="",
        policy=WritePolicy.FULL,
        prune=PruneBudget(),
        interval=60.0,
        wave=0,
        suspended=False,
        registration=RegistrationRules(),
    )


def read_topology(
    index: Index, kinds: KindSet, secret_refusal: SecretRefusal | None = None
) -> Topology:
    """Parse the Catalog document, environments and gateways of a tree."""
    topology = Topology(
        documented=frozenset(index.names("GatewayInstance")),
        is_unsure=index.has_unusable("environments"),
        has_unread_gateway=index.has_unusable("gateways"),
    )
    for document in index.documents("Catalog"):
        topology.grants = _grants(topology, document, kinds)
    if not index.documents("Catalog") and index.is_unsure_at_top:
        topology.grants = UNKNOWN_GRANTS
    for document in index.documents("Environment"):
        _read_environment(topology, document, kinds)
    topology.operators_secrets = frozenset(_references(index.documents("GatewayInstance")))
    _check_environments(topology, index)
    _read_gateways(topology, index.documents("GatewayInstance"), kinds, secret_refusal)
    return topology


def _read_gateways(
    topology: Topology,
    documents: Iterable[Document],
    kinds: KindSet,
    secret_refusal: SecretRefusal | None,
) -> None:
    """Parse all gateways; of several documents of one gateway at most the first is used."""
    embedded: Document | None = None
    by_address: dict[tuple[str, ...], Document] = {}
    registered: list[tuple[Document, GatewayInstance]] = []
    for document in documents:
        gateway = None
        if not document.is_broken:
            gateway = _gateway(topology, document, kinds, secret_refusal)
        if gateway is None:
            continue
        # There is one data plane in this process, so the first document by path has it.
        if gateway.is_embedded and embedded is not None:
            text = (
                f"the gateway embedded in this process is already {embedded.name} ({embedded.path})"
            )
            hint = "a process has one; write the URL of the other's admin API"
            at = ("spec", "baseUrl")
            topology.found.append(located(document, "gateway.embedded", text, at, hint))
            continue
        if gateway.is_embedded:
            embedded = document
        if gateway.is_registered:
            registered.append((document, gateway))
        else:
            first = by_address.setdefault(address_of(gateway), document)
            if first is not document:
                topology.found.append(_same_address(first, document))
                continue
        topology.gateways[gateway.name] = gateway
        topology.operators_secrets |= _secrets_of(gateway)
    for gateway, finding in find_rivals(registered):
        topology.found.append(finding)
        topology.gateways.pop(gateway.name, None)


def _references(documents: Iterable[Document]) -> Iterator[str]:
    """Yield the references in documents of gateways, broken ones too, as they are written."""
    for document in documents:
        waiting: list[Any] = [to_tree(document.parsed.raw)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += value.values()
                for scheme in ("env", "file"):
                    if isinstance(value.get(scheme), str):
                        yield f"{scheme}:{value[scheme]}"
            elif isinstance(value, list):
                waiting += value


def _context(document: Document, kinds: KindSet) -> DocumentContext:
    parsed = document.parsed
    key = Key(parsed.kind.lower(), "", parsed.name)
    source = SourceRef(document.path, parsed.line)
    return DocumentContext(key, source, parsed.index, kinds.schemas)


def _grants(topology: Topology, document: Document, kinds: KindSet) -> Grants:
    if document.is_broken:
        return UNKNOWN_GRANTS
    overlaid = OverlaidDocument(to_tree(document.parsed.raw), raw=document.parsed.raw)
    evaluated = parse_document(kinds.kinds["Catalog"], overlaid, _context(document, kinds))
    topology.found.extend(LocatedFinding(document.path, finding) for finding in evaluated.findings)
    return evaluated.definition if isinstance(evaluated.definition, Grants) else UNKNOWN_GRANTS


def _read_environment(topology: Topology, document: Document, kinds: KindSet) -> None:
    kind, context = kinds.kinds["Environment"], _context(document, kinds)
    value = to_tree(document.parsed.raw)
    overlay: Overlay | None = None
    if document.is_broken:
        findings = tuple(find_secrets(kind, value, context))
    else:
        evaluated = parse_document(kind, OverlaidDocument(value), context)
        overlay, findings = evaluated.definition, evaluated.findings
    topology.found.extend(LocatedFinding(document.path, finding) for finding in findings)
    topology.overlays[document.name] = BROKEN if overlay is None else overlay


def _same_address(first: Document, other: Document) -> LocatedFinding:
    text = f"this is the address of the gateway {first.name} ({first.path})"
    hint = "a gateway has one document: two would delete each other's objects; remove one of them"
    return located(other, "gateway.address", text, ("spec", "baseUrl"), hint)


def _check_environments(topology: Topology, index: Index) -> None:
    """Check that gateways and environments meet; what cannot be read may be the other half."""
    documents = index.documents("GatewayInstance")
    named = [(document, _environment_of(to_tree(document.parsed.raw))) for document in documents]
    if not topology.is_unsure:
        found = tuple(environments_without_document(named, topology.overlays.keys()))
        topology.found.extend(item for item, _ in found)
        topology.unknown = frozenset(name for _, name in found if name)
    # Said once: the gateway that most likely means it has the finding.
    if named and not topology.unknown and not index.has_unusable("gateways"):
        used = {name for _, name in named}
        topology.found.extend(unused_environments(index.documents("Environment"), used))


def _gateway(
    topology: Topology, document: Document, kinds: KindSet, secret_refusal: SecretRefusal | None
) -> GatewayInstance | None:
    """Return a gateway in its own environment; None when it is broken there."""
    parsed = document.parsed
    name = _environment_of(to_tree(parsed.raw))
    overlay = _overlay_for(topology, document, name)
    overlaid = apply_overlay(parsed, overlay, "", kinds.schemas)
    kind = kinds.kinds["GatewayInstance"]
    evaluated = parse_document(kind, overlaid, _context(document, kinds))
    gateway: GatewayInstance | None = evaluated.definition
    if overlaid.value is not None and _environment_of(overlaid.value) != name:
        text = "the environment of a gateway is written in its document, and never patched"
        at = ("spec", "environment")
        topology.found.append(located(document, "patch.identity", text, at))
        gateway = None
    topology.found.extend(
        LocatedFinding(document.path, finding, evaluated.origins) for finding in evaluated.findings
    )
    may_use, found = SecretGuard(DEFAULT_RIGHTS, secret_refusal).check(document, evaluated)
    topology.found.extend(found)
    return gateway if may_use else None


def _secrets_of(gateway: GatewayInstance) -> set[str]:
    """Return the references of a gateway as they are after its environment was applied."""
    tls = gateway.tls
    pems = (tls.ca, tls.cert, tls.key) if tls is not None else ()
    given = (*gateway.auth.refs.values(), gateway.registration.reload_token, *pems)
    return {str(reference) for reference in given if reference}


def _environment_of(value: Mapping[str, Any]) -> str:
    spec = value.get("spec")
    return str(spec.get("environment", "")) if isinstance(spec, dict) else ""


def _overlay_for(topology: Topology, document: Document, name: str) -> Overlay:
    overlay, is_broken = topology.overlay(name)
    # A gateway without variables is the same whatever its broken environment contains.
    if is_broken and is_overlaid(document.parsed, overlay, ""):
        return BROKEN
    return overlay
