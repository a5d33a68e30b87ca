"""Policy types of the data plane: one module each, which exports `POLICY`.

A new type is a new module in this folder; everything else derives from its `POLICY`: the running
order, the admin API, the extensions that `GET /admin/health` names, and the tables of the docs.
`either`, `parsing`, `plans`, `registry` and `subjects` are shared by the types and export none.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from stoa_proxy.core.policy import PolicyType
from stoa_proxy.policies.registry import PolicyRegistry


def find_policy_types(package: str, path: Iterable[str]) -> list[PolicyType]:
    """Return the `POLICY` of each module of a package that has one, sorted by module name."""
    names = sorted(info.name for info in iter_modules(path))
    modules = [import_module(f"{package}.{name}") for name in names]
    return [module.POLICY for module in modules if hasattr(module, "POLICY")]


POLICIES = PolicyRegistry(find_policy_types(__name__, __path__))
"""The types that are enforced."""
