"""Large files are read in a child process, whose end and whose delays harm that file alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks.hostile_shapes import API, DOCUMENTS, OPENAPI
from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.documents.isolation import LARGE, ChildFailed, ChildIsolation
from stoa_gitops.catalog.reader import Reader, large_file_work
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.operations.reading_child import reading_child
from tests.unit.catalog.conftest import HEAD

EVIL = "tenants/evil/apis/x/api.yaml"
OPENAPI_FILE = "tenants/evil/apis/x/openapi.yaml"
OTHER = "api/acme/billing"


def here() -> NoReturn:
    raise AssertionError("it is done in this process")


@pytest.fixture(scope="module")
def child() -> Iterator[ChildIsolation]:
    made = reading_child()
    with made.reading():
        yield made


SHAPES: dict[str, tuple[str, bytes]] = {
    "valid documents": ("parse", DOCUMENTS["valid documents"](50_000)),
    "broken documents": ("parse", DOCUMENTS["broken documents"](50_000)),
    "unknown fields": ("parse", DOCUMENTS["unknown fields"](50_000)),
    "paths": ("openapi", OPENAPI["paths"](50_000)),
    "a merge": ("openapi", OPENAPI["a merge"](50_000)),
}


@pytest.mark.parametrize(("name", "data"), SHAPES.values(), ids=SHAPES)
def test_a_child_says_what_this_process_says(name: str, data: bytes, child: ChildIsolation) -> None:
    assert child.call(name, len(data), here, data) == large_file_work(gateway_types())[name](data)


def test_small_files_start_no_child() -> None:
    isolation = ChildIsolation(("no such program",))
    with isolation.reading():
        assert isolation.call("parse", LARGE - 1, lambda: "read here", b"") == "read here"


def test_without_a_process_to_be_had_files_are_read_here() -> None:
    isolation = ChildIsolation(("no such program",))
    with isolation.reading():
        assert isolation.call("parse", LARGE, lambda: "read here", b"") == "read here"


def test_a_child_ends_with_the_reading() -> None:
    isolation = ChildIsolation((sys.executable, "-c", "import sys; sys.stdin.read()"), seconds=0.01)
    with isolation.reading():
        process = isolation._running()
        assert process.poll() is None
    assert process.poll() is not None


ENDS = {
    "at once": "raise SystemExit(3)",
    "at a request": "import os, sys; sys.stdin.buffer.read(8); os.abort()",
    "within its answer": "import sys; sys.stdin.buffer.read(8); sys.stdout.write('12345678ab')",
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_the_end_of_a_child_is_told(code: str) -> None:
    isolation = ChildIsolation((sys.executable, "-S", "-c", code))
    with isolation.reading(), pytest.raises(ChildFailed, match="ended"):
        isolation.call("parse", LARGE, here, b"x" * 1_000_000)


def test_a_child_that_takes_too_long_is_ended() -> None:
    code = "import sys; sys.stdin.buffer.read(); sys.stdin.buffer.read()"
    isolation = ChildIsolation((sys.executable, "-S", "-c", code), seconds=0.05)
    with isolation.reading():
        with pytest.raises(ChildFailed, match=r"more than 0\.05 s"):
            isolation.call("parse", LARGE, here, b"")
        assert isolation._child is None


def evil_files(path: str, data: bytes) -> dict[str, bytes | str]:
    api = API + b"  version: '1'\n  backend: {url: 'https://b.example'}\n"
    tenant = HEAD + "kind: Tenant\nmetadata:\n  name: evil\n"
    return {"tenants/evil/tenant.yaml": tenant, EVIL: api, path: data}


LARGE_FILES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "documents": (EVIL, DOCUMENTS["unknown fields"]),
    "openapi": (OPENAPI_FILE, OPENAPI["references"]),
}


@pytest.mark.parametrize(("path", "shape"), LARGE_FILES.values(), ids=LARGE_FILES)
def test_a_reader_finds_the_same_with_a_child(
    path: str, shape: Callable[[int], bytes], write: Callable[..., Path]
) -> None:
    tree = FolderSource(write(evil_files(path, shape(2 * LARGE)))).snapshot()
    catalog = Reader(gateway_types=gateway_types(), isolation=reading_child()).read(tree)
    plain = Reader(gateway_types=gateway_types()).read(tree)
    assert catalog.diagnostics == plain.diagnostics
    assert catalog.diagnostics
    assert catalog.desired == plain.desired


@pytest.mark.parametrize(("path", "shape"), LARGE_FILES.values(), ids=LARGE_FILES)
def test_a_file_that_ends_the_child_is_a_finding_and_others_are_read(
    path: str, shape: Callable[[int], bytes], write: Callable[..., Path]
) -> None:
    isolation = ChildIsolation((sys.executable, "-S", "-c", "raise SystemExit(1)"))
    tree = FolderSource(write(evil_files(path, shape(2 * LARGE)))).snapshot()
    catalog = Reader(gateway_types=gateway_types(), isolation=isolation).read(tree)
    found = {(item.code, item.source.path) for item in catalog.errors}
    assert ("document.internal", path) in found
    assert {path for _, path in found} <= {path, EVIL}
    assert "evil" in catalog.broken_tenants
    assert OTHER in map(str, catalog.desired["main"].resources)
