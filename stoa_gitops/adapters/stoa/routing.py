"""How the real STOA gateway chooses among routes. Pure.

Seen of STOA gateway 0.9.25 in mode edge-mcp: the longest `path_prefix` by letters, whatever its
methods; of two equal ones either (contract stoa.md 16.2). Hosts are no part of its routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.model.routing import RoutePattern, Router


def _read(route: Mapping[str, Any]) -> RoutePattern:
    methods = frozenset(map(str, route.get("methods") or ()))
    return RoutePattern(str(route["path"]), methods=methods, by_letters=True)


def _wins(first: RoutePattern, second: RoutePattern, _host: str) -> bool:
    return len(first.path) >= len(second.path)


LETTERS: Final = Router(_read, _wins, by_letters=True)
