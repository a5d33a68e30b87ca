"""From references to values, and what is said when one leads nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.secret import Secret, SecretRef
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, OPERATOR
from stoa_gitops.secrets import MAX_BYTES, SecretForm, SecretPlaces, SecretResolver

VALUE = "hunter2"


@pytest.fixture
def resolver(tmp_path: Path) -> SecretResolver:
    return SecretResolver(SecretPlaces(tmp_path), {"KEY": VALUE, "EMPTY": ""})


def resolved(resolver: SecretResolver, text: str) -> str:
    return resolver.resolve(SecretRef.parse(text), OPERATOR, SecretForm.TEXT).reveal()


def test_a_variable_is_taken_from_the_environment_handed_in(
    resolver: SecretResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER", "x")
    assert resolved(resolver, "env:KEY") == VALUE
    with pytest.raises(SecretUnresolved, match="env:OTHER: the variable is not set; set OTHER"):
        resolved(resolver, "env:OTHER")


def test_an_empty_variable_leads_nowhere(resolver: SecretResolver) -> None:
    with pytest.raises(SecretUnresolved, match="env:EMPTY: the variable is empty"):
        resolved(resolver, "env:EMPTY")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("hunter2\n\n", "hunter2\n"),
        (" spaced ", " spaced "),
        ("zwei\nZeilen\n", "zwei\nZeilen"),
    ],
)
def test_one_newline_at_the_end_of_a_file_is_not_part_of_the_secret(
    resolver: SecretResolver, tmp_path: Path, content: str, value: str
) -> None:
    (tmp_path / "key").write_bytes(content.encode())
    assert resolved(resolver, "file:key") == value
    assert resolved(resolver, f"file:{tmp_path / 'key'}") == value


def test_a_rotated_file_is_seen_at_once(resolver: SecretResolver, tmp_path: Path) -> None:
    for value in ("one", "two"):
        (tmp_path / "key").write_text(value)
        assert resolved(resolver, "file:key") == value


def test_a_relative_path_without_a_settings_folder_leads_nowhere() -> None:
    with pytest.raises(
        SecretUnresolved, match=r"file:key: a relative path .* write an absolute one"
    ):
        resolved(SecretResolver(SecretPlaces(), {}), "file:key")


def test_a_relative_path_does_not_start_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "settings").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SecretUnresolved, match="No such file"):
        resolved(SecretResolver(SecretPlaces(tmp_path / "settings"), {}), "file:key")


def test_the_largest_file_is_read_and_a_larger_one_refused(
    resolver: SecretResolver, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"k" * MAX_BYTES)
    assert len(resolved(resolver, "file:key")) == MAX_BYTES
    (tmp_path / "key").write_bytes(b"k" * (MAX_BYTES + 1))
    with pytest.raises(SecretUnresolved, match="file:key: is larger than 64 KiB"):
        resolved(resolver, "file:key")


def test_what_is_no_file_is_refused_and_not_waited_for(
    resolver: SecretResolver, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(SecretUnresolved, match=f"file:{name}: cannot be read"):
            resolved(resolver, f"file:{name}")


def test_a_path_that_no_system_takes_leads_nowhere(resolver: SecretResolver) -> None:
    with pytest.raises(SecretUnresolved, match="cannot be read"):
        resolved(resolver, "file:a\0b")


def test_an_empty_file_and_one_that_is_no_text_lead_nowhere(
    resolver: SecretResolver, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"\n")
    with pytest.raises(SecretUnresolved, match="the file is empty"):
        resolved(resolver, "file:key")
    (tmp_path / "key").write_bytes(b"hunter2\xff")
    with pytest.raises(SecretUnresolved, match="not UTF-8") as caught:
        resolved(resolver, "file:key")
    assert caught.value.__context__ is None
    assert VALUE not in repr(caught.value)


@pytest.mark.parametrize("text", ["vault:kv/acme#key", "k8s:acme/keys#api"])
def test_what_comes_later_is_said_to_be_missing(resolver: SecretResolver, text: str) -> None:
    with pytest.raises(SecretUnresolved, match="not available in this version; use env:NAME"):
        resolved(resolver, text)


def test_several_are_resolved_at_once_and_none_stands_for_nothing(
    resolver: SecretResolver,
) -> None:
    wanted = [("", text) for text in ("env:KEY", "env:GONE", "nonsense", "vault:a")]
    found = resolver.resolve_all(wanted, DEFAULT_RIGHTS)
    assert found == {"env:KEY": Secret(VALUE), "env:GONE": None, "nonsense": None, "vault:a": None}


TREE: Json = {
    "credentials": [{"type": "api_key", "key": {"$secret": "env:KEY"}}, "plain"],
    "backend": {"auth": {"value": {"$secret": "env:GONE"}}},
    "other": {"$secret": "env:ALSO_GONE"},
}


def test_a_tree_gets_secrets_in_the_place_of_references(resolver: SecretResolver) -> None:
    found = resolver.resolve_tree({"a": [{"b": {"$secret": "env:KEY"}}], "c": 1}, OPERATOR)
    assert found == {"a": [{"b": Secret(VALUE)}], "c": 1}
    assert VALUE not in repr(found)


def test_a_tree_names_everything_that_leads_nowhere(resolver: SecretResolver) -> None:
    with pytest.raises(SecretUnresolved, match=r"env:ALSO_GONE: .*; env:GONE: "):
        resolver.resolve_tree(TREE, OPERATOR)


def test_a_lenient_tree_has_none_there(resolver: SecretResolver) -> None:
    assert resolver.resolve_tree(TREE, OPERATOR, is_lenient=True) == {
        "credentials": [{"type": "api_key", "key": Secret(VALUE)}, "plain"],
        "backend": {"auth": {"value": None}},
        "other": None,
    }


def test_the_environment_does_not_show(resolver: SecretResolver) -> None:
    assert VALUE not in repr(resolver)
