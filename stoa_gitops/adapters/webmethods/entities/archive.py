"""An archive: a manifest of assets, and an entry for each, below what it belongs to. Pure.

The layout is that of the product's own exports (contract webmethods.md A.10). Secrets are revealed
in the bytes alone. No `PassmanData` is ever written: that is the gateway's own.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret

MANIFEST: Final = "APIGatewayAssets.acdl"
API: Final = "API"
POLICY: Final = "Policy"
ACTION: Final = "PolicyAction"
ALIAS: Final = "Alias"
APPLICATION: Final = "Application"

OVERWRITE: Final[Mapping[str, str]] = {
    API: "apis", POLICY: "policies", ACTION: "policyactions", ALIAS: "aliases",
    APPLICATION: "applications",
}  # fmt: skip
"""Kind of asset -> its word in `overwrite`. Another case is ignored without a word."""

_NAMESPACE: Final = "http://namespaces.softwareag.com/acdl/1.0"
_TARGET: Final = "http://namespaces.softwareag.com/webMethods/APIGateway"
# The first that a zip can say: the same assets are the same bytes.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset.

    needs   `<kind>.<id>` of assets that it needs
    parent  folder that it lies in, with a slash at its end; empty at the top
    is_new  no such asset was on the gateway
    """

    kind: str
    id: str
    name: str
    content: JsonTree
    needs: tuple[str, ...] = ()
    parent: str = ""
    is_new: bool = False

    @property
    def key(self) -> str:
        """`<kind>.<id>`."""
        return f"{self.kind}.{self.id}"

    @property
    def path(self) -> str:
        """The entry; APIs and policies have a folder of their own."""
        own = f"{self.key}/{self.key}" if self.kind in (API, POLICY) else self.key
        return f"{self.parent}{self.kind}/{own}"

    @property
    def folder(self) -> str:
        """The folder of what belongs to it."""
        return f"{self.parent}{self.kind}/{self.key}/"


def write_archive(assets: Sequence[Asset]) -> tuple[bytes, list[Secret]]:
    """Return the bytes of an archive, and the secrets in it."""
    secrets: list[Secret] = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in _entries(assets, secrets):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return buffer.getvalue(), secrets


def _entries(assets: Sequence[Asset], secrets: list[Secret]) -> Iterator[tuple[str, str]]:
    yield MANIFEST, "\n".join(_manifest(assets))
    for one in assets:
        yield one.path, json.dumps(reveal(one.content, secrets), indent=2)


def _manifest(assets: Iterable[Asset]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    yield (
        '<asset_composite name="APIGatewayAssets" displayName="Assets for API Gateway" '
        f'targetNamespace="{_TARGET}" xmlns="{_NAMESPACE}">'
    )
    for one in assets:
        shown = escape("".join(letter for letter in one.name if letter.isprintable()))
        yield f'  <asset name="{one.key}" displayName="{shown}" isDeployable="true">'
        yield f'    <implementation.generic type="{one.kind}"/>'
        yield from (f"    <dependsOn>APIGateway:{need}</dependsOn>" for need in one.needs)
        yield "  </asset>"
    yield "</asset_composite>"


def overwrite_words(assets: Iterable[Asset]) -> str:
    """Return `overwrite` for what is on the gateway already; never `*`, which takes all."""
    held = {one.kind for one in assets if not one.is_new}
    return ",".join(word for kind, word in OVERWRITE.items() if kind in held)


def read_archive(raw: bytes) -> dict[str, JsonTree]:
    """Return the assets of an exported archive by `<kind>.<id>`. Raises GatewayMalformed."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            found = {}
            for name in archive.namelist():
                key = name.rpartition("/")[2]
                if "/" in name and key.partition(".")[0] in OVERWRITE:
                    found[key] = json.loads(archive.read(name))
    # RuntimeError: an entry that is encrypted.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, RuntimeError):
        raise GatewayMalformed("the export of what is there is no whole archive") from None
    return {key: tree for key, tree in found.items() if isinstance(tree, dict)}


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of one asset; a message for people where it was not taken."""

    is_taken: bool
    message: str = ""


def read_results(found: Mapping[str, Any]) -> dict[str, ImportResult]:
    """Return the results of an import by `<kind>.<id>`.

    201 does not mean success: each element says what became of its asset. Raises GatewayMalformed.
    """
    listed = next((v for n, v in found.items() if n.lower() == "archiveresult"), None)
    if not isinstance(listed, list):
        raise GatewayMalformed("the answer to an import has no ArchiveResult: check baseUrl")
    results = {}
    for element in listed:
        for kind, one in element.items() if isinstance(element, dict) else ():
            if isinstance(one, Mapping):
                results[f"{kind}.{one.get('id')}"] = _result(kind, one)
    return results


def _result(kind: str, one: Mapping[str, Any]) -> ImportResult:
    if str(one.get("status")).lower() == "success":
        return ImportResult(True)
    why = str(one.get("explanation") or "without a reason").strip()
    return ImportResult(False, f"{kind} {one.get('name')}: {why}")
