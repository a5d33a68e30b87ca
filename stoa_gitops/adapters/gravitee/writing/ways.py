"""The three ways in which an API is written, behind one face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree


class Way(Protocol):
    """Writes and deletes one API; every call may be repeated. Raises GatewayError."""

    async def put(
        self, definition: JsonTree, held: Mapping[str, Any] | None
    ) -> tuple[str, tuple[str, ...]]:
        """Create or update an API; return its id, and warnings for people.

        `held` is what the gateway has, in the same form, None where it has none.
        """
        ...

    async def delete(self, held: Mapping[str, Any]) -> None:
        """Delete an API with its plans and subscriptions, in the order that the server demands."""
        ...
