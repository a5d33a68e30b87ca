"""Objects of a whole gateway that stand in the options of its document. Pure.

They belong to no tenant, and no kind of document has them: a gateway type says which of its options
hold objects of which kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.gateway_types import GatewayTypeInfo
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import PlanHints, Resource


def gateway_objects(
    instance: GatewayInstance, gateway_type: GatewayTypeInfo | None
) -> dict[Key, Resource]:
    """Return the objects that the options of a gateway declare, by key."""
    found: dict[Key, Resource] = {}
    for option, kind in (gateway_type.object_options if gateway_type is not None else {}).items():
        declared = instance.options.get(option)
        for name, value in declared.items() if isinstance(declared, Mapping) else ():
            if not isinstance(value, Mapping):
                # Its own schema says so; the document is wrong.
                continue
            key = Key(kind, "", str(name))
            hints = PlanHints(requires=(kind,))
            found[key] = Resource(key, Spec.of(value), instance.source, hints)
    return found
