"""What a catalog can say of an OpenAPI document: the spec of its API, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.catalog.documents.schemas import API_VERSION
from stoa_gitops.catalog.export.openapi.remarks import Remarks
from stoa_gitops.catalog.export.openapi.requirements import find_policies
from stoa_gitops.catalog.export.openapi.servers import find_server
from stoa_gitops.catalog.export.overlay import escaped
from stoa_gitops.model.unmapped import Unmapped

_LONGEST_DESCRIPTION: Final = 500
_LONGEST_NAME: Final = 200
_LONGEST_VERSION: Final = 100
_MOST_TAGS: Final = 50
_ROUTE: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()+,;=:@%-]+){1,64}")
"""Paths that a route may have (schemas/v1alpha1/api.json)."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person may decide about all documents of an import.

    variables  values for variables of servers, by name
    backend    URL that requests go to whatever servers say; empty for those
    gateways   gateways of the APIs; none for those of the tenant
    tenant_gateways  those of a tenant that the catalog has not
    """

    tenant: str
    variables: Mapping[str, str]
    backend: str = ""
    gateways: Sequence[str] = ()
    tenant_gateways: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """What is taken over from one document.

    title     as the document has it; empty for none
    spec      of the API document but its routes, which need its name
    path      base path of the backend, empty for none
    unmapped  what the catalog does not say
    """

    title: str
    version: str
    spec: Mapping[str, Any]
    path: str
    unmapped: tuple[Unmapped, ...]

    def document(self, tenant: str, name: str) -> dict[str, Any]:
        """Return the API document under a name."""
        spec = dict(self.spec)
        own = f"/apis/{tenant}/{name}"
        if self.path and self.path != own and _ROUTE.fullmatch(self.path):
            spec["routes"] = [{"path": own}, {"path": self.path}]
        order = ("displayName", "version", "description", "backend", "routes", "policies")
        ordered = {key: spec[key] for key in (*order, "gateways", "portal") if key in spec}
        return {
            "apiVersion": API_VERSION,
            "kind": "API",
            "metadata": {"name": name},
            "spec": escaped(ordered),
        }


def find_facts(document: Mapping[str, Any], origin: str, choices: Choices) -> ApiFacts:
    """Return what a catalog says of a document; `origin` is its URL, empty for a file."""
    remarks = Remarks()
    info = document.get("info")
    info = info if isinstance(info, Mapping) else {}
    title = " ".join(_text(info.get("title")).split())
    version = _version(info, remarks)
    spec: dict[str, Any] = {"version": version}
    if title:
        spec["displayName"] = title[:_LONGEST_NAME]
    description = _first_paragraph(_text(info.get("summary")) or _text(info.get("description")))
    if description:
        spec["description"] = description
    server = find_server(document, origin, choices.variables, remarks)
    if choices.backend:
        spec["backend"] = {"url": choices.backend}
    else:
        spec["backend"] = {"url": server.url} if server else {"alias": "echo"}
    policies = find_policies(document, remarks)
    if policies:
        spec["policies"] = policies
    if choices.gateways:
        spec["gateways"] = list(choices.gateways)
    tags = _tags(document, remarks)
    if tags:
        spec["portal"] = {"tags": tags}
    _note_the_rest(document, remarks)
    path = server.path if server else ""
    return ApiFacts(title, version, spec, path, tuple(remarks.found))


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _version(info: Mapping[str, Any], remarks: Remarks) -> str:
    version = info.get("version")
    if isinstance(version, str) and version.strip():
        text = version.strip()
        if len(text) > _LONGEST_VERSION:
            remarks.add("info", "version", text, f"cut off after {_LONGEST_VERSION} characters")
        return text[:_LONGEST_VERSION]
    if isinstance(version, (int, float)) and not isinstance(version, bool):
        effect = "a number, of which zeros at the end are lost; write it in quotes"
        remarks.add("info", "version", version, effect)
        return str(version)
    remarks.add("info", "version", "", "the document has none; 1 is written")
    return "1"


def _first_paragraph(text: str) -> str:
    paragraph = " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split())
    # Headings and tables of Markdown are no sentence about the API.
    paragraph = re.sub(r"^#+\s*", "", paragraph)
    if len(paragraph) <= _LONGEST_DESCRIPTION:
        return paragraph
    return paragraph[: _LONGEST_DESCRIPTION - 1].rsplit(" ", 1)[0] + "…"


def _tags(document: Mapping[str, Any], remarks: Remarks) -> list[str]:
    listed = document.get("tags")
    names = [
        str(tag["name"]).strip()
        for tag in (listed if isinstance(listed, list) else ())
        if isinstance(tag, Mapping) and isinstance(tag.get("name"), str) and tag["name"].strip()
    ]
    distinct = list(dict.fromkeys(names))
    if len(distinct) > _MOST_TAGS:
        more = f"{len(distinct) - _MOST_TAGS} more"
        remarks.add("tags", "", more, f"the first {_MOST_TAGS} are taken")
    return distinct[:_MOST_TAGS]


def _note_the_rest(document: Mapping[str, Any], remarks: Remarks) -> None:
    webhooks = document.get("webhooks")
    if isinstance(webhooks, Mapping) and webhooks:
        text = ", ".join(list(map(str, webhooks))[:5])
        remarks.add("webhooks", "", text, "a gateway forwards requests to the API alone")
    servers = [path for path, item in _own_servers(document)]
    if servers:
        value = ", ".join(servers[:3]) + (f" and {len(servers) - 3} more" if servers[3:] else "")
        effect = "these have servers of their own; requests go to the backend of the API"
        remarks.add("paths", "servers", value, effect)
    elsewhere = sorted(_references_elsewhere(document))
    for reference in elsewhere[:10]:
        effect = "leads to another document, which was not fetched"
        remarks.add("$ref", "", reference, effect)
    if len(elsewhere) > 10:
        remarks.add("$ref", "", f"{len(elsewhere) - 10} more", "not fetched either")


def _own_servers(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, Mapping) else ():
        for key, value in item.items() if isinstance(item, Mapping) else ():
            if key == "servers" and value:
                yield str(path), value
            elif isinstance(value, Mapping) and value.get("servers"):
                yield f"{str(key).upper()} {path}", value["servers"]


def _references_elsewhere(document: Mapping[str, Any]) -> set[str]:
    """Return the documents that references lead to, without their fragments."""
    found: set[str] = set()
    todo: list[Any] = [document]
    seen: set[int] = set()  # YAML aliases can make a document contain itself
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            reference = value.get("$ref")
            if isinstance(reference, str) and not reference.startswith("#"):
                found.add(reference.partition("#")[0][:200])
            todo.extend(item for item in value.values() if isinstance(item, (Mapping, list)))
        elif isinstance(value, list):
            todo.extend(item for item in value if isinstance(item, (Mapping, list)))
    return found
