"""The control API, one module for each resource; a route is a function under `@route`.

Every module of this package is found by itself: a new resource is a new file.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from stoa_gitops.control.route import Route


def _find_routes() -> tuple[Route, ...]:
    names = sorted(module.name for module in iter_modules(__path__, f"{__name__}."))
    return tuple(
        value
        for name in names
        for value in vars(import_module(name)).values()
        if isinstance(value, Route)
    )


ROUTES: Final = _find_routes()
"""Every route of the listener, by module and in the order of definition."""
