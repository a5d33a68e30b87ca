from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest

from stoa_gitops.adapters.capabilities_page import document
from stoa_gitops.adapters.registry import (
    GatewayTypeUnsupported,
    all_infos,
    info_for,
    unsupported,
)
from stoa_gitops.model.instances import GATEWAY_TYPES, is_listed
from stoa_gitops.planning.capabilities import missing_capabilities
from stoa_gitops.planning.inputs import GatewayPlanInput
from tests.unit.adapter_sdk.serving import connection

STOA = ("stoa", "stoa_edge_mcp", "stoa_sidecar", "stoa_proxy", "stoa_shadow")


@pytest.mark.parametrize("gateway_type", [*STOA, "memory", "template"])
def test_each_type_is_served_by_its_folder(gateway_type: str) -> None:
    assert gateway_type in info_for(gateway_type).types


@pytest.mark.parametrize("gateway_type", ["nope", "stoa_moon", "", "contract"])
def test_an_unknown_type_names_those_that_exist(gateway_type: str) -> None:
    with pytest.raises(GatewayTypeUnsupported) as caught:
        info_for(gateway_type)
    assert all(name in str(caught.value) for name in STOA)
    assert "memory" not in str(caught.value)


def test_what_a_catalog_can_name_are_gateway_types_of_the_catalog() -> None:
    public = [name for info in all_infos() if info.public for name in info.types]
    assert set(public) <= set(GATEWAY_TYPES)
    assert len(public) == len(set(public))


def loaded_after(code: str) -> set[str]:
    code += "; import sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_asking_for_one_type_imports_no_other_and_no_client() -> None:
    loaded = loaded_after(
        "from stoa_gitops.adapters.registry import info_for; info_for('stoa_sidecar')"
    )
    assert "stoa_gitops.adapters.stoa" in loaded
    assert not {"stoa_gitops.adapters.memory", "stoa_gitops.adapters.template"} & loaded
    assert not {"httpx", "stoa_gitops.adapters.stoa.adapter"} & loaded


def test_the_declarations_of_all_need_no_client() -> None:
    loaded = loaded_after("from stoa_gitops.adapters.registry import all_infos; all_infos()")
    assert "httpx" not in loaded


@pytest.mark.parametrize(
    ("capability", "is_supported"),
    [
        ("api", True), ("policy:rate_limit", True), ("hosts", True), ("policy:jwt", False),
        ("credential:basic", False), ("alias", False), ("policy:no_such", False),
    ],
)  # fmt: skip
def test_what_depends_on_the_running_gateway_is_not_refused_beforehand(
    capability: str, is_supported: bool
) -> None:
    reason = unsupported(connection().instance, capability)
    assert (reason is None) is is_supported
    assert reason is None or len(reason) > 10


def test_a_type_without_an_adapter_supports_nothing_and_says_so() -> None:
    reason = unsupported(connection(gateway_type="no_such_type").instance, "api")
    assert reason is not None
    assert "no adapter for gateway type 'no_such_type'" in reason


def test_the_document_narrows_and_never_widens() -> None:
    instance = connection(capabilities=("rest", "policy:jwt")).instance
    assert unsupported(instance, "hosts") is None
    assert "not among the capabilities" in str(unsupported(instance, "policy:cors"))
    assert unsupported(instance, "policy:jwt") is not None


NAMES = sorted({name for info in all_infos() for name in info.capabilities})
WORDS = [(), ("rest",), ("rate_limiting",), ("rest", "rate_limiting"), ("oidc", "api"), ("mcp",)]


@pytest.mark.parametrize(("words", "name"), list(product(WORDS, NAMES)))
def test_narrowing_here_and_in_the_planner_is_one(words: tuple[str, ...], name: str) -> None:
    target = GatewayPlanInput("gw", "stoa", declared=frozenset(words))
    assert is_listed(words, name) is (missing_capabilities(target, (name,)) is None)


def test_the_page_of_capabilities_is_current() -> None:
    from pathlib import Path

    page = Path(__file__).parents[3] / "docs" / "capabilities.md"
    assert page.read_text(encoding="utf-8") == document(), (
        "run: python -m stoa_gitops.adapters.capabilities_page > docs/capabilities.md"
    )
