"""Knows which file of a catalog may hold which kind, and what its folder fixes of the name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Final

from stoa_gitops.catalog.findings import Finding, shown
from stoa_gitops.model.canonical import JsonObject

NAME: Final = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
"""A DNS label (RFC 1123 §2.1), as Kubernetes names objects."""

SUFFIXES: Final = (".yaml", ".yml")
_TENANTS: Final = "tenants"


@dataclass(frozen=True, slots=True)
class KindLocation:
    """The file or folder in which documents of one kind lie.

    pattern    the file, as `tenants/<tenant>/apis/<api>/api.yaml`
    folder     first folder of the path; in tenants the one below the tenant; empty for a file that
               lies directly at the top, or in the tenant's own folder
    file       the file's name without suffix where it is fixed (`catalog`, `tenant`)
    is_in_tenant    it lies below `tenants/<tenant>/`
    has_own_folder  each document has a folder of its own, which has its name
    """

    pattern: str
    folder: str = ""
    file: str = ""
    is_in_tenant: bool = False
    has_own_folder: bool = False

    @classmethod
    def parse(cls, pattern: str) -> KindLocation:
        """Read a pattern; raises ValueError for one that is none of those above."""
        parts = pattern.split("/")
        is_in_tenant = parts[:2] == [_TENANTS, "<tenant>"]
        match parts[2:] if is_in_tenant else parts:
            case [file] if not file.startswith("<"):
                return cls(pattern, "", file.removesuffix(".yaml"), is_in_tenant)
            case [folder, file] if file.startswith("<"):
                return cls(pattern, folder, "", is_in_tenant)
            case [folder, own, _] if own.startswith("<") and is_in_tenant:
                return cls(pattern, folder, "", is_in_tenant, has_own_folder=True)
        raise ValueError(f"{pattern!r} is no place for documents, as gateways/<name>.yaml is one")

    @property
    def hint(self) -> str:
        """The place for a person who has to move a document there."""
        return re.sub(r"<[a-z]+>\.yaml$", "", self.pattern)

    def path(self, tenant: str, name: str) -> str:
        """Return the path of one document."""
        return re.sub(
            r"<([a-z]+)>", lambda part: tenant if part[1] == "tenant" else name, self.pattern
        )


@dataclass(frozen=True, slots=True)
class PathRule:
    """What one path may hold.

    kinds   the kinds that fit; empty where no document belongs
    tenant  the tenant whose folder it lies in, empty elsewhere
    name    the name that a document there must have, empty where any will do
    has_own_folder  other YAML files may lie there, which the document names (an OpenAPI document)
    """

    kinds: tuple[str, ...]
    tenant: str = ""
    name: str = ""
    has_own_folder: bool = False


class Layout:
    """The homes of all kinds, looked up by path.

    Asked once per file of a catalog, so the rules are tables and nothing is matched against
    patterns.
    """

    def __init__(self, homes: Mapping[str, KindLocation]) -> None:
        self.homes = homes
        outside = {kind: home for kind, home in homes.items() if not home.is_in_tenant}
        inside = {kind: home for kind, home in homes.items() if home.is_in_tenant}
        self._at_top = tuple(kind for kind, home in outside.items() if not home.folder)
        self._folders = _by_folder(outside)
        self._tenant_files = _by_file(inside)
        self._tenant_folders = _by_folder(inside)
        self._own_folders = {home.folder for home in inside.values() if home.has_own_folder}

    def may_hold_documents(self, path: str) -> bool:
        """Whether a file may hold documents: whether it has a rule."""
        if not path.endswith(SUFFIXES):
            return False
        # Asked for every file: the rule is looked up only for the few paths that need it.
        return "/openapi." not in path or self.rule(path) is not None

    def is_unread_document(self, path: str) -> bool:
        """Whether a file would be a document with another suffix; APIs may have JSON files."""
        if "/" not in path or not has_unread_suffix(path):
            return False
        rule = self.rule(f"{path.rpartition('.')[0]}.yaml")
        return rule is not None and bool(rule.kinds) and not rule.has_own_folder

    def rule(self, path: str) -> PathRule | None:
        """Return what a path may hold, None for files that are no documents."""
        if not path.endswith(SUFFIXES):
            return None
        parts = path.split("/")
        if len(parts) == 1:
            return PathRule(self._at_top)
        if parts[0] == _TENANTS:
            return self._tenant_slot(parts)
        return PathRule(self._folders.get(parts[0], ()))

    def _tenant_slot(self, parts: list[str]) -> PathRule | None:
        if len(parts) == 2:
            return PathRule(())
        # Interned: every document of a tenant holds its name.
        tenant, here = intern(parts[1]), parts[2]
        if len(parts) == 3:
            return PathRule(self._tenant_files.get(here.rpartition(".")[0], ()), tenant, tenant)
        kinds = self._tenant_folders.get(here, ())
        if here not in self._own_folders:
            return PathRule(kinds, tenant)
        if len(parts) == 4:
            return PathRule((), tenant)
        # The OpenAPI document that an API has without naming it.
        if parts[-1].startswith("openapi."):
            return None
        return PathRule(kinds, tenant, intern(parts[3]), has_own_folder=True)

    def check(
        self, rule: PathRule, kind: str, metadata: JsonObject, document: int
    ) -> list[Finding]:
        """Return what is wrong with a document in the folder it lies in."""
        if kind not in rule.kinds:
            return [
                Finding(
                    "document.place",
                    f"a document of kind {kind} does not belong here",
                    ("kind",),
                    f"move it to {self.homes[kind].hint}",
                    document=document,
                )
            ]
        found = []
        name, tenant = metadata.get("name"), metadata.get("tenant")
        # Without a name, the schema has a finding.
        if rule.name and name and name != rule.name:
            found.append(
                Finding(
                    "name.folder",
                    f"the name {shown(name)} is not that of its folder, {rule.name}",
                    ("metadata", "name"),
                    f"write `name: {rule.name}`, or rename the folder"
                    if NAME.fullmatch(rule.name)
                    else "rename the folder: lower-case letters, digits and inner hyphens",
                    document=document,
                )
            )
        if tenant is not None and tenant != rule.tenant:
            where = (
                f"its folder is that of {rule.tenant}" if rule.tenant else "it has no tenant here"
            )
            found.append(
                Finding(
                    "name.tenant",
                    f"the tenant {shown(tenant)} is not that of the folder: {where}",
                    ("metadata", "tenant"),
                    "remove the line: the tenant follows from the folder",
                    document=document,
                )
            )
        return found


def has_unread_suffix(path: str) -> bool:
    """Whether a file is JSON, or its suffix has capitals (`.YAML`)."""
    return not path.endswith(SUFFIXES) and path.lower().endswith((*SUFFIXES, ".json"))


def _by_folder(homes: Mapping[str, KindLocation]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kind, home in homes.items():
        if home.folder:
            found[home.folder] = (*found.get(home.folder, ()), kind)
    return found


def _by_file(homes: Mapping[str, KindLocation]) -> dict[str, tuple[str, ...]]:
    return {home.file: (kind,) for kind, home in homes.items() if not home.folder}
