"""Validates OpenAPI documents beside APIs and hashes them.

The meta-schemas are those of openapi-spec-validator (2.0, 3.0, 3.1, 3.2), read as files: its code
takes long to import and is not run. The fast parser reads a document, the full one where it
refuses.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.documents.file_parser import as_finding
from stoa_gitops.catalog.documents.json_strict import parse_json
from stoa_gitops.catalog.documents.large_documents import explain_large_openapi
from stoa_gitops.catalog.documents.not_yaml import find_foreign, find_template
from stoa_gitops.catalog.documents.parse import MAX_FILE_BYTES, is_openapi
from stoa_gitops.catalog.documents.yaml_bounds import Allowance
from stoa_gitops.catalog.documents.yaml_fast import has_fast_parser, parse_anything
from stoa_gitops.catalog.documents.yaml_full import read_documents
from stoa_gitops.catalog.evaluation.openapi_links import find_broken_links
from stoa_gitops.catalog.evaluation.patterns import is_pattern
from stoa_gitops.catalog.findings import Finding, shown
from stoa_gitops.foundation.yaml.composer import Refused
from stoa_gitops.foundation.yaml.nodes import Pointer

_MOST: Final = 20
"""Most findings about one OpenAPI document; one mistake easily makes hundreds."""


_WORD: Final = re.compile(rb"[\w/-]")


@dataclass(frozen=True, slots=True)
class Openapi:
    """One OpenAPI document: SHA-256 of its bytes in hex, and its findings."""

    sha256: str
    findings: tuple[Finding, ...] = ()


def read_openapi(data: bytes) -> Openapi:
    """Validate an OpenAPI document, YAML or JSON; an exception becomes a finding about it."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return _read(data, sha256)
    except BaseException as error:  # noqa: BLE001 - one document must not end everybody's reading
        return Openapi(sha256, (internal_finding(error, line=1),))


def parse_openapi(data: bytes) -> dict[str, Any] | Finding:
    """Return the mapping of an OpenAPI document, YAML or JSON, or why there is none.

    Nothing but its version is looked at: what else is wrong with it, `read_openapi` finds.
    """
    if len(data) > MAX_FILE_BYTES and not is_openapi(data):
        return _too_large(len(data))
    foreign = find_foreign(data)
    if foreign is not None:
        return as_finding(foreign)
    value: Any = parse_json(data)
    if value is None:
        value = parse_anything(data)
    if value is None:
        value, refused = _parse_slowly(data)
        if refused is not None:
            return as_finding(find_template(data) or refused)
    return value if isinstance(value, dict) else _no_document()


def find_version(value: dict[str, Any]) -> Finding | None:
    """Return what is wrong with the version that a document says, None for one that we know."""
    version = value.get("openapi", value.get("swagger"))
    name = "openapi" if "openapi" in value else "swagger"
    if not isinstance(version, str):
        return Finding(
            "openapi.version",
            "the document does not say its version as text",
            (name,) if name in value else (),
            'write `openapi: "3.1.0"`',
        )
    if _folder(name, version) is None:
        text = f"{shown(version)} is no version of OpenAPI that we know"
        return Finding("openapi.version", text, (name,), "there are 2.0, 3.0, 3.1 and 3.2")
    return None


def _read(data: bytes, sha256: str) -> Openapi:
    value = parse_openapi(data)
    if isinstance(value, Finding):
        return Openapi(sha256, (value,))
    try:
        findings = tuple(_check(value))
    except (ValueError, RecursionError):
        # jsonschema-rs takes values into its own form and bounds how deep they nest.
        return Openapi(sha256, (_too_deep(),))
    if not findings:
        warnings = islice(find_broken_links(value), _MOST)
        findings = tuple(_placed(finding, data) for finding in warnings)
    return Openapi(sha256, findings)


def _parse_slowly(data: bytes) -> tuple[Any, Refused | None]:
    """Return the value of a file that the fast parser did not read, or why it cannot be read."""
    if not Allowance(has_fast_parser=has_fast_parser()).take(data):
        return None, explain_large_openapi(data)
    readings = read_documents(data, any_key=True)
    refused = next((reading.refused for reading in readings if reading.refused), None)
    root = readings[0].root if len(readings) == 1 else None
    return (root.tree() if root is not None else None), refused


def _placed(finding: Finding, data: bytes) -> Finding:
    """Give a warning the line of its text: a large document is not parsed again for a warning."""
    last = str(finding.pointer[-1])
    if finding.code == "openapi.ref":
        text, skip = re.search(r'"(.*)"', finding.message), 0
        wanted = text[1] if text else ""
    elif last == "operationId":
        text, skip = re.search(r'"(.*)"', finding.message), 1
        wanted = text[1] if text else ""
    else:
        wanted, skip = str(finding.pointer[1]), 0
    places = list(islice(_places(data, wanted.encode()), skip + 1))
    if not places:
        return replace(finding, line=1)
    line = data.count(b"\n", 0, places[-1]) + 1
    start = data.rfind(b"\n", 0, places[-1]) + 1
    column = len(data[start : places[-1]].decode("utf-8", "replace")) + 1
    return replace(finding, line=line, column=column)


def _places(data: bytes, wanted: bytes) -> Iterator[int]:
    """Yield where a text stands by itself; by `find`, for a document may have 20 MB."""
    at = data.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        if not (_WORD.match(data[at - 1 : at]) or _WORD.match(data[end : end + 1])):
            yield at
        at = data.find(wanted, end)


def _too_large(size: int) -> Finding:
    return Finding(
        "file.size",
        f"the file has {size} bytes and does not look like OpenAPI",
        hint=f"other files have {MAX_FILE_BYTES} bytes at most",
        line=1,
    )


def _too_deep() -> Finding:
    return Finding("yaml.depth", "nested too deeply", hint="no OpenAPI document needs that", line=1)


def _no_document() -> Finding:
    return Finding(
        "openapi.version",
        "this is not one OpenAPI document",
        (),
        "write one mapping with `openapi:`",
    )


def _check(value: dict[str, Any]) -> Iterator[Finding]:
    wrong = find_version(value)
    if wrong is not None:
        yield wrong
        return
    name = "openapi" if "openapi" in value else "swagger"
    folder = _folder(name, value[name])
    assert folder is not None
    # The first errors are enough to fix a document; one wrong indent makes hundreds.
    for count, finding in enumerate(_errors(folder, value)):
        if count == _MOST:
            return
        yield finding


def _folder(name: str, version: str) -> str | None:
    parts = version.split(".")
    short = ".".join(parts[:2])
    if name == "swagger":
        return "v2.0" if version == "2.0" else None
    return f"v{short}" if short in ("3.0", "3.1", "3.2") and len(parts) <= 3 else None


@cache
def _meta_schema(folder: str) -> dict[str, Any]:
    found = find_spec("openapi_spec_validator")
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise AssertionError("openapi-spec-validator is a dependency of this package")
    path = Path(places[0]) / "resources" / "schemas" / folder / "schema.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@cache
def _error_finder(folder: str) -> Callable[[Any], Any]:
    """Return a function that yields errors: jsonschema-rs, or jsonschema without its wheel."""
    meta = _meta_schema(folder)
    try:
        import jsonschema_rs
    except ImportError:
        from jsonschema.validators import validator_for

        return validator_for(meta)(meta).iter_errors  # type: ignore[no-any-return]
    # `pattern` is of format "regex", for which jsonschema-rs has the engine of another language.
    validator: Any = jsonschema_rs.validator_for(meta, formats={"regex": is_pattern})
    # is_valid is many times as fast as iter_errors, and nearly every document is valid.
    return lambda value: () if validator.is_valid(value) else validator.iter_errors(value)


def _errors(folder: str, value: dict[str, Any]) -> Iterator[Finding]:
    for error in _error_finder(folder)(value):
        path = getattr(error, "instance_path", None)
        at: Pointer = tuple(path if path is not None else error.absolute_path)
        where = ".".join(str(part) for part in at) or "the document"
        message = str(error.message).splitlines()[0]
        # Some messages repeat the whole value; the position says enough then.
        text = message if len(message) <= 120 else f"{where} is not what OpenAPI has there"
        yield Finding("openapi.schema", f"{where}: {text}" if text is message else text, at)
