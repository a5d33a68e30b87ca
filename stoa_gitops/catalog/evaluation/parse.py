"""Parses one document in one environment: from its overlaid value to its definition."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.evaluation.context import DocumentContext, intern_part
from stoa_gitops.catalog.evaluation.definitions import EvaluatedDocument
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.evaluation.overlay import OverlaidDocument
from stoa_gitops.catalog.evaluation.plaintext_secrets import find_plain_secrets
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.model.canonical import SECRET_MARK

_MAY_REFER: Final = b'Ref":'
"""How fields with references end, in the JSON of a document; most documents have none."""


def parse_document(
    kind: DocumentKind, overlaid: OverlaidDocument, context: DocumentContext
) -> EvaluatedDocument:
    """Return the definition of a document; None as soon as one finding is an error."""
    if overlaid.value is None:
        return EvaluatedDocument(None, overlaid.findings, overlaid.origins, overlaid.named)
    context.findings.extend(overlaid.findings)
    context.findings.extend(find_secrets(kind, overlaid.value, context, raw=overlaid.raw))
    definition = None
    try:
        value = context.schemas.normaliser(kind.name)(overlaid.value)
        most = _most_references(overlaid.raw)
        if most:
            context.note_secrets(value, most=most)
        definition = kind.parse(value, context) if kind.parse is not None else None
    except ValueError as error:
        context.report_error("schema.value", str(error), ("spec",))
    is_broken = context.is_broken or any(finding.is_error for finding in context.findings)
    return EvaluatedDocument(
        None if is_broken else definition,
        tuple(context.findings),
        overlaid.origins,
        overlaid.named,
        intern_part(tuple(context.secrets)) if context.secrets else (),
    )


def _most_references(raw: bytes | None) -> int:
    """Return how many references a document has at most: one for each field of such a name.

    `raw` is its JSON; None where that is not known.
    """
    if raw is None:
        return sys.maxsize
    fields = raw.count(_MAY_REFER)
    # Free values may hold what looks like a canonical reference, and is resolved as one.
    return sys.maxsize if fields and SECRET_MARK in raw else fields


def find_secrets(
    kind: DocumentKind,
    value: Mapping[str, Any],
    context: DocumentContext,
    *,
    raw: bytes | None = None,
) -> Iterator[Finding]:
    """Yield secrets that were written as values; the document need not be valid."""
    yield from find_plain_secrets(value, kind.name, context, raw=raw)
    if kind.find_secrets is not None:
        yield from kind.find_secrets(value, context.document)
