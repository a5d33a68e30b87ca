"""Exports an archive of everything that a gateway holds, as a file.

An answer is a file only if it says so in its first bytes: refusals come as JSON or as a page, and
with a good status as well (contract webmethods.md A.10).
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import zipfile
from typing import BinaryIO, Final

from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.canonical import JsonObject

SUFFIX: Final = ".zip"
MANIFEST: Final = "APIGatewayAssets.acdl"
SECRETS: Final = "PassmanData"
"""Entry with the secrets of aliases, encrypted by the gateway's master password."""

_EVERYTHING: Final = (
    "apis=*&policies=*&aliases=*&applications=*&gatewayScopes=*&configurations=*"
    "&include-applications=true"
)
_SIGNATURE: Final = b"PK\x03\x04"
"""Local file header of a zip (APPNOTE.TXT 4.3.7)."""

_PIECE: Final = 1 << 20

_MOST: Final = 2 << 30
"""Bytes of an archive: 10,000 APIs with their documents have some 500 MB."""


async def export_everything(
    client: WebMethodsClient, target: BinaryIO | None
) -> tuple[JsonObject, tuple[str, ...]]:
    """Write the archive to `target`; returns what is known of it, and warnings.

    Raises GatewayError, and GatewayMalformed for an archive that is not whole.
    """
    if target is None:
        # Nobody wants the file: whether it can be had is what is asked.
        with tempfile.TemporaryFile() as unnamed:
            return await _export(client, unnamed)
    return await _export(client, target)


async def _export(client: WebMethodsClient, target: BinaryIO) -> tuple[JsonObject, tuple[str, ...]]:
    what = "the export of the archive"
    size = await client.files.download(f"/archive?{_EVERYTHING}", what, target, _SIGNATURE, _MOST)
    entries, digest = await asyncio.to_thread(_read_back, target)
    if MANIFEST not in entries:
        raise GatewayMalformed(f"{what}: it has no {MANIFEST}, so that nothing can be imported")
    warnings = ["the archive holds the keys of applications in clear: keep it as you keep secrets"]
    if SECRETS in entries:
        warnings.append(
            f"{SECRETS} in it holds secrets of aliases, encrypted by the gateway's master password:"
            " only a gateway with the same one reads them; take it out before the archive is kept "
            "with sources"
        )
    about: JsonObject = {
        "file": "application/zip",
        "bytes": size,
        "sha256": digest,
        "entries": len(entries),
    }
    return about, tuple(warnings)


def _read_back(target: BinaryIO) -> tuple[frozenset[str], str]:
    """Return the entries and the SHA-256 of a written archive; raises GatewayMalformed."""
    target.flush()
    target.seek(0)
    digest = hashlib.sha256()
    while piece := target.read(_PIECE):
        digest.update(piece)
    try:
        # The list of entries is at the end: an archive that was cut off has none.
        with zipfile.ZipFile(target) as archive:
            entries = frozenset(archive.namelist())
    except zipfile.BadZipFile:
        raise GatewayMalformed("the archive was cut off: export it again") from None
    target.seek(0, 2)
    return entries, digest.hexdigest()
