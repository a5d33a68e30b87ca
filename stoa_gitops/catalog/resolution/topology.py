"""Environments and gateways: few documents that everything else depends on, read whole each time they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from stoa_gitops.catalog.documents.canonical_json import to_tree
from stoa_gitops.catalog.kinds.environment import Overlay, apply_overlay, is_overlaid, parse_overlay
from stoa_gitops.catalog.kinds.gateway import parse_gateway
from stoa_gitops.catalog.kinds.plaintext_secrets import find_plain_secrets
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.catalog.resolution.index import Index
from stoa_gitops.model.instances import GatewayInstance, PruneBudget, WritePolicy
from stoa_gitops.model.resources import SourceRef

BROKEN: Final = Overlay("\0broken")
"""Stands for an environment whose document is broken; no environment has its name."""

_NOWHERE: Final = SourceRef("")


@dataclass(slots=True)
class Topology:
    """What stands outside of tenants' folders.

    overlays   environments that have a document, BROKEN where it is
    gateways   those that are in order
    documented names of gateways that have a document, broken or not
    """

    overlays: dict[str, Overlay] = field(default_factory=dict)
    gateways: dict[str, GatewayInstance] = field(default_factory=dict)
    documented: frozenset[str] = frozenset()
    found: list[LocatedFinding] = field(default_factory=list)

    def overlay(self, name: str) -> tuple[Overlay, bool]:
        """Return what is laid over documents in an environment, and whether that is not known."""
        overlay = self.overlays.get(name, Overlay(name))
        return (Overlay(name), True) if overlay is BROKEN else (overlay, False)

    def signature(self, environment: str) -> object:
        """Return what the meaning of tenants' documents in an environment depends on."""
        gateways = tuple(without_runtime_settings(gateway) for gateway in self.gateways.values())
        return self.overlay(environment), gateways, self.documented


def without_runtime_settings(gateway: GatewayInstance) -> GatewayInstance:
    """Return a gateway without what only the reconciler asks for; documents are judged by the rest."""
    return replace(
        gateway,
        source=_NOWHERE,
        display_name="",
        policy=WritePolicy.FULL,
        prune=PruneBudget(),
        interval=60.0,
        wave=0,
        suspended=False,
    )


def read_topology(index: Index) -> Topology:
    """Read environments and gateways of a tree."""
    base = Topology(documented=frozenset(index.names("GatewayInstance")))
    for document in index.of("Environment"):
        _read_environment(base, document)
    embedded: Document | None = None
    for document in index.of("GatewayInstance"):
        gateway = None if document.is_broken else _gateway(base, document)
        if gateway is None:
            continue
        if gateway.is_embedded and embedded is not None:
            text = (
                f"the gateway embedded in this process is already {embedded.name} ({embedded.path})"
            )
            hint = "a process has one; write the URL of the other's admin API"
            at = ("spec", "baseUrl")
            base.found.append(located(document, "gateway.embedded", text, at, hint))
            continue
        if gateway.is_embedded:
            embedded = document
        base.gateways[gateway.name] = gateway
    return base


def _read_environment(base: Topology, document: Document) -> None:
    value = to_tree(document.parsed.raw)
    found = find_plain_secrets(value, "Environment", document.parsed.index)
    base.found.extend(LocatedFinding(document.path, finding) for finding in found)
    base.overlays[document.name] = (
        BROKEN
        if document.is_broken or found
        else parse_overlay(document.name, document.path, document.parsed.index, value)
    )


def _gateway(base: Topology, document: Document) -> GatewayInstance | None:
    """Return a gateway in its own environment; None when it is broken there."""
    parsed = document.parsed
    spec = to_tree(parsed.raw).get("spec")
    name = str(spec.get("environment", "")) if isinstance(spec, dict) else ""
    overlay = _overlay_for(base.overlays, document, name)
    evaluated = apply_overlay(parsed, overlay, "")
    found = list(evaluated.findings)
    gateway = None
    if evaluated.value is not None:
        found.extend(find_plain_secrets(evaluated.value, "GatewayInstance", parsed.index))
        source = SourceRef(document.path, parsed.line)
        gateway, wrong = parse_gateway(evaluated.value, source, parsed.index)
        found.extend(wrong)
        if gateway.environment != name:
            text = "the environment of a gateway is written in its document, and never patched"
            at = ("spec", "environment")
            base.found.append(located(document, "patch.identity", text, at))
            gateway = None
    base.found.extend(
        LocatedFinding(document.path, finding, evaluated.origins) for finding in found
    )
    return None if any(finding.is_error for finding in found) else gateway


def _overlay_for(overlays: Mapping[str, Overlay], document: Document, name: str) -> Overlay:
    overlay = overlays.get(name, Overlay(name))
    if overlay is BROKEN and not is_overlaid(document.parsed, Overlay(name), ""):
        return Overlay(name)
    return overlay
