"""Calls of the administration API whose bodies are files: documents and archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.multipart import one_file
from stoa_gitops.adapters.webmethods.api.answers import parsed, refuse_failed
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.model.secret import Secret

_WRITTEN: Final = (200, 201)


class FileCalls:
    """Calls one gateway; every method raises GatewayError and nothing else."""

    def __init__(self, http: AdminClient, base: str) -> None:
        self.http, self._base = http, base

    async def download(
        self, path: str, what: str, target: BinaryIO, signature: bytes, most: int
    ) -> int:
        """Write a file of the gateway to `target`; returns its bytes."""
        # JSON, too: an error in another form is a page.
        accept = {"Accept": "application/zip, application/json"}
        return await self.http.download(
            f"{self._base}{path}", what, target, signature=signature, most=most, headers=accept
        )

    async def import_file(
        self, method: str, path: str, what: str, fields: Mapping[str, str], content: bytes
    ) -> JsonTree:
        """Import a document as it is. Raises RequestRefused for a refusal inside a 200."""
        body, content_type = one_file("file", "document", content, fields)
        response = await self.http.upload(
            method, f"{self._base}{path}", what, body, content_type, expect=_WRITTEN
        )
        found: JsonTree = await parsed(response, what)
        refuse_failed(found, what)
        return found

    async def export_apis(self, ids: Sequence[str]) -> bytes:
        """Return an archive of some APIs with their policies."""
        # By a filter in the body: ids of many APIs are longer than a URL may be.
        scope = [{"attributeName": "id", "keyword": "|".join(ids)}]
        body: JsonTree = {"types": ["api"], "scope": scope, "condition": "or"}
        response = await self.http.request(
            "POST", f"{self._base}/archive", "the export of APIs", body=body,
            headers={
                "x-HTTP-Method-Override": "GET",
                "Accept": "application/zip, application/json",
            },
        )  # fmt: skip
        return response.body

    async def import_archive(
        self, archive: bytes, overwrite: str, secrets: Sequence[Secret]
    ) -> JsonTree:
        """Import an archive once; returns the answer, which says what became of each asset."""
        query = f"?overwrite={overwrite}&preserveAssetState=true" if overwrite else (
            "?preserveAssetState=true")  # fmt: skip
        what = "the import of the archive"
        content, content_type = one_file("zipFile", "archive.zip", archive)
        response = await self.http.upload(
            "POST", f"{self._base}/archive{query}", what, content, content_type,
            secrets=secrets, expect=(200, 201),
        )  # fmt: skip
        found: JsonTree = await parsed(response, what)
        return found
