"""Reads a tree into a `Catalog`; keeps what it read by content, so that the next reading is short.

Blocking and pure CPU: call it in a thread. Nothing that stands in a catalog makes it raise.
"""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stoa_gitops.catalog.assemble import desired_state
from stoa_gitops.catalog.blobs import Blob, Budget, read_blob
from stoa_gitops.catalog.collisions import Unsupported, check
from stoa_gitops.catalog.environments import Overlay, evaluate, overlay_of, touches
from stoa_gitops.catalog.gateways import gateway_of
from stoa_gitops.catalog.index import Document, Index, build_index, tenant_of
from stoa_gitops.catalog.layout import slot_of
from stoa_gitops.catalog.limits import check_limits
from stoa_gitops.catalog.placing import Located, Placer
from stoa_gitops.catalog.plain_secrets import find_plain_secrets
from stoa_gitops.catalog.scene import Scene
from stoa_gitops.catalog.sources import Tree
from stoa_gitops.catalog.world import Kept, World
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import DesiredState, SourceRef

DEFAULT_OWNER = "default"


class Reader:
    """Reads one catalog again and again.

    `unsupported(gateway, capability)` says why a gateway has not a capability (names as in
    `adapters.contract.Capabilities`), None when it has; what a catalog asks in vain is then a warning.
    """

    def __init__(self, *, unsupported: Unsupported | None = None) -> None:
        self._unsupported = unsupported
        self._blobs: dict[str, Blob] = {}
        self._kept = Kept()

    def read(self, tree: Tree) -> Catalog:
        """Read a tree; everything that is wrong with it is in `diagnostics`.

        Raises CatalogError only when the tree's own files are gone meanwhile.
        """
        with _without_collection():
            return self._read(tree)

    def _read(self, tree: Tree) -> Catalog:
        self._blobs = self._read_blobs(tree)
        index = build_index(tree, self._blobs.__getitem__)
        world = World(tree, index, self._kept)
        overlays = _overlays(world)
        gateways = _gateways(world, overlays)
        world.read_openapi_documents()
        scenes = self._scenes(world, overlays, gateways)
        check_limits(world, scenes)
        self._kept = world.kept
        owner = _owner(index)
        broken_tenants, is_all_broken = _broken(world)
        return Catalog(
            owner=owner,
            revision=tree.revision,
            commit=tree.commit,
            gateways=tuple(gateways[name] for name in sorted(gateways)),
            desired=_desired(scenes, gateways, owner, tree.revision),
            tenants=tuple(sorted({document.name for document in index.of("Tenant")})),
            documents=index.count,
            diagnostics=Placer(tree).place(world.found),
            broken_tenants=broken_tenants,
            is_all_broken=is_all_broken,
        )

    def _read_blobs(self, tree: Tree) -> dict[str, Blob]:
        paths = {blob: path for path, blob in tree.files.items() if slot_of(path) is not None}
        blobs = {blob: known for blob in paths if (known := self._blobs.get(blob)) is not None}
        missing = [path for blob, path in paths.items() if blob not in blobs]
        budget = Budget()
        for path, data in tree.read_many(missing):
            blobs[tree.files[path]] = read_blob(data, budget)
        return blobs

    def _scenes(
        self, world: World, overlays: Mapping[str, Overlay], gateways: dict[str, GatewayInstance]
    ) -> list[Scene]:
        scenes = []
        for name in sorted({gateway.environment for gateway in gateways.values()}) or [""]:
            overlay = overlays.get(name, Overlay(name))
            is_partial = overlay is _BROKEN
            scene = Scene(
                world, Overlay(name) if is_partial else overlay, gateways, is_partial=is_partial
            )
            scene.build()
            check(scene, self._unsupported)
            scenes.append(scene)
        return scenes


_collection = threading.Lock()


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python's cycle collector from looking at the 10,000s of trees that come and go here.

    None of them is a cycle; looking at them takes a third of the time. One reading at a time does this,
    and for as long as it takes.
    """
    if not gc.isenabled() or not _collection.acquire(blocking=False):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _collection.release()


def _owner(index: Index) -> str:
    document = index.documents.get(("Catalog", "", ""))
    return document.name if document is not None and document.name else DEFAULT_OWNER


_BROKEN = Overlay("\0broken")
"""Stands for an environment whose document is broken; no environment has its name."""


def _overlays(world: World) -> dict[str, Overlay]:
    overlays: dict[str, Overlay] = {}
    for document in world.index.of("Environment"):
        value = json.loads(document.parsed.raw)
        found = find_plain_secrets(value, "Environment", document.parsed.index)
        world.found.extend(Located(document.path, finding) for finding in found)
        if document.is_broken or found:
            overlays[document.name] = _BROKEN
        else:
            overlays[document.name] = overlay_of(
                document.name, document.path, document.parsed.index, value
            )
    return overlays


def _gateways(world: World, overlays: Mapping[str, Overlay]) -> dict[str, GatewayInstance]:
    gateways: dict[str, GatewayInstance] = {}
    embedded: Document | None = None
    for document in world.index.of("GatewayInstance"):
        gateway = None if document.is_broken else _gateway(world, document, overlays)
        if gateway is None:
            continue
        if gateway.is_embedded and embedded is not None:
            world.say(
                document,
                "gateway.embedded",
                f"the gateway embedded in this process is already {embedded.name} ({embedded.path})",
                ("spec", "baseUrl"),
                "a process has one; write the URL of the other's admin API",
            )
            continue
        if gateway.is_embedded:
            embedded = document
        gateways[gateway.name] = gateway
    return gateways


def _gateway(
    world: World, document: Document, overlays: Mapping[str, Overlay]
) -> GatewayInstance | None:
    """Return a gateway in its own environment; None when it is broken there."""
    parsed = document.parsed
    spec = json.loads(parsed.raw).get("spec")
    name = str(spec.get("environment", "")) if isinstance(spec, dict) else ""
    overlay = overlays.get(name, Overlay(name))
    if overlay is _BROKEN and not touches(parsed, Overlay(name), ""):
        overlay = Overlay(name)
    evaluated = evaluate(parsed, overlay, "")
    found = list(evaluated.findings)
    gateway = None
    if evaluated.value is not None:
        found.extend(find_plain_secrets(evaluated.value, "GatewayInstance", parsed.index))
        source = SourceRef(document.path, parsed.line)
        gateway, wrong = gateway_of(evaluated.value, source, parsed.index)
        found.extend(wrong)
        if gateway.environment != name:
            world.say(
                document,
                "patch.identity",
                "the environment of a gateway is written in its document, and never patched",
                ("spec", "environment"),
            )
            gateway = None
    world.found.extend(Located(document.path, finding, evaluated.origins) for finding in found)
    is_broken = any(finding.is_error for finding in found)
    document.is_broken = document.is_broken or is_broken
    return None if is_broken else gateway


def _desired(
    scenes: list[Scene], gateways: dict[str, GatewayInstance], owner: str, revision: str
) -> dict[str, DesiredState]:
    desired = {name: DesiredState(name, owner, revision) for name in gateways}
    for scene in scenes:
        # Where an environment's document is broken, nobody knows what its gateways should have.
        for name, gateway in scene.gateways.items() if not scene.is_partial else ():
            desired[name] = desired_state(scene, gateway, owner, revision)
    return desired


def _broken(world: World) -> tuple[frozenset[str], bool]:
    """Return which tenants are broken, and whether something is that concerns them all."""
    wrong = {tenant_of(item.path) for item in world.found if item.finding.is_error}
    wrong |= world.index.unsure
    return frozenset(wrong - {""}), "" in wrong
