"""The form in which documents are written."""

from __future__ import annotations

import pytest

from stoa_gitops.catalog.formatting.formatter import format_file, is_document

BEFORE = """# Orders of Acme
kind: API   # what it is
metadata: {labels: {team: a}, name: 'orders'}
apiVersion:   gostoa.dev/v1alpha1


spec:
    routes:
    - methods: [GET,POST]
      # where it listens
      path: /x
    "version": '1.0'
    description: |
        One
          Two

    zzz: 1
    # below everything
    policies:
      - config: {window: 1m, requests: 5}
        type: rate_limit
# end
"""
AFTER = """# Orders of Acme
apiVersion: gostoa.dev/v1alpha1
kind: API  # what it is
metadata: {name: "orders", labels: {team: a}}

spec:
  version: "1.0"
  description: |
    One
      Two
  routes:
    # where it listens
    - path: /x
      methods: [GET, POST]
  # below everything
  policies:
    - type: rate_limit
      config: {requests: 5, window: 1m}

  zzz: 1
# end
"""


def test_a_document_is_written_in_the_order_of_its_schema() -> None:
    assert format_file(BEFORE.encode()).data.decode() == AFTER


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:   1\n", "a: 1\n"),
        ("a: 1", "a: 1\n"),
        ("\n\na: 1\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"),
        ("a: 1 # x\n", "a: 1  # x\n"),
        ("a:\n- 1\n-   2\n", "a:\n  - 1\n  - 2\n"),
        ("a:\n   b:\n     c: 1\n", "a:\n  b:\n    c: 1\n"),
        ("a: { b: 1,c: [ 1,2 ] }\n", "a: {b: 1, c: [1, 2]}\n"),
        ("a: {b: 1, # x\n    c: 2}\n", "a: {b: 1, # x\n    c: 2}\n"),
        ("'a': 'b'\n\"on\": 'it''s'\n", 'a: "b"\n"on": "it\'s"\n'),
        ("a: 'b\"c'\nd: 'e\\f'\n", "a: 'b\"c'\nd: 'e\\f'\n"),
        ("spec: 1\nkind: Tenant\n", "kind: Tenant\nspec: 1\n"),
        ("spec: &x {a: 1}\nmetadata: *x\n", "spec: &x {a: 1}\nmetadata: *x\n"),
        ("---\nspec: 1\nkind: X\n---\nb: 1\n", "---\nkind: X\nspec: 1\n---\nb: 1\n"),
        ("a: |2\n   x\n  y\n", "a: |2\n   x\n  y\n"),
        ("a:\n    b: |4\n          x\n", "a:\n  b: |2\n      x\n"),
        ("a: >+\n   x\n\nb: 1\n", "a: >+\n  x\n\nb: 1\n"),
        ("a: x\n      y\n", "a: x\n  y\n"),
        ("- - a\n  - b\n", "- - a\n  - b\n"),
        ("-   a: 1\n    b: 2\n", "- a: 1\n  b: 2\n"),
        ("a: # x\n  b: 1\n", "a:  # x\n  b: 1\n"),
        ("a: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
        ("\ufeffa: 1\n", "a: 1\n"),
        ("a: 1\n  # deep\nb: 2\n", "a: 1\n# deep\nb: 2\n"),
        ("-\n  # c\n  - - a\n  - b\n", "# c\n- - - a\n  - b\n"),
        ("a:\n -\n  # c\n  - b: 1\n", "a:\n  # c\n  - - b: 1\n"),
        ("a:\n  b: 1\n  # of a\n# of b\nc: 1\n", "a:\n  b: 1\n  # of a\n# of b\nc: 1\n"),
    ],
)
def test_layout(before: str, after: str) -> None:
    formatted = format_file(before.encode())
    assert (formatted.data.decode(), formatted.reason) == (after, "")


@pytest.mark.parametrize(
    "text", ["? a\n: b\n", "%YAML 1.2\n---\na: 1\n", "a: 1\n...\n", "--- {a: 1}\n", "a: 1\x85\n"]
)
def test_what_is_not_known_is_left_with_a_reason(text: str) -> None:
    formatted = format_file(text.encode())
    assert formatted.data == text.encode()
    assert formatted.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apiVersion: gostoa.dev/v1alpha1\n", True),
        ("---\n'apiVersion' : \"gostoa.dev/v1alpha1\"\n", True),
        ('{"kind": "API", "apiVersion": "gostoa.dev/v1alpha1"}\n', True),
        ("apiVersion: gostoa.dev/v1alpha1\nspec: [\n", True),
        ("openapi: 3.1.0\ninfo: {title: gostoa.dev/}\n", False),
        ("apiVersion: v1\nkind: Secret\n", False),
        ("spec:\n  apiVersion: gostoa.dev/v1alpha1\n", False),
    ],
)
def test_a_document_of_a_catalog_is_known_by_its_version(text: str, expected: bool) -> None:
    assert is_document(text.encode()) is expected


HOSTILE = {
    "blanks": "a: 1\nb" + " " * 900_000 + "c: 2\n",
    "blanks before a comment": "a: x" + " " * 900_000 + "# c\n",
    "a long key": "k" * 900_000 + ": 1\n",
    "a quote over many lines": 'a: "' + "x\n  " * 200_000 + '"\n',
    "a flow over many lines": "a: [" + "x,\n  " * 100_000 + "y]\n",
    "json": "{\n" + "".join(f'  "k{n}": [{n}],\n' for n in range(40_000)) + '  "z": 1\n}\n',
    "deep": "a: " + "[" * 5_000 + "]" * 5_000 + "\n",
    "dashes": "- " * 5_000 + "a\n",
    "hashes": "a: b" + "#" * 900_000 + "\n",
    "many keys": "".join(f"k{n}: v  # c\n" for n in range(30_000)),
}
"""Documents that take for ever where a rule goes over them again and again."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_takes_time_by_its_length(name: str) -> None:
    data = HOSTILE[name].encode()
    formatted = format_file(data)
    if formatted.finding or formatted.reason:
        assert formatted.data == data
