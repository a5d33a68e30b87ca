"""Which files a document may name, and that the file that is read is the one that was checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoa_gitops.errors import SecretRefused, SecretUnresolved
from stoa_gitops.model.grants import Grants, TenantGrants
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.model.secret_rights import OPERATOR, SecretRights
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from stoa_gitops.secrets.files import read_checked

RIGHTS = SecretRights(Grants({"acme": TenantGrants(files=("/granted",))}))
OWN, FOREIGN = "acme-secret", "somebody-elses"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with secrets of two tenants, of the operator, and of this program."""
    for place in ("secrets/acme/deep", "secrets/evil", "secrets/acme-x", "state", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "key").write_text(OWN if "acme/" in place else FOREIGN)
    (tmp_path / "secrets/acme/key").write_text(OWN)
    (tmp_path / "secrets/key").write_text(FOREIGN)
    links = {
        "secrets/acme/out": "../evil/key",
        "secrets/acme/folder": "../evil",
        "secrets/acme/in": "deep/key",
        "elsewhere/back": "../secrets/acme/key",
        "secrets/acme/state": "../../state",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    return tmp_path


def places(root: Path) -> SecretPlaces:
    return SecretPlaces(root, root / "secrets", root / "state")


def resolve(root: Path, path: str, tenant: str = "acme", *, set_up: bool = True) -> str:
    where = places(root) if set_up else SecretPlaces(root, None, root / "state")
    resolver = SecretResolver(where, {})
    return resolver.resolve(SecretRef("file", path), RIGHTS.of(tenant)).reveal()


@pytest.mark.parametrize(
    "path",
    [
        "secrets/acme/key",
        "secrets/acme/deep/key",
        "secrets/acme/in",
        "secrets/evil/../acme/key",
        "elsewhere/back",
    ],
)
def test_files_of_the_tenant_are_read_by_whatever_spelling(root: Path, path: str) -> None:
    assert resolve(root, path) == OWN
    assert resolve(root, f"{root}/{path}") == OWN


@pytest.mark.parametrize(
    "path",
    [
        "secrets/key",
        "secrets/evil/key",
        "secrets/acme-x/key",
        "secrets/acme/out",
        "secrets/acme/folder/key",
        "secrets/acme/../evil/key",
        "secrets/acme/state/key",
        "elsewhere/key",
        "elsewhere/nothing",
        "state/key",
        "/proc/self/environ",
        "/proc/self/root/proc/self/environ",
        "/dev/stdin",
        "/sys/kernel/notes",
        "/granted-not/key",
        "/",
        "",
    ],
)
def test_all_other_files_are_refused_whether_they_exist_or_not(root: Path, path: str) -> None:
    with pytest.raises(SecretRefused) as caught:
        resolve(root, path)
    assert FOREIGN not in str(caught.value)
    assert "evil" not in str(caught.value).replace(path, "")


def test_without_the_setting_only_grants_count(root: Path) -> None:
    with pytest.raises(SecretRefused, match="the operator sets STOA_SECRETS_DIR"):
        resolve(root, "secrets/acme/key", set_up=False)
    with pytest.raises(SecretUnresolved, match="cannot be read"):
        resolve(root, "/granted/key", set_up=False)


def test_a_grant_gives_neither_state_nor_system_nor_what_the_operator_names(root: Path) -> None:
    everything = Grants({"acme": TenantGrants(files=("/",))})
    rights = SecretRights(everything, operators=frozenset({f"file:{root}/elsewhere/key"}))
    resolver = SecretResolver(places(root), {})
    assert resolver.resolve(SecretRef("file", "secrets/key"), rights.of("acme")).reveal()
    for path in ("state/key", "/proc/self/environ", "elsewhere/key", "secrets/../elsewhere/key"):
        with pytest.raises(SecretRefused):
            resolver.resolve(SecretRef("file", path), rights.of("acme"))


def test_operators_name_any_file_but_those_of_the_state(root: Path) -> None:
    resolver = SecretResolver(places(root), {})
    assert resolver.resolve(SecretRef("file", "elsewhere/key"), OPERATOR).reveal() == FOREIGN
    for path in ("state/key", "secrets/acme/state/key", "elsewhere/../state/key"):
        with pytest.raises(SecretRefused, match="state folder"):
            resolver.resolve(SecretRef("file", path), OPERATOR)


def test_a_link_put_there_after_the_check_leads_nowhere(root: Path) -> None:
    path = root / "secrets/acme/key"

    def swap(real: str) -> None:
        if "evil" in real:
            raise SecretRefused("not yours")
        path.unlink()
        path.symlink_to("../evil/key")

    with pytest.raises(SecretRefused):
        read_checked(path, swap)


def test_a_folder_swapped_for_a_link_after_the_check_leads_nowhere(root: Path) -> None:
    folder = root / "secrets/acme/deep"

    def swap(real: str) -> None:
        if not folder.is_symlink():
            (folder / "key").unlink()
            folder.rmdir()
            folder.symlink_to("../../evil")
        if "evil" in real:
            raise SecretRefused("not yours")

    with pytest.raises(SecretRefused):
        read_checked(folder / "key", swap)


def test_a_mounted_secret_that_is_swapped_meanwhile_is_read_again(root: Path) -> None:
    """Kubernetes replaces the folder behind a link, and removes the old one."""
    home = root / "secrets/acme"
    for version in ("v1", "v2"):
        (home / version).mkdir()
        (home / version / "token").write_text(version)
    (home / "..data").symlink_to("v1")
    (home / "token").symlink_to("..data/token")

    def swap(real: str) -> None:
        if real.endswith("v1/token"):
            (home / "..data").unlink()
            (home / "..data").symlink_to("v2")
            (home / "v1/token").unlink()

    assert read_checked(home / "token", swap) == b"v2"


def test_the_state_folder_is_known_by_itself_and_not_by_its_name(root: Path) -> None:
    """A bind mount, or a file system without case, shows it under another name."""
    with pytest.raises(PermissionError, match="state folder"):
        read_checked(root / "state/key", lambda real: None, root / "state")


def _open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = _open_descriptors()
    for path in ("secrets/acme/key", "secrets/acme/deep", "secrets/acme/none/x"):
        try:
            read_checked(root / path, lambda real: None, root / "state")
        except (OSError, ValueError):
            continue
    assert _open_descriptors() == before
