"""Settings from the environment and from the files that it names."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from stoa_gitops.cli import settings_from_env
from stoa_gitops.control.tenant_tokens import NO_TENANTS
from stoa_gitops.errors import UsageError
from stoa_gitops.model.secret import Secret

VARIABLES = ("STOA_CONTROL_TOKEN", "STOA_GIT_WEBHOOK_SECRET")
TENANTS = "STOA_CONTROL_TENANT_TOKENS_FILE"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.delenv(TENANTS, raising=False)


def test_files_are_read_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    for text in ("the-first-secret", "the-second-secret"):
        for name in VARIABLES:
            (tmp_path / name).write_text(f"{text}\n")
        found = settings_from_env.read_credentials()
        assert found.control_token == found.webhook_secret == Secret(text)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"tiny", "characters|letters"),
        (b"", "is empty"),
        (b"\xff" * 9, "no text"),
        (b"x" * 65_537, "bytes"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_and_not_shown(
    name: str, content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(f"{name}_FILE", str(file))
    with pytest.raises(UsageError, match=words) as raised:
        settings_from_env.read_credentials()
    assert str(raised.value).startswith(f"{name}_FILE {file}")
    assert "tiny" not in str(raised.value)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_secret_that_is_given_twice_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "a-given-secret")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="both set"):
        settings_from_env.read_credentials()


def test_tokens_of_tenants_are_read_anew_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tenants"
    assert settings_from_env.read_credentials().tenant_tokens == NO_TENANTS
    monkeypatch.setenv(TENANTS, str(file))
    for tenant in ("acme", "rival"):
        file.write_text(f"{tenant} {hashlib.sha256(b'a-token').hexdigest()}\n")
        assert settings_from_env.read_credentials().tenant_tokens.find(b"a-token") == tenant
    file.write_text("")
    assert settings_from_env.read_credentials().tenant_tokens == NO_TENANTS
    monkeypatch.setenv(TENANTS, "")
    assert settings_from_env.read_credentials().tenant_tokens == NO_TENANTS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"acme a-token-in-clear", "line 1 is not"),
        (b"\xff" * 9, "no text"),
        (b"#" * 65_537, "bytes"),
        (None, "cannot be read"),
    ],
)
def test_a_file_of_tenants_that_makes_no_sense_is_named_and_not_shown(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tenants"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(TENANTS, str(file))
    with pytest.raises(UsageError, match=words) as raised:
        settings_from_env.read_credentials()
    assert str(raised.value).startswith(f"{TENANTS} {file}")
    assert "a-token-in-clear" not in str(raised.value)


def test_who_calls_a_control_api_has_one_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="set STOA_CONTROL_TOKEN_FILE"):
        settings_from_env.read_control_token()
    (tmp_path / "token").write_text("a-token-of-acme\n")
    monkeypatch.setenv("STOA_CONTROL_TOKEN_FILE", str(tmp_path / "token"))
    assert settings_from_env.read_control_token() == Secret("a-token-of-acme")
    monkeypatch.setenv("STOA_CONTROL_TOKEN", "a-token-of-acme")
    with pytest.raises(UsageError, match="both set"):
        settings_from_env.read_control_token()
    monkeypatch.delenv("STOA_CONTROL_TOKEN_FILE")
    assert settings_from_env.read_control_token() == Secret("a-token-of-acme")
    monkeypatch.setenv("STOA_CONTROL_TOKEN", "two words")
    with pytest.raises(UsageError, match="STOA_CONTROL_TOKEN: a control token is one word"):
        settings_from_env.read_control_token()


def test_the_embedded_gateway_has_the_bounds_of_one_that_runs_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STOA_MAX_COUNTERS_PER_POLICY", "7")
    assert settings_from_env.read_data_plane_bounds().counters_per_policy == 7
    monkeypatch.setenv("STOA_MAX_COUNTERS_PER_POLICY", "0")
    with pytest.raises(UsageError, match="STOA_MAX_COUNTERS_PER_POLICY must be 1 or more"):
        settings_from_env.read_data_plane_bounds()
    monkeypatch.delenv("STOA_MAX_COUNTERS_PER_POLICY")
    monkeypatch.setenv("STOA_MAX_CONNECTIONS", "999999999")
    with pytest.raises(UsageError, match="STOA_MAX_CONNECTIONS is 999999999"):
        settings_from_env.read_data_plane_bounds()


@pytest.mark.parametrize(
    ("descriptors", "connections", "per_client"),
    [(65_536, 5_000, 2_500), (20_000, 5_000, 2_500), (1_024, 256, 128), (256, 64, 32)],
)
def test_connections_of_control_are_as_many_as_the_descriptors_permit(
    descriptors: int, connections: int, per_client: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    bounds = settings_from_env.read_control_bounds()
    assert (bounds.max_connections, bounds.max_connections_per_client) == (connections, per_client)
    monkeypatch.setenv("STOA_CONTROL_MAX_CONNECTIONS", "100")
    monkeypatch.setenv("STOA_CONTROL_MAX_CONNECTIONS_PER_CLIENT", "7")
    bounds = settings_from_env.read_control_bounds()
    assert (bounds.max_connections, bounds.max_connections_per_client) == (100, 7)
    monkeypatch.setenv("STOA_CONTROL_MAX_CONNECTIONS", str(descriptors))
    with pytest.raises(UsageError, match=f"STOA_CONTROL_MAX_CONNECTIONS is {descriptors}"):
        settings_from_env.read_control_bounds()
