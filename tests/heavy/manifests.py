"""The manifests under deploy/kubernetes, as files and as kustomize builds them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
BUILDS = ("base", "overlays/example")


def documents(text: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML text."""
    return [found for found in YAML(typ="safe").load_all(text) if found]


def base() -> list[dict[str, Any]]:
    """Return every manifest of the base, without its kustomization."""
    files = sorted((KUBERNETES / "base").glob("*.yaml"))
    return [
        item
        for file in files
        if file.name != "kustomization.yaml"
        for item in documents(file.read_text())
    ]


def of_kind(items: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Return the manifests of a kind by name."""
    return {item["metadata"]["name"]: item for item in items if item["kind"] == kind}


def go_install(package: str, folder: Path) -> None:
    """Install a Go command into a folder."""
    subprocess.run(
        ["go", "install", package],
        env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-modcacherw"},
        check=True,
        capture_output=True,
        timeout=600,
    )


def containers(items: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield (deployment, pod spec, container)."""
    for name, deployment in of_kind(items, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        for container in pod["containers"]:
            yield name, pod, container
