"""What `POST /apis` and `PUT /apis/{id}` are sent: JSON or multipart."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.adapters.webmethods.double import documents
from tests.adapters.webmethods.double.answers import Refused, Tree, object_of
from tests.adapters.webmethods.double.documents import Document
from tests.adapters.webmethods.double.store import Behaviour

_NAME = re.compile(r"[A-Za-z0-9._-]+")
TYPES = ("swagger", "raml", "wsdl", "openapi")


@dataclass(frozen=True)
class Import:
    """One request; `document` None where a PUT leaves the definition as it is."""

    name: str
    version: str
    description: str | None
    document: Document
    scopes: list[Tree] | None
    maturity: str | None


async def read_import(
    request: web.Request, behaviour: Behaviour, reachable: dict[str, str], held: Tree | None
) -> Import:
    """Return what was sent. Raises Refused: 400, and 500 where the parser of documents crashes."""
    fields, content = await _fields(request, reachable)
    kind = fields.get("type")
    if kind not in TYPES or content is None:
        raise Refused(400, "Mandatory field type, file, url or apiDefinition is missing")
    name = fields.get("apiName") or (held or {}).get("apiName")
    if not isinstance(name, str) or not name:
        raise Refused(400, "Mandatory field apiName is missing")
    if not _NAME.fullmatch(name):
        raise Refused(400, f"Invalid apiName {name}")
    document = documents.read(kind, content, name, is_update=held is not None)
    if behaviour.crashes_on_response_refs and documents.has_response_refs(document.source):
        raise Refused(500, "java.lang.NullPointerException")
    version = fields.get("apiVersion") or (held or {}).get("apiVersion") or document.version
    scopes = fields.get("scopes")
    return Import(name, str(version), fields.get("apiDescription"), document,
                  scopes if isinstance(scopes, list) else None,
                  fields.get("maturityState"))  # fmt: skip


async def _fields(request: web.Request, reachable: dict[str, str]) -> tuple[Tree, Any]:
    if request.content_type.startswith("multipart/"):
        return await _parts(request)
    body = await object_of(request)
    if isinstance(body.get("apiDefinition"), dict):
        return body, body["apiDefinition"]
    if body.get("url"):
        if body["url"] not in reachable:
            raise Refused(400, f"{body.get('type')} url is not reachable")
        return body, reachable[body["url"]]
    return body, None


async def _parts(request: web.Request) -> tuple[Tree, Any]:
    fields: Tree = {}
    content: str | None = None
    async for part in await request.multipart():
        if getattr(part, "name", None) == "file":
            content = _text(await part.read(), fields.get("rootFileName"))  # type: ignore[union-attr]
        elif getattr(part, "name", None):
            fields[part.name] = await part.text()  # type: ignore[union-attr,index]
    return fields, content


def _text(raw: bytes, root: str | None) -> str:
    if raw.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if root not in archive.namelist():
                raise Refused(400, "rootFileName is not in the archive")
            raw = archive.read(root)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refused(400, "The file is not valid") from None
