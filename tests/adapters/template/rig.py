"""Rig of the template adapter: copy me with the double."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.template.adapter import TemplateAdapter
from stoa_gitops.adapters.template.client import TemplateClient
from tests.adapters.front import listening
from tests.adapters.template.double import TemplateDouble
from tests.contract.rig import Rig, RigBuilders, fronted


def build_template(link: Connection, http: AdminClient) -> GatewayAdapter:
    return TemplateAdapter(link.owner, TemplateClient(http))


@asynccontextmanager
async def template_rig() -> AsyncIterator[Rig]:
    double = TemplateDouble()
    runner, base_url = await listening(double.app())

    async def add_foreign() -> None:
        double.things["services"]["theirs"] = {
            "id": "theirs", "title": "Feed", "enabled": True, "target": "https://f.example",
            "prefixes": [],
        }  # fmt: skip

    async def foreign_bytes() -> bytes:
        return json.dumps(double.things["services"]["theirs"]).encode()

    async with fronted(
        "template", "template", base_url, build_template, add_foreign, foreign_bytes
    ) as rig:
        yield rig
    await runner.cleanup()


RIGS: RigBuilders = {"double": template_rig}
