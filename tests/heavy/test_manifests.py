"""What the manifests promise: the documented names, and pods that may do no more than they must."""

from __future__ import annotations

from typing import Any

import pytest

from tests.heavy import dockerfile, manifests

ITEMS = manifests.base()
CONTAINERS = list(manifests.containers(ITEMS))
STAGES = dockerfile.read(manifests.ROOT / "Dockerfile")
IMAGES = {"control-plane-api": "reconciler", "stoa-gateway": "gateway"}


def secrets_of(container: dict[str, Any]) -> dict[str, tuple[str, str, bool]]:
    """Return the variables that come from secrets: name to (secret, key, whether it may be
    missing).
    """
    refs = {
        item["name"]: item["valueFrom"]["secretKeyRef"]
        for item in container["env"]
        if "valueFrom" in item
    }
    return {name: (r["name"], r["key"], r.get("optional", False)) for name, r in refs.items()}


def test_names_are_those_of_the_documentation() -> None:
    (kustomization,) = manifests.documents(
        (manifests.KUBERNETES / "base" / "kustomization.yaml").read_text()
    )
    assert kustomization["namespace"] == "stoa-system"
    assert set(manifests.of_kind(ITEMS, "Namespace")) == {"stoa-system"}
    assert set(manifests.of_kind(ITEMS, "Deployment")) == {"control-plane-api", "stoa-gateway"}
    assert set(manifests.of_kind(ITEMS, "Service")) == {
        "control-plane-api", "control-plane-api-public", "stoa-gateway",
    }  # fmt: skip


def test_gateways_reach_control_always_and_an_ingress_only_what_is_public() -> None:
    services = manifests.of_kind(ITEMS, "Service")
    assert services["control-plane-api"]["spec"]["publishNotReadyAddresses"] is True
    (public,) = services["control-plane-api-public"]["spec"]["ports"]
    assert public["targetPort"] == "public"
    (config,) = [m["data"] for m in manifests.of_kind(ITEMS, "ConfigMap").values()]
    assert config["STOA_GITOPS_PUBLIC_LISTEN"] == "0.0.0.0:8001"
    policy = manifests.of_kind(ITEMS, "NetworkPolicy")["control-plane-api"]
    reached = {
        port["port"]
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
        if "namespaceSelector" in peer
        for port in rule["ports"]
    }
    assert reached == {"public"}


def test_secrets_are_those_of_the_documentation() -> None:
    found = {name: secrets_of(container) for name, _, container in CONTAINERS}
    _, pod, container = next(c for c in CONTAINERS if c[0] == "control-plane-api")
    variables = {item["name"]: item.get("value") for item in container["env"]}
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
    folder, _, key = str(variables["GATEWAY_API_KEYS_FILE"]).rpartition("/")
    assert key == "GATEWAY_API_KEYS"
    keys = volumes[mounts[folder]]
    assert (keys["secretName"], keys["optional"]) == ("stoa-gateway-api-keys", True)
    assert found["stoa-gateway"]["STOA_CONTROL_PLANE_API_KEY"] == (
        "stoa-gateway-secrets", "control-plane-api-key", True,
    )  # fmt: skip
    # without a token the admin API is off, and a gateway nobody can configure is of no use
    assert found["stoa-gateway"]["STOA_ADMIN_API_TOKEN"] == (
        "stoa-gateway-secrets", "admin-api-token", False,
    )  # fmt: skip


def test_no_manifest_holds_a_secret() -> None:
    assert manifests.of_kind(ITEMS, "Secret") == {}


@pytest.mark.parametrize(("name", "pod", "container"), CONTAINERS, ids=[c[0] for c in CONTAINERS])
def test_a_pod_fits_the_restricted_standard(
    name: str, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    user, group = STAGES[IMAGES[name]].last("USER").text.split(":")  # type: ignore[union-attr]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (
        int(user), int(group),
    )  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    account = manifests.of_kind(ITEMS, "ServiceAccount")[pod["serviceAccountName"]]
    assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("name", "pod", "container"), CONTAINERS, ids=[c[0] for c in CONTAINERS])
def test_a_pod_is_probed_bounded_and_has_time_to_drain(
    name: str, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (
        ("startupProbe", "/health"),
        ("livenessProbe", "/health"),
        ("readinessProbe", "/ready"),
    ):
        get = container[probe]["httpGet"]
        assert (get["path"], ports[get["port"]]) == (
            path,
            8000 if name == "control-plane-api" else 8080,
        )
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    exposed = {int(p) for item in STAGES[IMAGES[name]].all("EXPOSE") for p in item.text.split()}
    assert set(ports.values()) == exposed
    # draining takes up to 10 s for cycles and 5 s for requests in flight
    assert pod["terminationGracePeriodSeconds"] > 20


def test_the_state_is_on_a_volume_for_one_process_at_a_time() -> None:
    deployment = manifests.of_kind(ITEMS, "Deployment")["control-plane-api"]
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"]
        for v in pod["volumes"]
        if "persistentVolumeClaim" in v
    }
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert {mounts[name] for name in claims} == {
        STAGES["reconciler"].environment["STOA_GITOPS_STATE"]
    }
    assert set(claims.values()) == set(manifests.of_kind(ITEMS, "PersistentVolumeClaim"))


def test_all_that_can_be_written_is_a_volume() -> None:
    _, pod, container = CONTAINERS[0]
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert {"/var/lib/stoa-gitops", "/tmp"} <= mounts.keys()
    secret = {v["name"] for v in pod["volumes"] if "secret" in v}
    assert all(m.get("readOnly") for m in mounts.values() if m["name"] in secret)


def test_traffic_is_denied_unless_it_is_named() -> None:
    policies = manifests.of_kind(ITEMS, "NetworkPolicy")
    deny = policies["stoa-gitops-default-deny"]["spec"]
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in deny
    assert "egress" not in deny
    for policy in policies.values():
        for rule in policy["spec"].get("ingress", ()):
            assert rule["from"], policy
        for rule in policy["spec"].get("egress", ()):
            blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
            assert all("169.254.0.0/16" in block["except"] for block in blocks)
            assert rule["ports"], policy


def test_every_policy_and_service_selects_a_pod() -> None:
    labels = {
        name: item["spec"]["template"]["metadata"]["labels"]
        | {"app.kubernetes.io/part-of": "stoa-gitops"}
        for name, item in manifests.of_kind(ITEMS, "Deployment").items()
    }
    selectors = [
        p["spec"]["podSelector"]["matchLabels"]
        for p in manifests.of_kind(ITEMS, "NetworkPolicy").values()
    ]
    selectors += [s["spec"]["selector"] for s in manifests.of_kind(ITEMS, "Service").values()]
    for selector in selectors:
        assert any(selector.items() <= found.items() for found in labels.values()), selector


def test_variables_of_the_reconciler_are_flags_that_it_has() -> None:
    from stoa_gitops.cli.parser import build

    (config,) = [m["data"] for m in manifests.of_kind(ITEMS, "ConfigMap").values()]
    environment = {**STAGES["reconciler"].environment, **config}
    found = vars(build(environment).parse_args(["run"]))
    for name, value in environment.items():
        if name.startswith("STOA_GITOPS_"):
            assert found[name.removeprefix("STOA_GITOPS_").lower()] == value
