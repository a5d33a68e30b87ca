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
from stoa_gitops.catalog.documents.parse import MAX_DOCUMENT_BYTES, is_openapi
from stoa_gitops.catalog.documents.yaml_fast import parse_anything
from stoa_gitops.catalog.documents.yaml_full import read_documents
from stoa_gitops.catalog.evaluation.openapi_links import find_broken_links
from stoa_gitops.catalog.evaluation.patterns import is_pattern
from stoa_gitops.catalog.findings import Finding, shown
from stoa_gitops.foundation.yaml.nodes import Pointer

_MOST: Final = 20
"""Most findings about one OpenAPI document; one mistake easily makes hundreds."""

_DIGITS: Final = 300
"""Most digits of an integer in JSON: a double has 309."""


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


def _read(data: bytes, sha256: str) -> Openapi:
    if len(data) > MAX_DOCUMENT_BYTES and not is_openapi(data):
        return Openapi(sha256, (_too_large(len(data)),))
    value: Any = _parse_json(data)
    if value is None:
        value = parse_anything(data)
    if not isinstance(value, dict):
        readings = read_documents(data, any_key=True)
        refused = next((reading.refused for reading in readings if reading.refused), None)
        if refused is not None:
            finding = Finding(
                refused.code,
                refused.message,
                hint=refused.hint,
                line=refused.line + 1,
                column=refused.column + 1,
            )
            return Openapi(sha256, (finding,))
        root = readings[0].root if len(readings) == 1 else None
        value = root.tree() if root is not None else None
    if not isinstance(value, dict):
        return Openapi(sha256, (_no_document(),))
    try:
        findings = tuple(_check(value))
    except (ValueError, RecursionError):
        # jsonschema-rs takes values into its own form and bounds how deep they nest.
        return Openapi(sha256, (_too_deep(),))
    if not findings:
        warnings = islice(find_broken_links(value), _MOST)
        findings = tuple(_placed(finding, data) for finding in warnings)
    return Openapi(sha256, findings)


def _parse_json(data: bytes) -> dict[str, Any] | None:
    """Return the mapping of a JSON document, None where it is none or says a key twice.

    JSON takes characters that YAML refuses (RFC 8259 §7: all but U+0000 to U+001F), and most large
    documents are JSON, which is read much faster than YAML.
    """
    if data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] != b"{":
        return None
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(
            text, object_pairs_hook=_once, parse_int=_integer, parse_constant=_refuse
        )
        if "\\ud" in text or "\\uD" in text:
            # Half a surrogate pair is no character: the parser of YAML says where it stands.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is written twice")
    return mapping


def _integer(text: str) -> int:
    # Python takes time that grows with the square of the digits.
    if len(text) > _DIGITS:
        raise ValueError("an integer that nobody can hold")
    return int(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"JSON has no {constant}")


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
    pattern = re.compile(rb"(?<![\w/-])" + re.escape(wanted.encode()) + rb"(?![\w/-])")
    places = [found.start() for found in islice(pattern.finditer(data), skip + 1)]
    if not places:
        return replace(finding, line=1)
    line = data.count(b"\n", 0, places[-1]) + 1
    start = data.rfind(b"\n", 0, places[-1]) + 1
    column = len(data[start : places[-1]].decode("utf-8", "replace")) + 1
    return replace(finding, line=line, column=column)


def _too_large(size: int) -> Finding:
    return Finding(
        "file.size",
        f"the file has {size} bytes and does not look like OpenAPI",
        hint=f"other files have {MAX_DOCUMENT_BYTES} bytes at most",
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
    version = value.get("openapi", value.get("swagger"))
    name = "openapi" if "openapi" in value else "swagger"
    if not isinstance(version, str):
        yield Finding(
            "openapi.version",
            "the document does not say its version as text",
            (name,) if name in value else (),
            'write `openapi: "3.1.0"`',
        )
        return
    folder = _folder(name, version)
    if folder is None:
        text = f"{shown(version)} is no version of OpenAPI that we know"
        yield Finding("openapi.version", text, (name,), "there are 2.0, 3.0, 3.1 and 3.2")
        return
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
