"""Collects the documents that a foreign file becomes, and what they leave out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.catalog.documents.schemas import API_VERSION
from stoa_gitops.catalog.export.openapi.names import name_from
from stoa_gitops.catalog.findings import foreign_text
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, SecretRights, variable_prefix
from stoa_gitops.model.unmapped import Unmapped

_KINDS: Final = {"API": API, "Application": APPLICATION}
_ROOM: Final = 200
_LONGEST: Final = {"displayName": 200, "description": 500, "version": 100}
SECURITY_TYPES: Final = frozenset({"api_key", "jwt", "ip_filter"})
"""Policies without which a request gets in that did not before."""


@dataclass(slots=True)
class TranslatedDocument:
    """One document to be.

    title         what it was called before; a name may have to differ
    placeholders  variables that a person sets before it is applied
    """

    kind: str
    tenant: str
    name: str
    spec: dict[str, Any]
    title: str = ""
    placeholders: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where it goes in the catalog."""
        folder = f"tenants/{self.tenant}"
        return {
            "API": f"{folder}/apis/{self.name}/api.yaml",
            "Application": f"{folder}/applications/{self.name}.yaml",
            "Policy": f"{folder}/policies/{self.name}.yaml",
            "Tenant": f"{folder}/tenant.yaml",
            "Environment": f"environments/{self.name}.yaml",
        }[self.kind]

    @property
    def key(self) -> Key | None:
        """The object that it describes; None for other documents."""
        kind = _KINDS.get(self.kind)
        return None if kind is None else Key(kind, self.tenant, self.name)

    @property
    def tree(self) -> dict[str, Any]:
        """The document."""
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name},
            "spec": self.spec,
        }

    @property
    def comment(self) -> str:
        """The lines above a new document."""
        lines = list(self.notes)
        if self.placeholders:
            lines.append(f"Set {', '.join(self.placeholders)} before you apply this.")
        return "".join(f"# {line}\n" for line in lines)

    def close(self, reason: str) -> None:
        """Write the API inactive: something is not said that kept callers out."""
        self.spec["active"] = False
        self.notes.append(f"Inactive until you write what keeps callers out: {_plain(reason)}")


class Translation:
    """The documents of one import; names are made unique, nothing is validated here."""

    def __init__(self, rights: SecretRights = DEFAULT_RIGHTS) -> None:
        self._rights = rights
        self._variables: set[str] = set()
        self.documents: dict[str, TranslatedDocument] = {}
        self.copies: dict[str, bytes] = {}
        self.unmapped: list[Unmapped] = []

    def add(self, kind: str, tenant: str, name: str, spec: Mapping[str, Any]) -> TranslatedDocument:
        """Add a document under a name, or under that with a number where it is taken."""
        plain = name_from(name)
        wanted, number = plain, 2
        document = TranslatedDocument(kind, tenant, wanted, bounded(spec), name)
        while document.path in self.documents:
            suffix = f"-{number}"
            document.name = plain[: 63 - len(suffix)].rstrip("-") + suffix
            number += 1
        self.documents[document.path] = document
        return document

    def leave_out(
        self,
        what: str,
        field_name: str = "",
        value: object = "",
        effect: str = "left out",
        document: TranslatedDocument | None = None,
    ) -> None:
        """Note what no document says."""
        key = None if document is None else document.key
        shown = foreign_text(value, what, field_name, most=_ROOM)
        self.unmapped.append(Unmapped(what, field_name, shown, effect, key))

    def leave_out_others(
        self,
        what: str,
        values: Mapping[str, Any],
        known: Collection[str],
        document: TranslatedDocument | None = None,
        effect: str = "left out",
    ) -> None:
        """Note the fields of a mapping that are not among the `known` ones."""
        for name, value in values.items():
            if name not in known and value not in (None, "", [], {}, False):
                shown = "" if isinstance(value, dict | list) else value
                self.leave_out(what, str(name), shown, effect, document)

    def placeholder(self, document: TranslatedDocument, *parts: str) -> dict[str, str]:
        """Return a reference to a variable that a person sets: `<TENANT>_<NAME>_<PART>`."""
        words = "_".join((document.name, *parts))
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words).upper()
        rest = re.sub(r"[^A-Z0-9]+", "_", text).strip("_")
        rights, prefix = self._rights.of(document.tenant), variable_prefix(document.tenant)
        # Of tenants acme and acme-mobile, what begins with ACME_MOBILE_ is the second one's.
        possible = [prefix, f"{prefix}_", *rights.granted.env]
        names = [f"{one}{rest}" for one in possible]
        base = next((one for one in names if rights.may_use_variable(one)), names[0])
        name, number = base, 2
        while name in self._variables:
            name, number = f"{base}_{number}", number + 1
        self._variables.add(name)
        document.placeholders.append(name)
        return {"env": name}

    def drop(self, document: TranslatedDocument, reason: str) -> None:
        """Take a document back, and say why."""
        self.documents.pop(document.path, None)
        what = f"{document.kind} {document.tenant}/{document.name}"
        self.leave_out(what, "", "", f"not written: {reason}", document)

    def forget_unused(self) -> None:
        """Ask for no variable that no document refers to any more."""
        for document in self.documents.values():
            text = json.dumps(document.spec)
            gone = [name for name in document.placeholders if f'"{name}"' not in text]
            document.placeholders = [one for one in document.placeholders if one not in gone]
            document.notes = [
                note for note in document.notes if not any(name in note for name in gone)
            ]


def bounded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec without what is empty, its texts no longer than documents have them."""
    return {
        name: value[: _LONGEST[name]] if name in _LONGEST and isinstance(value, str) else value
        for name, value in spec.items()
        if value not in (None, "", [], {})
    }


def texts_of(value: Any) -> list[str]:
    """Return the texts of a list, of one text, or none."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        return []
    return [str(item) for item in value if isinstance(item, str | int | float)]


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def items_of(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _plain(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)[:100]
