"""`ObjectSpec.read_document`: the file that a spec names, or an error that says why not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.errors import CatalogError, DocumentUnreadable
from stoa_gitops.model.keys import Key

PATH, TEXT = "tenants/acme/apis/billing/openapi.yaml", b"openapi: 3.0.3\n"
KEY = Key("api", "acme", "billing")


@dataclass
class Files:
    """Files in memory; `is_changing` plays a folder that somebody writes to."""

    held: dict[str, bytes] = field(default_factory=dict)
    is_changing: bool = False

    def read(self, path: str) -> bytes:
        if self.is_changing:
            raise CatalogError("it changed")
        return self.held[path]


def spec(files: Files | None, text: bytes = TEXT) -> ObjectSpec:
    named = {"path": PATH, "sha256": hashlib.sha256(text).hexdigest()}
    return ObjectSpec(KEY, "id", "default", {"openapi": named}, files=files)


def test_the_bytes_of_a_document_are_those_of_its_file() -> None:
    assert spec(Files({PATH: TEXT})).read_document("openapi") == TEXT


@pytest.mark.parametrize(
    "files",
    [None, Files(), Files({PATH: b"another"}), Files({PATH: TEXT}, is_changing=True)],
    ids=["no files", "gone", "another", "being written"],
)
def test_another_file_than_the_spec_was_made_of_is_an_error(files: Files | None) -> None:
    with pytest.raises(DocumentUnreadable, match=PATH):
        spec(files).read_document("openapi")


def test_a_spec_without_a_document_has_none_to_read() -> None:
    with pytest.raises(KeyError):
        spec(Files({PATH: TEXT})).read_document("wsdl")
