from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import stoa_gitops.adapters as adapters_package
from stoa_gitops.adapters.capabilities_page import render_page
from stoa_gitops.adapters.registry import (
    GatewayTypeUnsupported,
    all_infos,
    further_folder,
    gateway_types,
    info_for,
    unsupported,
)
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.model.gateway_types import GatewayTypeInfo
from stoa_gitops.model.instances import is_listed
from stoa_gitops.planning.capabilities import missing_capabilities
from stoa_gitops.planning.inputs import GatewayPlanInput
from tests.adapters.front import listening
from tests.adapters.template.double import TemplateDouble
from tests.unit.adapter_sdk.scripted import NOW
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


def test_the_types_of_public_adapters_are_types_that_a_catalog_can_name() -> None:
    public = [name for info in all_infos() if info.public for name in info.types]
    assert set(public) <= {info.name for info in gateway_types()}
    assert len(public) == len(set(public))


def test_types_that_no_adapter_serves_yet_can_be_named_and_private_ones_cannot() -> None:
    names = [info.name for info in gateway_types()]
    assert len(names) == len(set(names))
    assert {"gravitee", "webmethods", "apigee", "aws_apigateway"} <= set(names)
    assert not {"memory", "template"} & set(names)


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[None]:
    """Copy the template as the gateway type `acme`, below a folder that is searched too."""
    template = Path(str(adapters_package.__file__)).parent / "template"
    folder = tmp_path / "acme"
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in folder.glob("*.py"):
        text = module.read_text(encoding="utf-8").replace("adapters.template", "adapters.acme")
        text = text.replace('"template"', '"acme"').replace("public=False", "public=True")
        module.write_text(text, encoding="utf-8")
    (folder / "options_schema.json").write_text('{"type": "object"}', encoding="utf-8")
    init = folder / "__init__.py"
    text = init.read_text(encoding="utf-8").replace(
        "public=True,",
        "public=True, has_one_name_space=True, options_schema=read_options_schema(__file__),",
    )
    text = text.replace("import AdapterInfo,", "import read_options_schema, AdapterInfo,")
    init.write_text(text, encoding="utf-8")
    with further_folder(tmp_path):
        yield


def test_a_further_folder_is_a_gateway_type_with_all_that_the_catalog_must_know(acme: None) -> None:
    (info,) = [info for info in gateway_types() if info.name == "acme"]
    assert info == GatewayTypeInfo("acme", "Template gateway", {"type": "object"}, True)
    assert unsupported(connection(gateway_type="acme").instance, "hosts") is not None
    assert unsupported(connection(gateway_type="acme").instance, "api") is None


async def test_a_gateway_of_a_further_folder_is_driven_like_any_other(acme: None) -> None:
    runner, base_url = await listening(TemplateDouble().app())
    link = connection(base_url=base_url, gateway_type="acme")
    driver = Driver(info_for("acme"), link, clock=lambda: NOW)
    assert (await driver.health()).success
    assert driver.title == "acme 1.4"
    state = await driver.observe({})
    assert (state.is_complete, state.objects) == (True, ())
    await driver.aclose()
    await runner.cleanup()


def test_a_further_folder_is_gone_with_its_context(tmp_path: Path) -> None:
    (tmp_path / "moon").mkdir()
    (tmp_path / "moon" / "__init__.py").write_text(
        "from stoa_gitops.adapters.memory import ADAPTER", encoding="utf-8"
    )
    before = all_infos()
    with further_folder(tmp_path):
        assert len(all_infos()) == len(before) + 1
    assert all_infos() == before
    assert "stoa_gitops.adapters.moon" not in sys.modules


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
        ("api", True), ("policy:rate_limit", True), ("hosts", True), ("policy:jwt", True),
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
    instance = connection(capabilities=("rest", "credential:basic")).instance
    assert unsupported(instance, "hosts") is None
    assert "not among the capabilities" in str(unsupported(instance, "policy:cors"))
    assert unsupported(instance, "credential:basic") is not None


NAMES = sorted({name for info in all_infos() for name in info.capabilities})
WORDS = [(), ("rest",), ("rate_limiting",), ("rest", "rate_limiting"), ("oidc", "api"), ("mcp",)]


@pytest.mark.parametrize(("words", "name"), list(product(WORDS, NAMES)))
def test_the_document_narrows_for_validation_and_the_planner_alike(
    words: tuple[str, ...], name: str
) -> None:
    target = GatewayPlanInput("gw", "stoa", declared=frozenset(words))
    assert is_listed(words, name) is (missing_capabilities(target, (name,)) is None)


def test_the_page_of_capabilities_is_current() -> None:
    from pathlib import Path

    page = Path(__file__).parents[3] / "docs" / "capabilities.md"
    assert page.read_text(encoding="utf-8") == render_page(), (
        "run: python -m stoa_gitops.adapters.capabilities_page > docs/capabilities.md"
    )
