"""Shapes of files that parsers take long for: by name, what makes one of about so many bytes.

`OPENAPI` are those that lie beside an API as its OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Shape = Callable[[int], bytes]

API: Final = b"apiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata: {name: x}\nspec:\n"
_PATHS: Final = b"openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths:\n"
_SCHEMA: Final = (
    b"openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths: {}\n"
    b"components: {schemas: {a: {type: string, pattern: '"
)


def _filled(unit: bytes, head: bytes = b"", tail: bytes = b"") -> Shape:
    return lambda size: head + unit * max(1, (size - len(head) - len(tail)) // len(unit)) + tail


def _numbered(unit: bytes, head: bytes = b"", tail: bytes = b"") -> Shape:
    """Repeat a unit with a number of its own in place of each `%d`."""

    def make(size: int) -> bytes:
        longest = len(unit) + 4 * unit.count(b"%d")
        numbers = range(max(1, size // longest))
        return head + b"".join(unit.replace(b"%d", b"%d" % n) for n in numbers) + tail

    return make


def _stairs(unit: bytes, head: bytes = b"") -> Shape:
    """Indent each line one column further than the one before."""

    def make(size: int) -> bytes:
        depth = int((2 * size) ** 0.5)
        return head + b"".join(b" " * column + unit for column in range(depth))

    return make


def _paired(opener: bytes, closer: bytes, head: bytes = b"") -> Shape:
    def make(size: int) -> bytes:
        count = size // (len(opener) + len(closer))
        return head + opener * count + closer * count + b"\n"

    return make


DOCUMENTS: Final[dict[str, Shape]] = {
    "one word": _filled(b"x"),
    "a long value": _filled(b"a", b"x: ", b"\n"),
    "many words": _filled(b"a b ", b"x: ", b"\n"),
    "many colons": _filled(b"a:", b"", b"\n"),
    "mappings on a line": _filled(b"a: ", b"", b"\n"),
    "digits": _filled(b"9", API + b"  version: ", b"\n"),
    "digits and underscores": _filled(b"9_", API + b"  version: ", b"\n"),
    "a long float": _filled(b"9", API + b"  version: 1.", b"\n"),
    "many integers": _filled(b"- " + b"9" * 90 + b"\n"),
    "markers": _filled(b"---\n"),
    "documents without a kind": _filled(b"---\na: 1\n"),
    "valid documents": _numbered(
        b"---\napiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata: {name: a%d}\n"
        b"spec: {version: '1', backend: {url: 'http://h/'}}\n"
    ),
    "broken documents": _filled(b"---\na: [\n"),
    "documents with errors": _numbered(
        b"---\napiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata: {name: a%d}\nspec: {b: 1}\n"
    ),
    "directives": _filled(b"%YAML 1.2\n---\n"),
    "stairs of mappings": _stairs(b"a:\n"),
    "stairs of lists": _stairs(b"-\n"),
    "dashes": _filled(b"- ", b"", b"a\n"),
    "question marks": _filled(b"? ", b"", b"a\n"),
    "nested lists": _paired(b"[", b"]"),
    "nested mappings": _paired(b"{a: ", b"}"),
    "open brackets": _filled(b"["),
    "open brackets on lines": _filled(b"[\n"),
    "a wide list in brackets": _filled(b"1,", b"a: [", b"1]\n"),
    "a wide mapping in brackets": _numbered(b"k%d: 1, ", b"a: {", b"z: 1}\n"),
    "a wide list": _filled(b"- a\n"),
    "wide routes": _filled(b"  - {path: /a}\n", API + b"  routes:\n"),
    "a wide mapping": _numbered(b"k%d: 1\n"),
    "one key again and again": _filled(b"k: 1\n"),
    "a long key": _filled(b"k", b"", b": 1\n"),
    "long keys": _numbered(b"k" * 1_000 + b"%d: 1\n"),
    "unknown fields": _numbered(b"  k%d: 1\n", API),
    "anchors": _numbered(b"k%d: &a%d 1\n"),
    "aliases": _filled(b"- *a\n", b"a: &a 1\nb:\n"),
    "aliases of a long text": _filled(b"- *a\n", b"a: &a '" + b"x" * 30_000 + b"'\nb:\n"),
    "merges": _numbered(b"b%d: {<<: *a}\n", b"a: &a {x: 1}\n"),
    "comments": _filled(b"# c\n", b"", b"a: 1\n"),
    "comments between": _numbered(b"k%d: 1 # c\n# d\n"),
    "empty lines": _filled(b"\n", b"a: 1\n"),
    "blanks": _filled(b" ", b"a: 1\n", b"\n"),
    "tabs": _filled(b"a:\t1\n"),
    "Windows line ends": _numbered(b"k%d: 1\r\n"),
    "old line ends": _numbered(b"k%d: 1\r"),
    "Latin-1": _filled(b"\xe9", b"a: ", b"\n"),
    "UTF-16": _filled("k: 1\n".encode("utf-16-le"), b"\xff\xfe"),
    "byte order marks": _filled("\ufeff".encode(), b"", b"a: 1\n"),
    "NUL": _filled(b"\0"),
    "controls": _filled(b"a: \x01\n"),
    "an open quote": _filled(b"x", b"a: '"),
    "doubled quotes": _filled(b"''", b"a: '", b"'\n"),
    "quoted lines": _filled(b"x\n", b"a: '", b"'\n"),
    "escapes": _filled(b"\\x41", b'a: "', b'"\n'),
    "folded lines": _filled(b"  x\n   y\n", b"a: >\n"),
    "block texts": _numbered(b"k%d: |\n  x\n"),
    "equal signs": _filled(b"=", b"a: ", b"\n"),
    "underscores": _filled(b"1_ ", b"a: ", b"\n"),
    "JSON on a line": _filled(b'{"b":1},', b'{"a":[', b"1]}"),
    "JSON on lines": _filled(b'  {"b": 1},\n', b'{\n "a": [\n', b"  1\n ]\n}\n"),
    "JSON without an end": _filled(b'{"b":1},', b'{"a":['),
    "variables": _filled(b"${A:-b}", API + b"  version: '", b"'\n"),
    "tokens": _filled(b"eyJ.", b"password: ", b"\n"),
    "a merge": _filled(b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> b\n"),
    "a template": _filled(b"{{ a }}\n"),
}

OPENAPI: Final[dict[str, Shape]] = {
    "paths": _numbered(b"  /p%d: {get: {responses: {'200': {description: d}}}}\n", _PATHS),
    "references": _numbered(b"  /p%d: {$ref: '#/x/y%d'}\n", _PATHS),
    "one operation": _numbered(
        b"  /p%d: {get: {operationId: a, responses: {'200': {description: d}}}}\n", _PATHS
    ),
    "no paths": _numbered(b"  p%d: {get: 1}\n", _PATHS),
    "a broken end": _numbered(b"  /p%d: {get: {responses: {}}}\n", _PATHS, b"x: [\n"),
    "a pattern that backtracks": _filled(b"(a+)+", _SCHEMA, b"$'}}}\n"),
    "a pattern of classes": _filled(b"[]a", _SCHEMA, b"'}}}\n"),
    "a pattern of brackets": _filled(b"[", _SCHEMA, b"'}}}\n"),
    "patterns": _numbered(
        b"  s%d: {type: string, pattern: '(a+)+$'}\n",
        b"openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths: {}\ncomponents:\n schemas:\n",
    ),
    "nested lists": _paired(b"[", b"]", _PATHS[:-1] + b" {}\nx-a: "),
    "stairs": _stairs(b" a:\n", _PATHS[:-1] + b" {}\nx-a:\n"),
    "nested lists in JSON": _paired(b"[", b"]", b'{"openapi": "3.0.0", "x": '),
    "long aliases": _filled(
        b" - *a\n", b"openapi: 3.0.0\nx-a: &a '" + b"x" * 30_000 + b"'\nx-b:\n"
    ),
    "keys that are lists": _numbered(b"? [a%d]\n: 1\n", b"openapi: 3.0.0\n"),
    "a merge": _filled(b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> b\n", b"openapi: 3.0.0\n"),
}
