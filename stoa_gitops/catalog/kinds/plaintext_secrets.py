"""Secrets that were written as values, where the schema cannot see them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_errors import policies_of
from stoa_gitops.catalog.findings import TOKEN, Finding, may_hold_token
from stoa_gitops.foundation.yaml.nodes import Pointer

_HEADERS: Final = re.compile(
    r"(?i)^(authorization|proxy-authorization|cookie|x-api-key|api-key|apikey|x-auth-token|"
    r"x-access-token|private-token)$"
)
_VARIABLES: Final = re.compile(r"(?i)(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY)$")
_REFERENCE: Final = "write a reference such as `{env: NAME}` where a field ends in Ref"


def find_plain_secrets(
    value: Mapping[str, Any], kind: str, document: int, *, raw: bytes | None = None
) -> list[Finding]:
    """Return a finding for each text that is a secret by its look or by its place; never its value.

    `raw` is the value as JSON where it is at hand: most documents can be told from it at once.
    """
    if raw is not None and not may_hold_token(raw):
        found = []
    else:
        found = [_looks_like(at, document) for at in _tokens(value, ())]
    has_headers = raw is None or b'"headers"' in raw
    if has_headers and kind in ("API", "Policy", "Tenant"):
        found.extend(_in_headers(value, kind, document))
    if kind == "Environment":
        found.extend(_in_variables(value, document))
    return found


def _looks_like(at: Pointer, document: int) -> Finding:
    text = "this looks like a secret written as a value"
    return Finding("secret.value", text, at, _REFERENCE, document=document)


def _tokens(value: Any, at: Pointer) -> Iterator[Pointer]:
    if isinstance(value, str):
        if len(value) > 14 and TOKEN.search(value):
            yield at
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tokens(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _tokens(item, (*at, index))


def _in_headers(value: Mapping[str, Any], kind: str, document: int) -> Iterator[Finding]:
    for at, policy_type, config in policies_of(value, kind):
        if policy_type != "headers":
            continue
        request = config.get("request")
        for edit in ("set", "add"):
            headers = request.get(edit) if isinstance(request, Mapping) else None
            for name, text in headers.items() if isinstance(headers, Mapping) else ():
                if _HEADERS.match(name) and text:
                    yield Finding(
                        "secret.value",
                        f"the header {name} carries a secret written as a value",
                        (*at, "request", edit, name),
                        "let `backend.auth` with a valueRef add it",
                        document=document,
                    )


def _in_variables(value: Mapping[str, Any], document: int) -> Iterator[Finding]:
    spec = value.get("spec")
    variables = spec.get("variables") if isinstance(spec, Mapping) else None
    for name, text in variables.items() if isinstance(variables, Mapping) else ():
        if _VARIABLES.search(name) and isinstance(text, str) and text:
            yield Finding(
                "secret.value",
                f"{name} is a secret written as a value",
                ("spec", "variables", name),
                "remove it, and write a reference such as `{env: NAME}` where it is used",
                document=document,
            )
