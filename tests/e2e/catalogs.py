"""Small catalogs on disk, upstreams to point them at, and git for them."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

GATEWAY = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: local}
spec:
  gatewayType: stoa
  environment: dev
  baseUrl: embedded
  interval: 10m
  backends: {allow: [127.0.0.0/8]}
"""
TENANT = """\
apiVersion: gostoa.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, gateways: [local]}
"""
MAY_BE_EMPTY = TENANT.replace(
    "{name: acme}", '{name: acme, annotations: {gostoa.dev/allow-empty: "true"}}'
)
"""A tenant of which the last object may go without force."""


def api(name: str, backend: str, more: str = "") -> str:
    return (
        "apiVersion: gostoa.dev/v1alpha1\n"
        "kind: API\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        '  version: "1"\n'
        f"  backend: {{url: {backend}}}\n{more}"
    )


class CatalogFolder:
    """A catalog in a folder, with one embedded gateway and one tenant."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("gateways/local.yaml", GATEWAY)
        self.write("tenants/acme/tenant.yaml", TENANT)

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def api(self, name: str, backend: str, more: str = "") -> Path:
        return self.write(f"tenants/acme/apis/{name}/api.yaml", api(name, backend, more))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        if not (self.root / ".git").exists():
            self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


@asynccontextmanager
async def upstream(answer: str) -> AsyncIterator[str]:
    """Serve one text on every path; yields the base URL."""

    async def respond(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", respond)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
