"""Reads a tree into a `Catalog`; what is known of the tree before makes the next reading short.

Blocking and pure CPU: call it in a thread. Nothing that a catalog contains makes it raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from stoa_gitops.catalog.documents.isolation import ChildFailed, Isolation, failure
from stoa_gitops.catalog.documents.parse import parse_file
from stoa_gitops.catalog.documents.parsed_files import Budget, ParsedFile
from stoa_gitops.catalog.evaluation.openapi import read_openapi
from stoa_gitops.catalog.evaluation.wsdl import read_wsdl
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.catalog.positions import DiagnosticBuilder, LocatedFinding, place_findings
from stoa_gitops.catalog.resolution.catalog_state import CatalogState
from stoa_gitops.catalog.resolution.files import tenant_of
from stoa_gitops.catalog.resolution.foreign_secrets import SecretRefusal
from stoa_gitops.catalog.resolution.gateway_objects import gateway_objects
from stoa_gitops.catalog.resolution.gateway_support import (
    CombinedOf,
    GatewaySupport,
    LossesOf,
    Reserved,
    RouterOf,
    Unsupported,
)
from stoa_gitops.catalog.resolution.index import Index
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.foundation.gc_pause import gc_paused
from stoa_gitops.model.catalog import DEFAULT_OWNER, PLAN_DECIDES, Catalog
from stoa_gitops.model.gateway_types import GatewayTypeInfo, GatewayTypes
from stoa_gitops.model.resources import DesiredState

_SPARE = 256
"""Parsed contents that are kept though no file has them: undoing an edit parses nothing."""


class Reader:
    """Reads one catalog again and again, one reading at a time.

    unsupported(gateway, capability)  returns why a gateway lacks a capability (`adapter_sdk`), None
                                      when
                     it has it; requirements that no gateway meets become warnings
    losses(gateway)  returns the function that finds what canonical specs lose on a gateway
    combined(gateway)  returns the same for an API with its policies, beside what each loses alone
    reserved(gateway)  returns the paths that the gateway serves itself
    router(gateway)  returns how the gateway chooses among routes
    isolation        where large files are read; in this process by default
    gateway_types    what is known about types: names, options, name spaces
    secret_refusal(reference, rights)  returns why a document may not use a reference to a secret,
                     None when it may; nothing is checked without it

    All must return the same for the same gateway each time. A second tree is compared with the
    first: only what differs is evaluated, and resources that did not change are the same objects.
    The first reading, and the one after a reading that raised, evaluates every path.

        reader = Reader(gateway_types=gateway_types())
        catalog = reader.read(source.snapshot())
    """

    def __init__(
        self,
        *,
        unsupported: Unsupported | None = None,
        losses: LossesOf | None = None,
        reserved: Reserved | None = None,
        router: RouterOf | None = None,
        combined: CombinedOf | None = None,
        gateway_types: GatewayTypes | None = None,
        secret_refusal: SecretRefusal | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self._kinds = kind_set(gateway_types)
        self._isolation = isolation or Isolation()
        self._support = (
            GatewaySupport(unsupported, losses, reserved, router, combined) if unsupported else None
        )
        self._secret_refusal = secret_refusal
        self._parsed_files: dict[str, ParsedFile] = {}
        self._state: CatalogState | None = None
        self._diagnostics = DiagnosticBuilder(self._isolation)
        self._turn = threading.Lock()

    def read(self, tree: Tree) -> Catalog:
        """Read a tree; everything that is wrong with it is in `diagnostics`.

        Raises CatalogError only when files of the tree are gone meanwhile.
        """
        with self._turn, gc_paused(), self._isolation.reading():
            return self._read(tree)

    def _read(self, tree: Tree) -> Catalog:
        # The state is put back only after success: an update that raised left it half changed.
        state, self._state = self._state or self._empty_state(), None
        changed = differing(state.files, tree.files) | differing(state.links, tree.links)
        self._parse_changed(tree, changed)
        state.update(tree, changed, self._parsed_files)
        if len(self._parsed_files) > state.index.contents + _SPARE:
            live = state.index.blobs
            self._parsed_files = {
                blob: parsed for blob, parsed in self._parsed_files.items() if blob in live
            }
        found = list(state.found)
        diagnostics = self._diagnostics.build(tree, found)
        broken_tenants, is_all_broken = _broken(found, state.index)
        gateways = state.topology.gateways
        owner = _owner(state.index)
        tenants = {
            name
            for (kind, _), documents in state.index.by_kind.items()
            if kind == "Tenant"
            for name in documents
        }
        catalog = Catalog(
            owner=owner,
            revision=tree.revision,
            commit=tree.commit,
            gateways=tuple(gateways[name] for name in sorted(gateways)),
            desired=_desired(state, owner, tree, self._kinds.schemas.gateway_type),
            tenants=tuple(sorted(tenants)),
            documents=state.index.count,
            diagnostics=diagnostics,
            broken_tenants=broken_tenants,
            is_all_broken=is_all_broken,
            secret_rights=state.topology.rights,
            has_document=bool(state.index.documents("Catalog")),
        )
        self._state = state
        return catalog

    def _empty_state(self) -> CatalogState:
        return CatalogState(self._kinds, self._support, self._secret_refusal, self._isolation)

    def _parse_changed(self, tree: Tree, changed: Iterable[str]) -> None:
        """Parse new contents of files that may hold documents."""
        files = tree.files
        paths = {
            files[p]: p for p in changed if p in files and self._kinds.layout.may_hold_documents(p)
        }
        # Sorted: the budget for good explanations is spent in the order of paths.
        missing = sorted(path for blob, path in paths.items() if blob not in self._parsed_files)
        budget = Budget()
        for path, data in tree.read_many(missing):
            self._parsed_files[files[path]] = self._parse(data, budget)

    def _parse(self, data: bytes, budget: Budget) -> ParsedFile:
        def here() -> ParsedFile:
            return parse_file(data, self._kinds.schemas, budget)

        try:
            return self._isolation.call("parse", len(data), here, data)
        except ChildFailed as error:
            return ParsedFile(findings=(failure(error),), has_unknown=True)


def large_file_work(gateway_types: GatewayTypes | None) -> dict[str, Callable[..., object]]:
    """Return what a reader asks an `Isolation` for, by name."""
    schemas = kind_set(gateway_types).schemas
    return {
        "parse": lambda data: parse_file(data, schemas),
        "openapi": read_openapi,
        "wsdl": read_wsdl,
        "place": place_findings,
    }


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """Return the paths that appeared, disappeared or changed."""
    if before is after:
        return set()
    changed = {path for path, _ in after.items() - before.items()}
    return changed | (before.keys() - after.keys())


def _owner(index: Index) -> str:
    for document in index.documents("Catalog"):
        return document.name or DEFAULT_OWNER
    return DEFAULT_OWNER


def _desired(
    state: CatalogState,
    owner: str,
    tree: Tree,
    find_type: Callable[[str], GatewayTypeInfo | None],
) -> dict[str, DesiredState]:
    rights, revision = state.topology.rights, tree.revision
    desired = {
        name: DesiredState(name, owner, revision, rights=rights, files=tree)
        for name in state.topology.gateways
    }
    for environment in state.environments.values():
        # Where an environment's document is broken, the desired state of its gateways is unknown.
        may_be_empty = environment.may_be_empty
        for name, resources in environment.resources.items():
            instance = state.topology.gateways[name]
            of_gateway = gateway_objects(instance, find_type(instance.gateway_type))
            # The identical mapping where there are none: a plan goes by what moved.
            whole = {**resources, **of_gateway} if of_gateway else resources
            desired[name] = DesiredState(name, owner, revision, whole, rights, may_be_empty, tree)
    return desired


def _broken(found: Iterable[LocatedFinding], index: Index) -> tuple[frozenset[str], bool]:
    """Return which tenants are broken, and whether something is that concerns them all."""
    wrong = {
        tenant_of(item.path)
        for item in found
        if item.finding.is_error and item.finding.code not in PLAN_DECIDES
    }
    wrong |= index.incomplete
    return frozenset(wrong - {""}), "" in wrong
