"""kubeconform over what kustomize builds, strict and offline, with the schemas of a package from
PyPI.

kubeconform's own schemas come from the network at each run. Those of `kubernetes-validate` are
generated from the same OpenAPI documents; their references lead to one file of definitions, which
is put into each schema here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.heavy import manifests

# One group: each worker would compile the tools for itself.
pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("kubeconform")]

VERSIONS = ("1.29.0", "1.37.0")
SCHEMAS = "kubernetes-validate==1.37.0"
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.6.7"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.5.0"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kubeconform, kustomize and one folder of schemas for each version."""
    folder = tmp_path_factory.mktemp("tools")
    manifests.go_install(KUBECONFORM, folder)
    manifests.go_install(KUSTOMIZE, folder)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            folder / "pypi",
            SCHEMAS,
        ],
        check=True,
        timeout=600,
    )
    return folder


def write_schemas(tools: Path, version: str, items: list[dict[str, object]]) -> str:
    """Write a whole schema for each kind that occurs; return kubeconform's template of
    their place.
    """
    source = tools / "pypi/kubernetes_validate/kubernetes-json-schema" / f"v{version}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    target = tools / f"v{version}"
    target.mkdir(exist_ok=True)
    for item in items:
        group, _, api = str(item["apiVersion"]).rpartition("/")
        parts = [str(item["kind"]).lower(), *([group.partition(".")[0]] if group else []), api]
        schema = json.loads((source / f"{'-'.join(parts)}.json").read_text())
        schema |= {"definitions": definitions, "$schema": "http://json-schema.org/draft-07/schema#"}
        text = json.dumps(schema).replace('"/api/_definitions.json#/$defs/', '"#/definitions/')
        text = text.replace('"#/$defs/', '"#/definitions/')
        (target / f"{'-'.join(parts)}.json").write_text(text)
    name = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
    return f"{tools}/{{{{ .NormalizedKubernetesVersion }}}}/{name}"


def built(tools: Path, name: str) -> str:
    done = subprocess.run(
        [tools / "kustomize", "build", manifests.KUBERNETES / name],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stderr == ""
    return done.stdout


def count_statuses(tools: Path, version: str, text: str) -> dict[str, int]:
    schemas = write_schemas(tools, version, manifests.documents(text))
    done = subprocess.run(
        [
            tools / "kubeconform",
            "-strict",
            "-summary",
            "-output",
            "json",
            "-kubernetes-version",
            version,
            "-schema-location",
            schemas,
            "-",
        ],
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
        # no schema may come from elsewhere
        env={"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
    )
    found = json.loads(done.stdout)
    assert (done.returncode == 0) == (not found["summary"]["invalid"] + found["summary"]["errors"])
    return {**found["summary"], "messages": [r["msg"] for r in found["resources"] or ()]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", manifests.BUILDS)
def test_what_kustomize_builds_is_valid(tools: Path, version: str, name: str) -> None:
    text = built(tools, name)
    found = count_statuses(tools, version, text)
    assert found["messages"] == []
    assert found["valid"] == len(manifests.documents(text)) >= 13
    assert found["skipped"] == 0


def test_a_misspelt_field_would_be_found(tools: Path) -> None:
    text = built(tools, "base").replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
    found = count_statuses(tools, VERSIONS[0], text)
    assert found["invalid"] == 2
    assert all("readOnlyRootFileSystem" in message for message in found["messages"])


def test_the_overlay_changes_what_it_names(tools: Path) -> None:
    items = manifests.documents(built(tools, "overlays/example"))
    assert {item["metadata"]["namespace"] for item in items if item["kind"] != "Namespace"} == {
        "stoa-system"
    }
    images = {name: container["image"] for name, _, container in manifests.containers(items)}
    assert images == {
        "control-plane-api": "registry.example.com/stoa/stoa-gitops:0.1.0",
        "stoa-gateway": "registry.example.com/stoa/stoa-gateway:0.1.0",
    }
    config = manifests.of_kind(items, "ConfigMap")["control-plane-api"]["data"]
    assert config["STOA_GITOPS_REVISION"] == "main"
    env = {
        item["name"]: item.get("value")
        for name, _, container in manifests.containers(items)
        if name == "stoa-gateway"
        for item in container["env"]
    }
    assert env["STOA_ENVIRONMENT"] == "prod"
    assert "STOA_ADMIN_API_TOKEN" in env
