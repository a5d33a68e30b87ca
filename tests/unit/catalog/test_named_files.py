"""What a document names lies in its own folder, and takes nothing out of anybody's catalog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.git.repository import RepositorySource
from stoa_gitops.model.catalog import Catalog

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"
OPENAPI = "openapi: 3.0.0\ninfo: {title: A, version: '1'}\npaths: {}\n"
EVIL = "tenants/evil/apis/x"


def api(openapi: str = "", name: str = "x") -> str:
    named = f"  openapi: {openapi}\n" if openapi else ""
    return HEAD + (
        f"kind: API\nmetadata: {{name: {name}}}\nspec:\n  version: '1'\n"
        f"  backend: {{url: https://b.example}}\n{named}"
    )


def tenant(name: str) -> str:
    return f"{HEAD}kind: Tenant\nmetadata: {{name: {name}}}\n"


FILES = {
    "tenants/evil/tenant.yaml": tenant("evil"),
    "tenants/acme/apis/billing/openapi.yaml": OPENAPI,
    f"{EVIL}/own.yaml": OPENAPI.replace("openapi: 3.0.0\n", "") + "openapi: 3.0.0\n",
    f"{EVIL}/deep/own.yaml": OPENAPI,
}

Write = Callable[..., Path]


@pytest.fixture
def trees(
    write: Write, git: Callable[..., str]
) -> Callable[[dict[str, str], dict[str, str]], list[Tree]]:
    """Return a catalog from a folder and the same from a revision; links by path to target."""

    def trees(files: dict[str, str], links: dict[str, str]) -> list[Tree]:
        root = write({**FILES, **files})
        for path, target in links.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(target)
        git(root, "init", "--quiet", "-b", "main")
        git(root, "add", "-A")
        git(root, "commit", "--quiet", "-m", "all")
        return [FolderSource(root).snapshot(), RepositorySource(root, "main").snapshot()]

    return trees


def read(tree: Tree) -> Catalog:
    return Reader(gateway_types=gateway_types()).read(tree)


def found(catalog: Catalog) -> list[tuple[str, str, str]]:
    return [(d.source.path, d.code, d.message) for d in catalog.errors]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("../../../../gateways/main.yaml", "lies outside of the folder of this document"),
        ("../../../acme/tenant.yaml", "lies outside of the folder of this document"),
        ("../../../acme/apis/billing/api.yaml", "lies outside of the folder of this document"),
        ("../../../acme/apis/billing/openapi.yaml", "lies outside of the folder of this document"),
        ("../../tenant.yaml", "lies outside of the folder of this document"),
        ("../x2/openapi.yaml", "lies outside of the folder of this document"),
        ("/etc/passwd", "lies outside of the folder of this document"),
        ("../../../../../../x", "lies outside of the folder of this document"),
        ("api.yaml", "is a document of the catalog"),
        (".", "lies outside of the folder of this document"),
    ],
)
def test_a_file_elsewhere_is_an_error_of_that_document_alone(
    trees: Callable[[dict[str, str], dict[str, str]], list[Tree]], named: str, said: str
) -> None:
    files = {f"{EVIL}/api.yaml": api(named)}
    for tree in trees(files, {}):
        catalog = read(tree)
        errors = [item for item in found(catalog) if item[1] == "ref.openapi"]
        ((path, _, message),) = errors
        assert path == f"{EVIL}/api.yaml"
        assert said in message
        assert [gateway.name for gateway in catalog.gateways] == ["main"]
        assert catalog.tenants == ("acme", "evil")
        assert {str(key) for key in catalog.desired["main"].resources} == {"api/acme/billing"}


@pytest.mark.parametrize(
    "named", ["own.yaml", "./own.yaml", "deep/own.yaml", "deep/../own.yaml", ""]
)
def test_files_in_the_own_folder_are_taken(
    trees: Callable[[dict[str, str], dict[str, str]], list[Tree]], named: str
) -> None:
    for tree in trees({f"{EVIL}/api.yaml": api(named)}, {}):
        catalog = read(tree)
        assert not found(catalog)
        assert len(catalog.desired["main"].resources) == 2


@pytest.mark.parametrize(
    ("link", "target", "is_fine"),
    [
        (f"{EVIL}/linked.yaml", "own.yaml", True),
        (f"{EVIL}/linked.yaml", "../../../acme/apis/billing/openapi.yaml", False),
        (f"{EVIL}/linked.yaml", "../../../../gateways/main.yaml", False),
        (f"{EVIL}/openapi.yaml", "../../../acme/apis/billing/openapi.yaml", False),
    ],
)
def test_a_link_counts_as_what_it_leads_to(
    trees: Callable[[dict[str, str], dict[str, str]], list[Tree]],
    link: str,
    target: str,
    is_fine: bool,
) -> None:
    named = "linked.yaml" if "linked" in link else ""
    for tree in trees({f"{EVIL}/api.yaml": api(named)}, {link: target}):
        errors = found(read(tree))
        assert ([code for _, code, _ in errors] == []) is is_fine
        assert {path for path, _, _ in errors} <= {f"{EVIL}/api.yaml", link}
        if not is_fine:
            # The link itself is refused where it leads to what belongs to others.
            words = ("leads out of the folder", "the symlink leads to what belongs to")
            assert any(word in message for _, _, message in errors for word in words)


def test_a_folder_behind_a_link_has_its_own_files(write: Write) -> None:
    """As a mounted ConfigMap is: every folder at the top is a link."""
    root = write({**FILES, f"{EVIL}/api.yaml": api("own.yaml")})
    (root / "..2026").mkdir()
    (root / "tenants").rename(root / "..2026/tenants")
    (root / "tenants").symlink_to("..2026/tenants")
    assert not found(read(FolderSource(root).snapshot()))


def test_a_link_that_is_moved_is_checked_again(write: Write) -> None:
    root = write({**FILES, f"{EVIL}/api.yaml": api("linked.yaml")})
    other = root / "tenants/acme/apis/billing/openapi.yaml"
    other.write_text((root / f"{EVIL}/own.yaml").read_text())
    link = root / f"{EVIL}/linked.yaml"
    link.symlink_to("own.yaml")
    source, reader = FolderSource(root), Reader(gateway_types=gateway_types())
    assert not found(reader.read(source.snapshot()))
    link.unlink()
    link.symlink_to("../../../acme/apis/billing/openapi.yaml")
    assert [code for _, code, _ in found(reader.read(source.snapshot()))] == ["file.symlink"]
    link.unlink()
    link.symlink_to("own.yaml")
    assert not found(reader.read(source.snapshot()))


@pytest.mark.parametrize("named", ["openapi.yaml", "spec.yaml", ""])
@pytest.mark.parametrize("target", ["nowhere", "../../../acme/apis/billing/openapi.yaml"])
def test_a_link_that_is_refused_is_one_finding_and_its_api_stays_as_it_was(
    trees: Callable[[dict[str, str], dict[str, str]], list[Tree]], named: str, target: str
) -> None:
    link = f"{EVIL}/{named or 'openapi.yaml'}"
    for tree in trees({f"{EVIL}/api.yaml": api(named)}, {link: target}):
        catalog = read(tree)
        assert [item[:2] for item in found(catalog)] == [(link, "file.symlink")]
        assert {str(key) for key in catalog.desired["main"].resources} == {"api/acme/billing"}


def test_a_refused_link_that_goes_leaves_the_other_finding(write: Write) -> None:
    root = write({**FILES, f"{EVIL}/api.yaml": api("spec.yaml")})
    source, reader = FolderSource(root), Reader(gateway_types=gateway_types())
    spec = root / EVIL / "spec.yaml"
    codes = []
    for step in ("nothing", "link", "nothing", "link", "file"):
        spec.unlink(missing_ok=True)
        if step == "link":
            spec.symlink_to("nowhere")
        elif step == "file":
            spec.write_text(OPENAPI)
        codes.append([found.code for found in reader.read(source.snapshot()).errors])
    missing, refused = ["ref.openapi"], ["file.symlink"]
    assert codes == [missing, refused, missing, refused, []]
