"""A tenant's documents refer to secrets of the tenant only; anything else is an error there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource, SourceRef
from stoa_gitops.model.secret import Secret
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.reconcile.spec_resolver import SpecResolver
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from tests.laws import examples

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"
GATEWAY = HEAD + (
    "kind: GatewayInstance\nmetadata: {name: main}\nspec:\n  gatewayType: stoa\n"
    "  environment: dev\n  baseUrl: http://gateway.example\n"
    "  auth: {type: bearer, tokenRef: {env: EVIL_ADMIN_TOKEN}}\n"
)
TENANTS = ("evil", "evil-twin")


def api(reference: str) -> str:
    return HEAD + (
        "kind: API\nmetadata: {name: x}\nspec:\n  version: '1'\n  backend:\n"
        "    url: https://b.example\n"
        f"    auth: {{in: header, name: X-Key, valueRef: {reference}}}\n"
    )


def application(reference: str) -> str:
    return HEAD + (
        "kind: Application\nmetadata: {name: a}\nspec:\n"
        f"  credentials: [{{type: api_key, keyRef: {reference}}}]\n  subscriptions: [{{api: x}}]\n"
    )


class Folder:
    """A catalog of two tenants with a reader that keeps what it knows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reader: Reader = catalog_reader(root / "state")
        self.files = {"gateways/main.yaml": GATEWAY}
        for tenant in TENANTS:
            text = f"{HEAD}kind: Tenant\nmetadata: {{name: {tenant}}}\n"
            self.files[f"tenants/{tenant}/tenant.yaml"] = text

    def read(self, files: Mapping[str, str | None]) -> Catalog:
        for path, text in {**self.files, **files}.items():
            target = self.root / "catalog" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                target.unlink()
            else:
                target.write_text(text)
        return self.reader.read(FolderSource(self.root / "catalog").snapshot())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


API_FILE = "tenants/evil/apis/x/api.yaml"
APP_FILE = "tenants/evil/applications/a.yaml"


def found(catalog: Catalog) -> list[tuple[str, str]]:
    return [(d.source.full, d.code) for d in catalog.errors]


@pytest.mark.parametrize(
    "reference",
    [
        "{env: OTHER}",
        "{env: EVIL_TWIN_KEY}",
        "{env: EVIL_ADMIN_TOKEN}",
        "{file: /proc/self/environ}",
    ],
)
def test_a_foreign_reference_is_an_error_at_its_line(folder: Folder, reference: str) -> None:
    catalog = folder.read({API_FILE: api(reference), APP_FILE: application("{env: EVIL_KEY}")})
    ((where, code),) = found(catalog)
    assert (where[:-1], code) == (f"{API_FILE}:8:5", "secret.foreign")
    assert not any(key.kind == "api" for key in catalog.desired["main"].resources)
    assert catalog.broken_tenants == {"evil"}
    catalog = folder.read({API_FILE: api("{env: EVIL_KEY}"), APP_FILE: application(reference)})
    assert [code for _, code in found(catalog)] == ["secret.foreign"]
    assert {key.kind for key in catalog.desired["main"].resources} == {"api"}


def test_each_of_several_foreign_references_is_found(folder: Folder) -> None:
    first, second = (f"{{type: api_key, keyRef: {{env: {name}}}}}" for name in ("ONE", "TWO"))
    text = application("{env: EVIL_KEY}").replace("[{type", f"[{first}, {second}, {{type")
    literal = api("{env: EVIL_KEY}") + (
        "  policies:\n  - {type: mock, config: {status: 200, headers: {X: a}, body: {a: 1}}}\n"
    )
    catalog = folder.read({APP_FILE: text, API_FILE: literal.replace("{a: 1}", "AT")})
    assert [code for _, code in found(catalog)] == ["secret.foreign"] * 2
    hidden = "{b: {$secret: 'env:OTHER'}}"
    catalog = folder.read({API_FILE: literal.replace("{a: 1}", hidden), APP_FILE: text})
    assert {path.partition(":")[0] for path, _ in found(catalog)} == {API_FILE, APP_FILE}


def test_a_grant_takes_effect_at_once_and_ends_at_once(folder: Folder) -> None:
    grant = HEAD + "kind: Catalog\nmetadata: {name: c}\nspec: {tenants: {evil: {env: [OTHER]}}}\n"
    assert found(folder.read({API_FILE: api("{env: OTHER}")}))
    assert not found(folder.read({"catalog.yaml": grant}))
    assert found(folder.read({"catalog.yaml": None}))


def test_a_new_tenant_takes_the_variables_that_begin_with_its_name(folder: Folder) -> None:
    other = "tenants/evil-twin/tenant.yaml"
    tenant = folder.files.pop(other)
    assert not found(folder.read({API_FILE: api("{env: EVIL_TWIN_KEY}")}))
    assert found(folder.read({other: tenant}))


def test_while_the_grants_cannot_be_read_a_document_waits_without_blame(folder: Folder) -> None:
    for text in ("kind: [\n", HEAD + "kind: Catalog\nmetadata: {name: c}\nspec: {tenants: []}\n"):
        catalog = folder.read({"catalog.yaml": text, API_FILE: api("{env: OTHER}")})
        assert {path.partition(":")[0] for path, _ in found(catalog)} == {"catalog.yaml"}
        assert catalog.is_all_broken
        assert not catalog.desired["main"].resources


def test_a_patch_gives_no_tenant_a_secret_of_the_operator(folder: Folder) -> None:
    """Where the secret goes stands in the tenant's document, so its rights count."""
    patch = HEAD + (
        "kind: Environment\nmetadata: {name: dev}\nspec:\n  patches:\n  - kind: API\n    patch:\n"
        "      spec: {backend: {auth: {in: header, name: X-Key, valueRef: {env: OPERATORS}}}}\n"
    )
    plain = api("{env: EVIL_KEY}").rpartition("    auth")[0]
    catalog = folder.read({"environments/dev.yaml": patch, API_FILE: plain})
    assert found(catalog) == [("environments/dev.yaml:8:72", "secret.foreign")]
    assert not catalog.desired["main"].resources


def test_no_document_of_the_operator_names_a_file_of_the_state(folder: Folder) -> None:
    reference = f"{{file: {folder.root}/state/control-token}}"
    text = GATEWAY.replace("{env: EVIL_ADMIN_TOKEN}", reference)
    assert [code for _, code in found(folder.read({"gateways/main.yaml": text}))] == [
        "secret.foreign"
    ]


def test_two_tenants_with_one_reference_have_two_rights(folder: Folder) -> None:
    twin = "tenants/evil-twin/apis/x/api.yaml"
    catalog = folder.read({API_FILE: api("{env: EVIL_TWIN_K}"), twin: api("{env: EVIL_TWIN_K}")})
    assert [path.partition(":")[0] for path, _ in found(catalog)] == [API_FILE]
    assert {str(key) for key in catalog.desired["main"].resources} == {"api/evil-twin/x"}


LITERAL = "pa55w0rd"


@pytest.mark.parametrize(
    "written",
    [
        '{env: "%s-of-prod"}', "{env: %s}", "{%s}", "{vaule: %s}", "{env: [%s]}", "{env: {a: %s}}",
        "{file: %s}", "{vault: %s}", "{env: A, file: %s}", "[%s]", "%s", "{env:%s}", "{env: %s",
        "{env: !x %s}", "\n        env: %s", "\n        %s", "\n        %s: env", "\n        - %s",
        "\n        env: |\n          %s", "\n        env: %s: x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_block", [False, True])
def test_a_secret_in_the_place_of_a_reference_is_never_quoted(
    folder: Folder, written: str, is_block: bool
) -> None:
    text = api("AT")
    if is_block:
        text = text.replace(
            "auth: {in: header, name: X-Key, valueRef: AT}", "auth:\n      valueRef: AT"
        )
    catalog = folder.read({API_FILE: text.replace("AT", written % LITERAL)})
    assert catalog.errors
    assert LITERAL not in repr(catalog.diagnostics)


# -- the law: whatever a tenant writes, no bytes of another one reach its objects -----------------

VARIABLES = ("EVIL_KEY", "EVIL_TWIN_KEY", "EVIL__K", "EVIL_ADMIN_TOKEN", "EVILS_KEY", "OTHER",
             "STOA_CONTROL_TOKEN", "evil_KEY", "SHARED_KEY", "TWIN_KEY")  # fmt: skip
OWN = {"evil": {"EVIL_KEY", "EVIL__K"}, "evil-twin": {"EVIL_TWIN_KEY", "SHARED_KEY"}}
GRANTS = (
    HEAD + "kind: Catalog\nmetadata: {name: c}\nspec: {tenants: {evil-twin: {env: [SHARED]}}}\n"
)
PARTS = ("secrets", "evil", "evil-twin", "state", "..", ".", "key", "", "up", "across", "catalog")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SecretResolver, Catalog]:
    """Return a machine on which each secret says whose it is."""
    root = tmp_path_factory.mktemp("machine")
    for place in ("secrets/evil", "secrets/evil-twin", "state", "secrets", ""):
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "key").write_text(place.rpartition("/")[2] or "operator")
    for tenant, other in (TENANTS, TENANTS[::-1]):
        (root / f"secrets/{tenant}/up").symlink_to("../..")
        (root / f"secrets/{tenant}/across").symlink_to(f"../{other}")
    env = {name: next((t for t in TENANTS if name in OWN[t]), "operator") for name in VARIABLES}
    places = SecretPlaces(root, root / "secrets", root / "state")
    catalog = Folder(root).read({"catalog.yaml": GRANTS})
    return root, SecretResolver(places, env), catalog


REFERENCES = st.sampled_from([f"env:{name}" for name in VARIABLES]) | st.lists(
    st.sampled_from(PARTS), min_size=1, max_size=7
).map(lambda parts: f"file:{'/'.join([*parts, 'key'])}")


@examples(600)
@given(tenant=st.sampled_from(TENANTS), text=REFERENCES, is_absolute=st.booleans())
def test_no_reference_of_a_tenant_leads_to_bytes_of_another(
    machine: tuple[Path, SecretResolver, Catalog], tenant: str, text: str, is_absolute: bool
) -> None:
    root, secrets, catalog = machine
    if is_absolute and text.startswith("file:"):
        text = f"file:{root}/{text.removeprefix('file:')}"
    resolver = SpecResolver("c", secrets, catalog.secret_rights)
    spec = Spec.of({"backend": {"auth": {"value": {"$secret": text}}}})
    resource = Resource(Key("api", tenant, "x"), spec, SourceRef("x"))
    try:
        value = resolver(resource).value["backend"]
    except SecretUnresolved:
        value = None
    # Nothing in between: it is refused, leads nowhere, or is the tenant's own.
    assert value in (None, {"auth": {"value": Secret(tenant)}})
    known = {(tenant, text): True}
    hashed = secrets.resolve_all(known, catalog.secret_rights)[text]
    assert hashed in (None, Secret(tenant))
