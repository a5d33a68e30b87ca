"""Environment documents: the variables and patches of one environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.evaluation.overlay import Overlay, parse_overlay
from stoa_gitops.catalog.findings import Finding

# Only names that end so: TOKEN_URL and SECRETARY are no secrets.
_SECRET_NAMES: Final = re.compile(r"(?i)(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY)$")


def parse_environment(value: dict[str, Any], context: DocumentContext) -> Overlay:
    """Return the overlay that a valid Environment document describes."""
    return parse_overlay(context.key.name, context.source.path, context.document, value)


def find_secret_variables(value: Mapping[str, Any], document: int) -> Iterator[Finding]:
    """Yield variables that are secrets by their names: values stand in Git for everyone to read."""
    spec = value.get("spec")
    variables = spec.get("variables") if isinstance(spec, Mapping) else None
    for name, text in variables.items() if isinstance(variables, Mapping) else ():
        if _SECRET_NAMES.search(name) and isinstance(text, str) and text:
            yield Finding(
                "secret.value",
                f"{name} is a secret written as a value",
                ("spec", "variables", name),
                "remove it, and write a reference such as `{env: NAME}` where it is used",
                document=document,
            )


KIND = DocumentKind(
    name="Environment",
    home="environments/<env>.yaml",
    order=30,
    takes_variables=False,
    parse=parse_environment,
    find_secrets=find_secret_variables,
)
