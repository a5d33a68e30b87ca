"""Documents are written so that every reader of YAML sees the same texts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stoa_gitops.catalog.export.overlay import formatted_bytes
from tests.laws import examples

ODD = ["yes", "No", "on", "OFF", "y", "1:30", "-190:20:30.5", "0x10", "0777", "1_000", "1e3", "~"]
ODD += ["null", "true", "2026-01-31", "a: b", "- x", "&a", "*a", "!t", "%x", "=", "<<", "\x85x", ""]
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8)


def read(data: bytes, version: tuple[int, int]) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(data)


def document(texts: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "gostoa.dev/v1alpha1", "kind": "API", "metadata": {"name": "x"},
        "spec": {"version": "1", "portal": {"tags": texts}},
    }  # fmt: skip


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_a_text_stays_a_text(version: tuple[int, int]) -> None:
    written = document(ODD)
    assert read(formatted_bytes(written), version) == written


@examples(50)
@given(st.lists(st.sampled_from(ODD) | TEXTS, min_size=1, max_size=5))
def test_any_text_is_read_back(texts: list[str]) -> None:
    written = document(texts)
    assert read(formatted_bytes(written), (1, 2)) == written
