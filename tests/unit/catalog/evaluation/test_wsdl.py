"""WSDL documents beside APIs: what is accepted, and what is refused without being followed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.catalog.evaluation.wsdl import read_wsdl

WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" name="Stock"
    xmlns:xs="http://www.w3.org/2001/XMLSchema"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" targetNamespace="urn:stock">
  <types><xs:schema><xs:import namespace="urn:other"/></xs:schema></types>
  <portType name="Stock"><operation name="GetPrice"/></portType>
  <service name="Stock">
    <port name="Stock" binding="Stock"><soap:address location="https://stock.example"/></port>
  </service>
</definitions>
"""


def codes(text: str) -> list[str]:
    return [finding.code for finding in read_wsdl(text.encode()).findings]


def test_a_document_that_says_everything_itself_is_taken() -> None:
    read = read_wsdl(WSDL.encode())
    assert read.findings == ()
    assert read.sha256 == hashlib.sha256(WSDL.encode()).hexdigest()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_the_encoding_is_that_of_the_declaration(encoding: str) -> None:
    text = WSDL.replace('version="1.0"', f'version="1.0" encoding="{encoding}"')
    assert read_wsdl(text.replace("Stock", "Stöck").encode(encoding)).findings == ()


PORT = WSDL[WSDL.index("<port ") : WSDL.index("</port>") + 7]
BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "boom">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>\n'
)


@pytest.mark.parametrize(
    ("before", "after", "expected", "line"),
    [
        ('<?xml version="1.0"?>\n', BOMB, "wsdl.doctype", 2),
        (
            '<?xml version="1.0"?>\n',
            '<!DOCTYPE a SYSTEM "file:///etc/passwd">\n',
            "wsdl.doctype",
            1,
        ),
        ('http://schemas.xmlsoap.org/wsdl/"', 'urn:x"', "wsdl.version", 2),
        ('namespace="urn:other"', 'schemaLocation="http://10.0.0.1/x.xsd"', "wsdl.import", 5),
        ("<xs:import ", '<xs:include schemaLocation="other.xsd" ', "wsdl.import", 5),
        ("<types>", '<import location="other.wsdl" namespace="urn:a"/><types>', "wsdl.import", 5),
        ("</definitions>", "", "wsdl.syntax", 11),
        ("GetPrice", "&nobody;", "wsdl.syntax", 6),
        ('<operation name="GetPrice"/>', "", "wsdl.empty", 1),
        (
            PORT,
            "",
            "wsdl.empty",
            1,
        ),
    ],
)
def test_what_is_refused_and_where(before: str, after: str, expected: str, line: int) -> None:
    assert before in WSDL
    found = read_wsdl(WSDL.replace(before, after, 1).encode()).findings
    assert [finding.code for finding in found] == [expected]
    assert found[0].line == line
    assert found[0].is_error


def test_wsdl_2_and_what_is_no_wsdl_are_told_apart() -> None:
    two = '<description xmlns="http://www.w3.org/ns/wsdl"/>'
    assert "WSDL 2.0" in read_wsdl(two.encode()).findings[0].message
    assert '"html"' in read_wsdl(b"<html/>").findings[0].message


def test_size_and_depth_are_bounded() -> None:
    deep = "<a>" * 200 + "</a>" * 200
    assert codes(WSDL.replace("<types>", f"<types>{deep}")) == ["wsdl.depth"]
    assert codes(WSDL + " " * 5_000_000) == ["file.size"]


def test_a_document_of_many_imports_has_few_findings() -> None:
    many = '<import location="x.wsdl"/>' * 500
    assert codes(WSDL.replace("<types>", f"{many}<types>")) == ["wsdl.import"] * 20


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    read = read_wsdl(data)
    assert read.findings
    assert "internal" not in " ".join(finding.code for finding in read.findings)
