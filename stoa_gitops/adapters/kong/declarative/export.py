"""Reads a decK or declarative file as the objects that a node with its content would list. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoa_gitops.adapter_sdk.info import VendorExport
from stoa_gitops.adapter_sdk.unreadable import reading_strictly
from stoa_gitops.adapters.kong.api.options import options_of
from stoa_gitops.adapters.kong.declarative.adoption_report import list_unmapped
from stoa_gitops.adapters.kong.declarative.callers import find_callers, is_said, with_callers
from stoa_gitops.adapters.kong.declarative.file import ENV, MISREAD_ERRORS, DeclarativeFile
from stoa_gitops.adapters.kong.entities.defaults import PLUGIN_DEFAULTS
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.versions import NEWEST_TESTED
from stoa_gitops.adapters.kong.mapping.mappers import decompile_application
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, ForeignEntities, NodeSnapshot
from stoa_gitops.foundation.yaml.foreign_text import Text
from stoa_gitops.model.canonical import SECRET_FIELD
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.secret import WITHHELD, Secret


def read_export(data: bytes, name: str, instance: GatewayInstance, owner: str) -> VendorExport:
    """Return what a file holds as items of `list_*`; raises UsageError with file:line.

    `${{ env "DECK_X" }}` in the place of a credential becomes the reference `env:DECK_X`.
    """
    # A file does not tell the version of Kong that it is for.
    node = NodeInfo(NEWEST_TESTED, frozenset(PLUGIN_DEFAULTS), options=options_of(instance.options))
    file = DeclarativeFile(Text(data, name))
    snapshot = NodeSnapshot(node, owner, {}, ForeignEntities(file.entities()))
    with reading_strictly():
        try:
            groups = snapshot.foreign.groups(node, owner)
            items = [item for kind in (API, POLICY, APPLICATION) for item in snapshot.items(kind)]
            callers = find_callers(groups, node, owner)
            unmapped = (*list_unmapped(snapshot), *file.unmapped)
        except MISREAD_ERRORS:
            file.raise_misread(snapshot)
    references = {
        group.key: _with_references(group, node, owner)
        for group in groups
        if group.key.kind == APPLICATION
    }
    for item in items:
        if item["kind"] == APPLICATION:
            key = Key(APPLICATION, item["tenant"], item["name"])
            item["spec"] = {**item["spec"], "credentials": references[key]}
    implied = VendorExport(
        tuple(with_callers(items, callers)),
        tuple(one for one in unmapped if not is_said(one, callers)),
    )
    return VendorExport(tuple(items), unmapped, implied)


def _with_references(group: EntityGroup, node: NodeInfo, owner: str) -> list[JsonTree]:
    """Return the credentials of an application with a reference where the file has one."""
    value: Any = decompile_application(group.entities, node, owner, group.key)[0].value
    return [
        {name: _reference(item) if isinstance(item, Secret) else item for name, item in one.items()}
        for one in value["credentials"]
    ]


def _reference(secret: Secret) -> Mapping[str, Any]:
    found = ENV.fullmatch(secret.reveal().strip())
    return {SECRET_FIELD: f"env:{found[1]}"} if found else WITHHELD
