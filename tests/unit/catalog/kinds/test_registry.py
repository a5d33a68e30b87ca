"""Every list of kinds follows from the modules in `catalog/kinds`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog import kind_names, kinds
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.kinds import document_kinds, kind_set
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.resolution import environment
from stoa_gitops.catalog.sources.base import ROOTS
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.keys import Key

FOLDER = Path(kinds.__file__).parent
CORE = {"API", "Tenant", "Policy"}
"""Kinds in tenants' folders that depend on each other; the resolver knows them by name."""

WIDGET = """
from dataclasses import dataclass

from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.evaluation.context import required
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.resources import PlanHints, Resource
from pathlib import Path


@dataclass(frozen=True)
class WidgetDefinition:
    key: Key
    source: object
    api: Key
    colour: str
    required_capabilities: tuple = (required("widget"),)


def parse(value, context):
    spec = value["spec"]
    return WidgetDefinition(
        context.key, context.source, Key(API, context.key.tenant, spec["api"]), spec["colour"]
    )


def resolve(definition, resolver):
    if resolver.has_api(definition.api):
        return definition
    name = definition.api.name
    hint = resolver.suggest(name, "API", definition.api.tenant, "API of this tenant")
    resolver.report_error("ref.api", f"there is no API {name}", ("spec", "api"), hint)
    return None


def resources(definition, apis):
    spec = Spec(to_bytes({"api": definition.api.name, "colour": definition.colour}))
    yield Resource(definition.key, spec, definition.source, PlanHints(depends_on=(definition.api,)))


KIND = DocumentKind(
    name="Widget",
    home="tenants/<tenant>/widgets/<name>.yaml",
    schema_file=Path(__file__).with_name("widget.json"),
    parse=parse,
    apis_of=lambda definition: (definition.api,),
    resolve=resolve,
    resources=resources,
)
"""
SCHEMA = """{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Widget", "description": "A widget of one API.",
  "x-place": "tenants/<tenant>/widgets/<name>.yaml",
  "type": "object",
  "properties": {
    "apiVersion": {"const": "gostoa.dev/v1alpha1"},
    "kind": {"const": "Widget"},
    "metadata": {"$ref": "common.json#/$defs/metadata"},
    "spec": {
      "type": "object",
      "properties": {
        "api": {"$ref": "common.json#/$defs/name"},
        "colour": {"enum": ["red", "green"], "default": "red"}
      },
      "additionalProperties": false,
      "required": ["api"]
    }
  },
  "additionalProperties": false,
  "required": ["apiVersion", "kind", "metadata", "spec"]
}"""


def clear_caches() -> None:
    document_kinds.cache_clear()
    kind_set.cache_clear()


@pytest.fixture
def widgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A further kind: one module and one schema in a folder of their own."""
    folder = tmp_path / "further"
    folder.mkdir()
    (folder / "widget.py").write_text(WIDGET)
    (folder / "widget.json").write_text(SCHEMA)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(folder)])
    clear_caches()
    yield
    sys.modules.pop("stoa_gitops.catalog.kinds.widget", None)
    clear_caches()


def test_each_module_of_the_folder_is_one_kind() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert len(document_kinds()) == len(modules)
    assert {kind.name for kind in document_kinds()} == set(kind_names())
    named = {kind.name.lower() for kind in document_kinds()}
    assert {module.replace("_", "") for module in modules} == named


def test_kinds_keep_the_order_of_lists() -> None:
    # Kinds that come later follow these.
    assert kind_names()[:7] == (
        "Catalog", "GatewayInstance", "Environment", "Tenant", "API", "Policy", "Application",
    )  # fmt: skip


@pytest.mark.parametrize("kind", document_kinds(), ids=lambda kind: kind.name)
def test_the_home_of_a_kind_is_the_one_that_its_schema_states(kind: DocumentKind) -> None:
    schema = kind_set().schemas.schema(kind.name)
    assert schema["x-place"] == kind.home
    assert kind.home.split("/")[0] in ROOTS


@pytest.mark.parametrize("kind", document_kinds(), ids=lambda kind: kind.name)
def test_every_kind_in_tenants_folders_is_resolved(kind: DocumentKind) -> None:
    """A core kind by name in the resolver, any other by the functions in its KIND."""
    if kind.name not in kind_set().in_tenants:
        assert kind.resources is None
    elif kind.name in CORE:
        assert f'"{kind.name}"' in Path(environment.__file__).read_text(encoding="utf-8")
        assert kind.parse is not None
    else:
        assert kind.parse is not None
        assert kind.resources is not None


def test_limits_of_tenants_are_those_of_the_schema() -> None:
    spec = kind_set().schemas.schema("Tenant")["properties"]["spec"]
    limits = spec["properties"]["limits"]["properties"]
    assert {kind.limit for kind in kind_set().limited} == set(limits)


def test_a_module_without_a_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gadget.py").write_text("NAME = 'Gadget'\n")
    monkeypatch.setattr(kinds, "__path__", [str(tmp_path)])
    clear_caches()
    try:
        with pytest.raises(TypeError, match=r"kinds\.gadget exports no DocumentKind as KIND"):
            document_kinds()
    finally:
        sys.modules.pop("stoa_gitops.catalog.kinds.gadget", None)
        clear_caches()


@pytest.mark.usefixtures("widgets")
def test_one_further_module_is_a_kind_everywhere(
    write: Callable[..., Path], document: Callable[..., str]
) -> None:
    text = document("Widget", "w", "api: billing\ncolour: green")
    root = write({"tenants/acme/widgets/w.yaml": text})
    source, reader = FolderSource(root), Reader(gateway_types=gateway_types())
    catalog = reader.read(source.snapshot())
    assert not catalog.diagnostics
    resource = catalog.desired["main"].resources[Key("widget", "acme", "w")]
    assert resource.spec.value == {"api": "billing", "colour": "green"}
    assert kind_names()[-1] == "Widget"

    (root / "tenants/acme/apis/billing/api.yaml").unlink()
    catalog = reader.read(source.snapshot())
    assert Key("widget", "acme", "w") not in catalog.desired["main"].resources
    assert [found.code for found in catalog.diagnostics] == ["ref.api"]


@pytest.mark.usefixtures("widgets")
def test_a_further_kind_is_checked_by_its_schema_and_its_folder(
    write: Callable[..., Path], document: Callable[..., str]
) -> None:
    root = write(
        {
            "tenants/acme/widgets/w.yaml": document("Widget", "w", "api: billing\ncolour: blue"),
            "tenants/acme/policies/v.yaml": document("Widget", "v", "api: billing"),
        }
    )
    catalog = Reader().read(FolderSource(root).snapshot())
    found = {(item.code, item.hint) for item in catalog.diagnostics}
    assert found == {
        ("schema.enum", ""),
        ("document.place", "move it to tenants/<tenant>/widgets/"),
    }
