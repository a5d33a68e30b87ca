"""Archives as values: what is written is read back, and what an import says of each asset."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.webmethods.entities.archive import (
    ACTION,
    API,
    APPLICATION,
    MANIFEST,
    POLICY,
    Asset,
    overwrite_words,
    read_archive,
    read_results,
    write_archive,
)
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.secret import Secret

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=9), JSON, max_size=4))
def test_what_is_written_is_read_back_under_any_name(name: str, content: dict[str, Any]) -> None:
    api = Asset(API, "a-1", name, content, ("Policy.p-1",))
    policy = Asset(POLICY, "p-1", name, {"id": "p-1"}, (), api.folder)
    raw, secrets = write_archive([api, policy])
    assert read_archive(raw) == {"API.a-1": content, "Policy.p-1": {"id": "p-1"}}
    assert secrets == []
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        manifest = ET.fromstring(archive.read(MANIFEST))
        assert "API/API.a-1/Policy/Policy.p-1/Policy.p-1" in archive.namelist()
    assert [node.get("name") for node in manifest] == ["API.a-1", "Policy.p-1"]


def test_the_same_assets_are_the_same_bytes_and_secrets_are_named() -> None:
    value = Secret("sesame-street")
    assets = [Asset(APPLICATION, "x", "x", {"identifiers": [{"value": [value]}]})]
    first, secrets = write_archive(assets)
    assert (write_archive(assets)[0], secrets) == (first, [value])
    assert "sesame-street" in str(read_archive(first))


@pytest.mark.parametrize(
    ("assets", "words"),
    [
        ([], ""),
        ([Asset(API, "1", "", {}, is_new=True)], ""),
        ([Asset(ACTION, "1", "", {}), Asset(API, "1", "", {}, is_new=True)], "policyactions"),
        ([Asset(APPLICATION, "1", "", {}), Asset(API, "1", "", {})], "apis,applications"),
    ],
)
def test_only_kinds_that_are_there_are_overwritten(assets: list[Asset], words: str) -> None:
    assert overwrite_words(assets) == words


def test_each_element_of_an_answer_is_the_result_of_its_asset() -> None:
    found = read_results(
        {
            "ArchiveResult": [
                {"API": {"id": "1", "name": "a", "status": "Success", "explanation": "OK"}},
                {"Policy": {"id": "2", "name": "p", "status": "Failed", "explanation": " no "}},
                {"Alias": {"id": "3", "name": "x"}},
                "odd",
            ]
        }
    )
    assert {key: one.is_taken for key, one in found.items()} == {
        "API.1": True, "Policy.2": False, "Alias.3": False,
    }  # fmt: skip
    assert found["Policy.2"].message == "Policy p: no"


@pytest.mark.parametrize("answer", [{}, {"ArchiveResult": {}}, {"ArchiveResult": None}])
def test_an_answer_without_results_is_none(answer: dict[str, Any]) -> None:
    with pytest.raises(GatewayMalformed, match="ArchiveResult"):
        read_results(answer)


def damaged(flags: int = 0) -> bytes:
    """An archive whose one entry does not unpack, or, with a flag, is encrypted."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("API/API.1/API.1", '{"id": "1"}' * 50)
    raw = bytearray(stream.getvalue())
    start = 30 + len("API/API.1/API.1")
    if flags:
        raw[6] |= flags
        raw[raw.rindex(b"PK\x01\x02") + 8] |= flags
    else:
        raw[start : start + 6] = b"\xff" * 6
    return bytes(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"PK, or so", write_archive([])[0][:-5], damaged(), damaged(flags=1)]
)
def test_what_is_no_archive_is_an_error(raw: bytes) -> None:
    with pytest.raises(GatewayMalformed, match="no whole archive"):
        read_archive(raw)
