from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.catalog import Catalog

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"

SMALL = {
    "gateways/main.yaml": HEAD
    + "kind: GatewayInstance\nmetadata:\n  name: main\nspec:\n  gatewayType: stoa\n"
    "  environment: dev\n"
    "  baseUrl: http://gateway.example\n",
    "tenants/acme/tenant.yaml": HEAD + "kind: Tenant\nmetadata:\n  name: acme\n",
    "tenants/acme/apis/billing/api.yaml": HEAD
    + "kind: API\nmetadata:\n  name: billing\nspec:\n  version: '1'\n  backend:\n    url: https://billing.example\n",
}


@pytest.fixture
def catalog_example() -> Path:
    return Path(__file__).resolve().parents[3] / "catalog-example"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write files into a folder; a small catalog that is in order lies in it unless `bare`."""

    def write(
        files: Mapping[str, str | bytes] | None = None, *, bare: bool = False, to: str = "catalog"
    ) -> Path:
        root = tmp_path / to
        for path, text in {**({} if bare else SMALL), **(files or {})}.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    return write


@pytest.fixture
def read(write: Callable[..., Path]) -> Callable[..., Catalog]:
    """Read a catalog of files: what `write` takes in, a Catalog out."""

    def read(files: Mapping[str, str | bytes] | None = None, *, bare: bool = False) -> Catalog:
        return Reader(gateway_types=gateway_types()).read(
            FolderSource(write(files, bare=bare)).snapshot()
        )

    return read


@pytest.fixture
def document() -> Callable[..., str]:
    """Return the text of a document: kind, name, and the lines of its spec."""

    def document(kind: str, name: str, spec: str = "") -> str:
        text = f"{HEAD}kind: {kind}\nmetadata:\n  name: {name}\n"
        if spec:
            text += "spec:\n" + "".join(f"  {line}\n" for line in spec.strip("\n").split("\n"))
        return text

    return document


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Run git in a folder, with an identity and without anybody's configuration."""

    def git(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            [
                "git",
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "-c",
                "protocol.file.allow=always",
                "-C",
                str(folder),
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
            env={
                "PATH": "/usr/bin:/bin:/usr/local/bin",
                "HOME": str(tmp_path),
                "GIT_CONFIG_NOSYSTEM": "1",
            },
        )
        return done.stdout.strip()

    return git


@pytest.fixture
def repository(write: Callable[..., Path], git: Callable[..., str]) -> Path:
    """A repository with the small catalog in one commit on main."""
    root = write()
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root
