"""What webMethods makes of a definition that it stores, as data (contract webmethods.md A.3).

Two forms of one definition, as an answer to an import and as a later read give it, differ in none
of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

OTHER_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"servers", "host", "basePath", "schemes", "serviceRegistryDisplayName", "type"}),
    "info": frozenset({"title", "version"}),
}
"""Fields of the root, and of `info`, that are no texts or schemas: those that are compared by
themselves, and the backend, which is an alias of its own."""

KEPT_BY_UPDATES: Final = frozenset(
    {"scopes", "mockedResponses", "mockedConditionsBasedCustomResponsesList"}
)
"""What an update does not take back: policies of resources, and mocks."""

FILLED_IN: Final[Mapping[str, tuple[Any, ...]]] = {
    "enabled": (True,),
    "style": ("FORM",),
}
"""Values that say nothing, because the server writes them where a document says nothing."""

EMPTY: Final[tuple[Any, ...]] = ("", None, [], {})
"""Values of any field that say as much as its absence."""
