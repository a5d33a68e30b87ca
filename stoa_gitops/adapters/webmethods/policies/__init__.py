"""Policy types of the catalog on webMethods: one module each, which exports its `MAPPING`.

Every module of this folder is a policy type, found by looking into the folder: a new type is a new
module here and nothing else. What types share (counting, identifying callers) is in `mapping`; a
policy module imports nothing that imports this package.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Final

from stoa_gitops.adapters.webmethods.mapping.policy_mapping import PolicyMapping


def _load_mappings() -> Mapping[str, PolicyMapping]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    mappings: list[PolicyMapping] = [module.MAPPING for module in modules]
    return {mapping.policy_type: mapping for mapping in mappings}


MAPPINGS: Final = _load_mappings()
"""Policy type -> how it is written on webMethods."""
