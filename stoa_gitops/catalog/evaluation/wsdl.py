"""Validates WSDL documents beside APIs and hashes them.

Read by expat as a stream, so nothing of it is kept: no document type, no entities and nothing that
lies elsewhere. Whoever imports such a document would fetch what it names from where the gateway
stands, so a document says everything itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.documents.parse import MAX_FILE_BYTES
from stoa_gitops.catalog.findings import Finding, shown

_WSDL: Final = "http://schemas.xmlsoap.org/wsdl/"
"""Namespace of WSDL 1.1 (https://www.w3.org/TR/wsdl, appendix A.4)."""

_WSDL_2: Final = "http://www.w3.org/ns/wsdl"
_SCHEMA: Final = "http://www.w3.org/2001/XMLSchema"
_ELSEWHERE: Final = {
    f"{_WSDL} import": "location",
    f"{_SCHEMA} import": "schemaLocation",
    f"{_SCHEMA} include": "schemaLocation",
    f"{_SCHEMA} redefine": "schemaLocation",
}
"""Elements that name another document, and the attribute that says where it lies.

A schema may import a namespace without a place; an import of WSDL always has one.
"""

_DEEPEST: Final = 100
"""Elements inside each other; schemas of real services have some 20."""

_MOST: Final = 20
"""Most findings about one document."""


@dataclass(frozen=True, slots=True)
class Wsdl:
    """One WSDL document: SHA-256 of its bytes in hex, and its findings."""

    sha256: str
    findings: tuple[Finding, ...] = ()


class _Stop(Exception):
    """Enough is known; what is wrong stands in the findings."""


@dataclass(slots=True)
class _Reading:
    """What was found so far."""

    parser: expat.XMLParserType
    findings: list[Finding] = field(default_factory=list)
    operations: int = 0
    is_service: bool = False
    path: list[str] = field(default_factory=list)

    def report(self, code: str, message: str, hint: str = "") -> None:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        self.findings.append(Finding(code, message, (), hint, line=line, column=column))

    def doctype(self, *_: object) -> None:
        self.report(
            "wsdl.doctype", "the document has a document type", "remove the line <!DOCTYPE …>"
        )
        raise _Stop

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if not self.path:
            self._check_root(name)
        self.path.append(name)
        if len(self.path) > _DEEPEST:
            self.report("wsdl.depth", "nested too deeply", "no WSDL document needs that")
            raise _Stop
        place = attributes.get(_ELSEWHERE.get(name, ""))
        if place is not None:
            self.report(
                "wsdl.import",
                f"it names another document, {shown(place)}, which is never fetched",
                "put the types of that document into this one",
            )
            if len(self.findings) >= _MOST:
                raise _Stop
        above = self.path[-2] if len(self.path) > 1 else ""
        self.operations += (above, name) == (f"{_WSDL} portType", f"{_WSDL} operation")
        self.is_service |= (above, name) == (f"{_WSDL} service", f"{_WSDL} port")

    def _check_root(self, name: str) -> None:
        if name == f"{_WSDL} definitions":
            return
        if name == f"{_WSDL_2} description":
            self.report("wsdl.version", "this is WSDL 2.0", "write it as WSDL 1.1: <definitions>")
        else:
            tag = name.rpartition(" ")[2]
            self.report(
                "wsdl.version",
                f"this is no WSDL document: its root is {shown(tag)}",
                f'WSDL 1.1 begins with <definitions xmlns="{_WSDL}">',
            )
        raise _Stop

    def end(self, _: str) -> None:
        self.path.pop()


def read_wsdl(data: bytes) -> Wsdl:
    """Validate a WSDL 1.1 document; an exception becomes a finding about it."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return Wsdl(sha256, tuple(_find(data)))
    except BaseException as error:  # noqa: BLE001 - one document must not end everybody's reading
        return Wsdl(sha256, (internal_finding(error, line=1),))


def _find(data: bytes) -> Iterator[Finding]:
    if len(data) > MAX_FILE_BYTES:
        text = f"the file has {len(data)} bytes; a WSDL document has {MAX_FILE_BYTES} at most"
        yield Finding("file.size", text, line=1)
        return
    # The separator is a character that no name and no namespace has.
    parser = expat.ParserCreate(namespace_separator=" ")
    reading = _Reading(parser)
    parser.StartDoctypeDeclHandler = reading.doctype
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    try:
        parser.Parse(data, True)
    except _Stop:
        yield from reading.findings
        return
    except expat.ExpatError as error:
        yield from reading.findings
        yield Finding(
            "wsdl.syntax",
            f"this is no XML: {expat.errors.messages[error.code]}",
            line=error.lineno,
            column=error.offset + 1,
        )
        return
    yield from reading.findings
    if not reading.operations or not reading.is_service:
        lacking = "an operation of a portType" if not reading.operations else "a port of a service"
        yield Finding("wsdl.empty", f"the document does not have {lacking}", line=1)
