"""The archive as a file: a manifest, one entry per asset below its parents, encrypted secrets."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from tests.adapters.webmethods.double.answers import Refused, Tree

MANIFEST, REPORT, SECRETS = "APIGatewayAssets.acdl", "ExportReport.json", "PassmanData"
_ACDL = "http://namespaces.softwareag.com/acdl/1.0"
_KEY = 0x5A  # stands for the master password


@dataclass
class Asset:
    """One asset; `parents` are the folders that it lies in, such as `API/API.<id>`."""

    kind: str
    id: str
    name: str
    content: Tree
    needs: list[str] = field(default_factory=list)
    parents: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}.{self.id}"

    @property
    def path(self) -> str:
        # An API and a policy have a folder of their own, for what belongs to them.
        own = f"{self.key}/{self.key}" if self.kind in ("API", "Policy") else self.key
        return f"{self.parents}{self.kind}/{own}"


def write(assets: list[Asset], secrets: Tree, stamp: str, runtime: str) -> bytes:
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
        f'<asset_composite name="APIGatewayAssets" runtimeVersion="{runtime}" xmlns="{_ACDL}">',
        f'  <buildInfo name="BuildTimestamp" value="{stamp}"/>',
    ]
    report = []
    for one in assets:
        lines.append(f'  <asset name="{one.key}" displayName={quoteattr(one.name)} '
                     'isDeployable="true">')  # fmt: skip
        lines.append(f'    <implementation.generic type="{one.kind}"/>')
        lines += [f"    <dependsOn>APIGateway:{need}</dependsOn>" for need in one.needs]
        lines.append("  </asset>")
        about = {"name": one.name, "id": one.id, "status": "Success", "explanation": "OK"}
        report.append({"assetType": one.kind, "assetObject": about})
    lines.append("</asset_composite>")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, "\n".join(lines))
        for one in assets:
            archive.writestr(one.path, json.dumps(one.content, indent=2))
        archive.writestr(REPORT, json.dumps(report))
        if secrets:
            archive.writestr(SECRETS, _turned(zlib.compress(json.dumps(secrets).encode())))
    return buffer.getvalue()


def read(raw: bytes) -> tuple[list[Asset], Tree]:
    """Return the assets that the manifest names, and the secrets. Raises Refused (400)."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error):
        raise Refused(400, "The archive is invalid") from None
    try:
        manifest = ET.fromstring(entries[MANIFEST])
    except (KeyError, ET.ParseError):
        raise Refused(400, f"The archive is invalid: {MANIFEST}") from None
    by_key = {name.rpartition("/")[2]: name for name in entries}
    assets = []
    for node in manifest.iterfind(f"{{{_ACDL}}}asset"):
        kind, _, key = node.get("name", "").partition(".")
        path = by_key.get(f"{kind}.{key}")
        try:
            content = json.loads(entries[path]) if path else {}
        except ValueError:
            content = {}
        needs = [(one.text or "").removeprefix("APIGateway:") for one in
                 node.iterfind(f"{{{_ACDL}}}dependsOn")]  # fmt: skip
        assets.append(Asset(kind, key, node.get("displayName", ""), content, needs))
    secrets = json.loads(zlib.decompress(_turned(entries[SECRETS]))) if SECRETS in entries else {}
    return assets, secrets


def _turned(raw: bytes) -> bytes:
    return bytes(byte ^ _KEY for byte in raw)
