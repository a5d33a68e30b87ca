"""What a file costs is bounded by its size, whatever its shape is."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from benchmarks.hostile_shapes import API, DOCUMENTS, OPENAPI
from stoa_gitops.catalog.documents import file_parser, yaml_fast, yaml_full
from stoa_gitops.catalog.documents.document_checks import MAX_ENTRIES
from stoa_gitops.catalog.documents.parse import parse_file
from stoa_gitops.catalog.documents.parsed_files import ParsedFile
from stoa_gitops.catalog.documents.yaml_bounds import MAX_DOCUMENTS, MAX_EXPANDED, expanded_size
from stoa_gitops.catalog.documents.yaml_fast import parse_anything
from stoa_gitops.catalog.evaluation import openapi
from stoa_gitops.catalog.evaluation.openapi import read_openapi
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.catalog.positions import DiagnosticBuilder, LocatedFinding
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.catalog import Catalog
from tests.unit.catalog.conftest import HEAD

SCHEMAS = kind_set(None).schemas
SIZE = 200_000

# CPU of one of these sizes; the full parser would take 4 to 12 s, and some shapes minutes. The
# slowest of them takes 0.9 s where two cores do the work of sixteen; the rest is for slower ones.
SECONDS = 3.0


class OneFile(Tree):
    """A tree of one file."""

    revision = "test"

    def __init__(self, data: bytes) -> None:
        self.files = {"a.yaml": "blob"}
        self._data = data

    def read_many(self, paths: Any) -> Iterator[tuple[str, bytes]]:
        yield from ((path, self._data) for path in paths)


def parse(data: bytes) -> ParsedFile:
    return parse_file(data, SCHEMAS)


def codes(parsed: ParsedFile) -> set[str]:
    return {finding.code for finding in parsed.findings}


@pytest.mark.parametrize("shape", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_file_is_parsed_and_its_findings_placed_in_bounded_time(
    shape: Callable[[int], bytes],
) -> None:
    data = shape(SIZE)
    started = time.process_time()
    parsed = parse(data)
    located = [LocatedFinding("a.yaml", finding) for finding in parsed.findings]
    DiagnosticBuilder().build(OneFile(data), located)
    assert time.process_time() - started < SECONDS
    assert "document.internal" not in codes(parsed)
    assert len(parsed.findings) <= 101


@pytest.mark.parametrize("shape", OPENAPI.values(), ids=OPENAPI)
def test_an_openapi_document_is_validated_in_bounded_time(shape: Callable[[int], bytes]) -> None:
    data = shape(SIZE)
    started = time.process_time()
    found = read_openapi(data).findings
    assert time.process_time() - started < SECONDS
    assert "document.internal" not in {finding.code for finding in found}


@pytest.mark.parametrize(
    "data",
    [
        b"a: [1,\n2]\n" + b"b: 1\n" * 20_000,
        b"k: &a " + b"x" * 70_000 + b"\n",
        DOCUMENTS["tabs"](SIZE),
    ],
)
def test_the_full_parser_reads_small_documents_only(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the full parser reads it")

    monkeypatch.setattr(file_parser, "read_document", refuse)
    (finding,) = parse(data).findings
    assert finding.code.startswith("yaml.")
    assert finding.hint


def test_a_large_document_is_read_where_the_fast_parser_reads_it() -> None:
    routes = b"".join(b"  - {path: /a%d}\n" % number for number in range(5_000))
    head = API + b"  version: '1'\n  backend: {url: 'https://b.example'}\n  routes:\n"
    parsed = parse(head + routes)
    assert not parsed.findings
    assert len(parsed.documents) == 1


def test_json_is_read_at_any_size() -> None:
    routes = ",".join(f'\n  {{"path":"/a{number}"}}' for number in range(5_000))
    text = (
        '{"apiVersion": "gostoa.dev/v1alpha1", "kind": "API", "metadata": {"name": "x"}, "spec": '
        f'{{"version":"1","backend":{{"url":"https://b.example"}},"routes":[{routes}]}}}}'
    )
    assert not parse(text.encode()).findings


def test_documents_of_one_file_are_read_one_by_one() -> None:
    parsed = parse(DOCUMENTS["valid documents"](SIZE))
    assert len(parsed.documents) > 1_000
    assert not parsed.findings
    assert parsed.documents[5].line == 5 * 5 + 2


def test_more_documents_than_a_file_may_have_are_one_finding() -> None:
    parsed = parse(b"---\n# nothing\n" * (MAX_DOCUMENTS + 5))
    (finding,) = parsed.findings
    assert (finding.code, finding.line) == ("file.size", 2 * MAX_DOCUMENTS + 1)
    assert parsed.has_unknown


def test_the_findings_of_a_file_end_with_one_that_says_so() -> None:
    parsed = parse(DOCUMENTS["documents with errors"](SIZE))
    assert [finding.code for finding in parsed.findings].count("file.errors") == 1
    assert parsed.findings[-1].code == "file.errors"
    assert all(document.is_broken for document in parsed.documents)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1\n", (20_001, 4)),
        ("k7: 1\n", (20_001, 1)),
        ("a: b: c\n", (20_001, 5)),
        ("a: *b\n", (20_001, 4)),
        ("a:\t*b\n", (20_001, 4)),
        ("a:\tb: c\n", (20_001, 3)),
    ],
)
def test_an_error_in_a_large_document_has_its_place(text: str, place: tuple[int, int]) -> None:
    head = "".join(f"k{number}: value\n" for number in range(20_000))
    (finding,) = parse((head + text).encode()).findings
    assert (finding.line, finding.column) == place
    assert finding.code.startswith("yaml.")


def test_aliases_stand_for_a_bounded_size() -> None:
    long = b"a: &a '" + b"x" * 1_000_000 + b"'\nb:\n"
    assert expanded_size(long + b"- *a\n" * 20) >= 20_000_000
    assert expanded_size(b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n") >= 4
    bomb = b"openapi: 3.0.0\n" + long + b"- *a\n" * 1_000
    assert expanded_size(bomb) >= MAX_EXPANDED
    assert parse_anything(bomb) is None
    (finding,) = read_openapi(bomb).findings
    assert finding.code == "yaml.size"


def test_without_the_fast_parser_everything_is_read_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(yaml_fast, "yaml_rs", None)
    parsed = parse(DOCUMENTS["valid documents"](20_000))
    assert not parsed.findings
    assert parsed.documents
    assert not read_openapi(OPENAPI["paths"](5_000)).findings
    (finding,) = parse(DOCUMENTS["a wide list"](2_000_000)).findings
    assert finding.code == "yaml.size"


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
MERGE = b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> theirs\n"


@pytest.mark.parametrize("is_quick", [True, False])
@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (POINTER, "file.lfs-pointer", 1),
        (MERGE, "file.conflict", 2),
        (API + MERGE, "file.conflict", 6),
        (MERGE.replace(b"\n", b"\r\n"), "file.conflict", 2),
        (b"<<<<<<< HEAD\n" + API + b"=======\n>>>>>>> x\n", "file.conflict", 1),
        (API + b"  version: {{ .Values.version }}\n", "file.template", 5),
        (b"{% if a %}\n" + API + b"{% endif %}\n", "file.template", 1),
        (b"{{- range .Values.apis }}\n---\n" + API, "file.template", 1),
    ],
)
def test_what_is_no_yaml_yet_is_named_once(
    data: bytes, code: str, line: int, is_quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_quick:
        monkeypatch.setattr(yaml_fast, "yaml_rs", None)
    parsed = parse(data)
    assert [(finding.code, finding.line) for finding in parsed.findings[:1]] == [(code, line)]
    assert parsed.has_unknown
    if code != "file.template":
        assert len(parsed.findings) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POINTER, "file.lfs-pointer"),
        (b"openapi: 3.0.0\n" + MERGE, "file.conflict"),
        (b"openapi: 3.0.0\ninfo: {{ toYaml .Values.info }}\n  x\n", "file.template"),
    ],
)
def test_what_is_no_openapi_document_yet_is_named_once(text: bytes, code: str) -> None:
    (finding,) = read_openapi(text).findings
    assert finding.code == code


@pytest.mark.parametrize(
    "text",
    [
        "description: 'see {{ x }}'\n",
        'description: "a <<<<<<< b"\n',
        "description: |\n    <<<<<<< HEAD\n    =======\n    >>>>>>> x\n",
        "description: a {{ b }}\n",
    ],
)
def test_text_that_only_looks_so_is_read(text: str) -> None:
    data = API + b"  version: '1'\n  backend: {url: 'https://b.example'}\n  " + text.encode()
    assert not parse(data).findings


def test_the_full_parser_is_tried_for_openapi_in_bounds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    whole = yaml_full.read_documents

    def count(data: bytes, **named: Any) -> Any:
        read.append(len(data))
        return whole(data, **named)

    monkeypatch.setattr(openapi, "read_documents", count)
    read_openapi(OPENAPI["a broken end"](SIZE))
    assert read == []
    read_openapi(OPENAPI["a broken end"](2_000))
    assert len(read) == 1


def lines(line: str, count: int) -> str:
    """Return so many lines with a number of their own for each `#`."""
    return "".join(line.replace("#", str(number)) for number in range(count))


API_FILE, ENVIRONMENT = "tenants/acme/apis/a/api.yaml", "environments/dev.yaml"
PATCH = "  - {kind: API, name: '*b*c*#*', patch: {spec: {description: x}}}\n"
WIDE: dict[str, dict[str, str]] = {
    "routes": {API_FILE: "  routes:\n" + lines("  - {path: /apis/acme/a/#}\n", 4_000)},
    "references that lead nowhere": {
        "tenants/acme/applications/shop.yaml": "  subscriptions:\n"
        + lines("  - {api: a#}\n", 4_000)
    },
    "variables without a value": {
        ENVIRONMENT: "  variables:\n" + lines("    A#: b\n", 9_000),
        API_FILE: f"  description: '{lines('${B#}', 9_000)}'\n",
    },
    "variables that become long": {
        ENVIRONMENT: f"  variables: {{A: '{'x' * 100_000}'}}\n",
        API_FILE: f"  description: '{'${A}' * 50_000}'\n",
    },
    "patches": {ENVIRONMENT: "  patches:\n" + lines(PATCH, 2_000)},
}
KINDS = {"environments": "Environment", "applications": "Application", "apis": "API"}
NAMES = {"Environment": "dev", "Application": "shop", "API": "a"}


@pytest.mark.parametrize("files", WIDE.values(), ids=WIDE)
def test_what_documents_mean_together_is_found_in_bounded_time(
    files: dict[str, str], read: Callable[..., Catalog]
) -> None:
    written = {}
    for path, spec in files.items():
        kind = next(kind for folder, kind in KINDS.items() if f"{folder}/" in path)
        head = f"{HEAD}kind: {kind}\nmetadata: {{name: {NAMES[kind]}}}\nspec:\n"
        backend = "  version: '1'\n  backend: {url: 'https://b.example'}\n" if kind == "API" else ""
        written[path] = head + backend + spec
    for number in range(100):
        path = f"tenants/acme/apis/other-{number}/api.yaml"
        written[path] = HEAD + (
            f"kind: API\nmetadata: {{name: other-{number}}}\n"
            "spec: {version: '1', backend: {url: 'https://b.example'}}\n"
        )
    started = time.process_time()
    catalog = read(written)
    assert time.process_time() - started < 2 * SECONDS
    assert "document.internal" not in {found.code for found in catalog.diagnostics}
    assert "api/acme/billing" in map(str, catalog.desired["main"].resources)
    by_path: Counter[str] = Counter(found.source.path for found in catalog.diagnostics)
    assert max(by_path.values(), default=0) <= 101


def test_text_that_variables_make_is_bounded(read: Callable[..., Catalog]) -> None:
    environment = f"{HEAD}kind: Environment\nmetadata: {{name: dev}}\nspec:\n"
    api = f"{HEAD}kind: API\nmetadata: {{name: a}}\nspec:\n  version: '1'\n"
    backend = "  backend: {url: 'https://b.example'}\n"
    files = {
        "environments/dev.yaml": environment + f"  variables: {{A: '{'x' * 100_000}'}}\n",
        "tenants/acme/apis/a/api.yaml": api + backend + f"  description: '{'${A}' * 11}'\n",
    }
    (found,) = read(files).errors
    assert found.code == "variable.size"
    assert found.source.line == 7


def test_a_list_has_a_bounded_number_of_entries() -> None:
    def routes(number: int) -> bytes:
        entries = b"".join(b"  - {path: /a%d}\n" % n for n in range(number))
        return API + b"  version: '1'\n  backend: {url: 'https://b.example'}\n  routes:\n" + entries

    assert not parse(routes(MAX_ENTRIES)).findings
    (finding,) = parse(routes(MAX_ENTRIES + 1)).findings
    assert (finding.code, finding.pointer) == ("schema.length", ("spec", "routes"))
    assert f"{MAX_ENTRIES + 1} entries" in finding.message


@pytest.mark.parametrize("count", [3, 40])
def test_patches_are_applied_in_the_order_of_the_file(
    count: int, read: Callable[..., Catalog]
) -> None:
    names = ["billing", "bill*", "*"]
    patches = "".join(
        f"  - {{kind: API, name: '{names[n % 3]}', patch: {{spec: {{displayName: p{n}}}}}}}\n"
        for n in range(count)
    )
    head = f"{HEAD}kind: Environment\nmetadata: {{name: dev}}\nspec:\n  patches:\n"
    catalog = read({"environments/dev.yaml": head + patches})
    assert not catalog.errors
    (resource,) = catalog.desired["main"].resources.values()
    assert f"p{count - 1}".encode() in resource.spec.raw


def hostile(number: int, routes: str) -> str:
    return HEAD + (
        f"kind: API\nmetadata: {{name: a{number}}}\n"
        f"spec:\n  version: '1'\n  backend: {{url: 'https://b.example'}}\n  routes:\n{routes}"
    )


def test_many_apis_with_many_routes_are_compared_in_bounded_time(
    read: Callable[..., Catalog],
) -> None:
    written = {
        f"tenants/acme/apis/a{number}/api.yaml": hostile(
            number, lines(f"  - {{path: /apis/acme/a{number}/#}}\n", 1_000)
        )
        for number in range(20)
    }
    started = time.process_time()
    catalog = read(written)
    assert time.process_time() - started < 2 * SECONDS
    assert catalog.errors == ()
    assert "api/acme/a19" in map(str, catalog.desired["main"].resources)


@pytest.mark.parametrize("is_json", [False, True])
def test_findings_in_a_large_document_have_their_lines(is_json: bool) -> None:
    routes = "".join(f"  - path: /a{number}\n    methods: [GET]\n" for number in range(4_000))
    head = API.decode() + "  version: '1'\n  backend: {url: 'https://b.example'}\n  routes:\n"
    text = head + routes + "  - path: /last\n    metods: [GET]\n"
    if is_json:
        text = json.dumps(yaml.safe_load(text), indent=1)
    line = text.splitlines().index(next(line for line in text.splitlines() if "metods" in line)) + 1
    data = text.encode()
    located = [LocatedFinding("a.yaml", finding) for finding in parse(data).findings]
    (found,) = DiagnosticBuilder().build(OneFile(data), located)
    assert found.source.line == line > 8_000
    assert "metods" in found.excerpt
