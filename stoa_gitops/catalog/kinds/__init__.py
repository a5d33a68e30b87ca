"""The kinds of documents: one module each, found in this folder.

A module exports one `DocumentKind` as `KIND`; its JSON Schema is `schemas/v1alpha1/<kind>.json`.
Every list of kinds derives from these modules. What several kinds share is in `catalog/evaluation`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache, lru_cache

from stoa_gitops.catalog.evaluation.kind import DocumentKind, KindSet
from stoa_gitops.model.gateway_types import GatewayTypes


@cache
def document_kinds() -> tuple[DocumentKind, ...]:
    """Return the kind of every module in this package's folders.

    A further folder counts when it is appended to this package's `__path__`. Raises TypeError for a
    module without KIND, because a kind that is silently missing would leave documents unread.
    """
    return tuple(_kind_of(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))


def _kind_of(module: str) -> DocumentKind:
    kind = getattr(importlib.import_module(module), "KIND", None)
    if not isinstance(kind, DocumentKind):
        raise TypeError(f"{module} exports no DocumentKind as KIND")
    return kind


# Readers of one process ask for the same types: schemas are compiled once for all of them.
@lru_cache(maxsize=8)
def kind_set(gateway_types: GatewayTypes | None = None) -> KindSet:
    """Return all kinds with their schemas, in which the gateway types are those given.

    Without gateway types the list in the schema file counts, and options are not checked.
    """
    return KindSet(document_kinds(), gateway_types)


def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds, in the order in which lists show them."""
    return tuple(kind_set().kinds)


def schema_text(name: str) -> str:
    """Return the JSON Schema of a kind or policy type as text.

    Raises UsageError for an unknown name.
    """
    return kind_set().schemas.text(name)
