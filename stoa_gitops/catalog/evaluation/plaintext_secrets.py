"""Finds secrets that were written as values in fields that take any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_errors import policies_of
from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.findings import Finding, has_token, may_hold_token
from stoa_gitops.foundation.yaml.nodes import Pointer

_HEADERS: Final = re.compile(
    r"(?i)^(authorization|proxy-authorization|cookie|x-api-key|api-key|apikey|x-auth-token|"
    r"x-access-token|private-token)$"
)
_REFERENCE: Final = "write a reference such as `{env: NAME}` where a field ends in Ref"


def names_credential(header: str) -> bool:
    """Whether a header is known to carry a credential."""
    return _HEADERS.match(header) is not None


def find_plain_secrets(
    value: Mapping[str, Any], kind: str, context: DocumentContext, *, raw: bytes | None = None
) -> list[Finding]:
    """Return a finding for each text that is a secret by its form or by its place.

    The value itself is never part of a finding. `raw` is the document as JSON where it is at hand:
    most documents hold nothing that looks like a secret, and a search in the bytes proves it.
    """
    if raw is not None and not may_hold_token(raw):
        found = []
    else:
        found = [_looks_like(at, context.document) for at in _tokens(value, ())]
    # Only a policy of type `headers` can set a credential in plain text.
    if raw is None or b'"headers"' in raw:
        found.extend(_in_headers(value, kind, context))
    return found


def _looks_like(at: Pointer, document: int) -> Finding:
    text = "this looks like a secret written as a value"
    return Finding("secret.value", text, at, _REFERENCE, document=document)


def _tokens(value: Any, at: Pointer) -> Iterator[Pointer]:
    if isinstance(value, str):
        # The shortest token (`xoxb-` and ten characters) has 15.
        if len(value) > 14 and has_token(value):
            yield at
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tokens(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _tokens(item, (*at, index))


def _in_headers(value: Mapping[str, Any], kind: str, context: DocumentContext) -> Iterator[Finding]:
    """Find credentials in the request headers that a `headers` policy sets."""
    for at, policy_type, config in policies_of(value, kind, context.schemas):
        if policy_type != "headers":
            continue
        request = config.get("request")
        for edit in ("set", "add"):
            headers = request.get(edit) if isinstance(request, Mapping) else None
            for name, text in headers.items() if isinstance(headers, Mapping) else ():
                if names_credential(name) and text:
                    yield Finding(
                        "secret.value",
                        f"the header {name} carries a secret written as a value",
                        (*at, "request", edit, name),
                        "let `backend.auth` with a valueRef add it",
                        document=context.document,
                    )
