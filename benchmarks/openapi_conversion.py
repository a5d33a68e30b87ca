"""OpenAPI 3.1 as 3.0.3: CPU for a document of 1 MB, and for hostile ones of 5 MB.

Peer: parsing the same text, and validating it against the meta-schema of OpenAPI 3.1; a conversion
that costs less than reading its document is not felt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from stoa_gitops.adapter_sdk.openapi.conversion import convert
from stoa_gitops.adapter_sdk.openapi.errors import ConversionRefused
from stoa_gitops.catalog.evaluation.openapi import read_openapi

MEGABYTE = 1_000_000
HEAD = {"openapi": "3.1.0", "info": {"title": "Benchmark", "version": "1"}}


def plain(number: int) -> dict[str, Any]:
    """Return a schema as generators write it, with about one loss in ten."""
    following = {"$ref": f"#/components/schemas/S{number + 1}"}
    return {
        "type": "object",
        "description": "One of many, with a sentence about it as real documents have it.",
        "properties": {
            "id": {"type": ["string", "null"], "examples": ["a"]},
            "size": {"type": "integer", "exclusiveMinimum": 0},
            "kind": {"const": f"kind-{number}"},
            "next": {"anyOf": [following, {"type": "null"}]},
            "parts": {"type": "array", "items": {**following, "description": "A part"}},
        },
        "required": ["id"],
        **({"propertyNames": {"maxLength": 9}} if number % 10 == 0 else {}),
    }


HOSTILE: dict[str, Callable[[int], Any]] = {
    "references into one schema": lambda n: {"$ref": f"#/components/schemas/S0/$defs/d{n % 99}"},
    "negations of losses": lambda n: {"oneOf": [{"not": {"propertyNames": {"const": n}}}] * 9},
    "a chain of references": lambda n: {"not": {"$ref": f"#/components/schemas/S{n + 1}"}},
    "conditions in conditions": lambda n: {"if": {"if": {"if": {"const": n}, "then": {}, "else": {
        "const": 1}}, "then": False, "else": True}, "then": False, "else": {"const": 2}},
    "anchors": lambda n: {"$anchor": f"a{n}", "items": {"$ref": f"#a{n - 1}"}},
    "positions": lambda n: {"prefixItems": [{"const": i} for i in range(n % 200)]},
    "long pointers": lambda n: {"$ref": "#" + "/a" * 2_000},
}  # fmt: skip


def document_of(schema: Callable[[int], Any], size: int) -> bytes:
    """Return a document with as many of these schemas as make about a size in bytes."""
    schemas: dict[str, Any] = {"S0": {"$defs": {f"d{n}": {"const": n} for n in range(99)}}}
    written, number = 0, 0
    while written < size:
        number += 1
        schemas[f"S{number}"] = schema(number)
        written += len(json.dumps(schemas[f"S{number}"])) + 10
    schemas[f"S{number + 1}"] = {"propertyNames": {"maxLength": 1}}
    return json.dumps({**HEAD, "paths": {}, "components": {"schemas": schemas}}).encode()


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU of one call, the least of three."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def converted(data: bytes) -> tuple[float, str]:
    """Return the CPU of a conversion, and what became of the document."""
    document = json.loads(data)
    try:
        outcome = f"{len(convert(document).losses):,} losses"
    except ConversionRefused as error:
        outcome = f"refused: {error}"
        return 0.0, outcome
    return seconds(lambda: convert(document)), outcome


def main() -> None:
    data = document_of(plain, MEGABYTE)
    spent, outcome = converted(data)
    reading = seconds(lambda: json.loads(data))
    validating = seconds(lambda: read_openapi(data))
    print(f"{len(data) / MEGABYTE:.1f} MB: {spent:.2f} s CPU, {outcome}  [to reach: 0.5 s]")
    print(f"  peers: parsing {reading:.2f} s, validating {validating:.2f} s")
    for name, shape in HOSTILE.items():
        small, large = document_of(shape, MEGABYTE), document_of(shape, 5 * MEGABYTE)
        (less, _), (more, outcome) = converted(small), converted(large)
        print(
            f"  5 MB, {name}: {more:.2f} s ({more / less if less else 0:.1f} times 1 MB), {outcome}"
        )


if __name__ == "__main__":
    main()
