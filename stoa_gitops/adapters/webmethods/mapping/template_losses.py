"""What we write of policy actions, compared with what a gateway says that its templates take. Pure.

Our own schemas are those of the versions that are known; another version may have a template no
more, or ask for a parameter that nobody knew (contract webmethods.md A.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stoa_gitops.adapters.webmethods.entities.actions import Action
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.model.losses import Loss


def required_parameters(listed: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """Return, for each template that a gateway lists, the parameters that it needs."""
    found = {}
    for one in listed:
        keys = one.get("requiredParametersKeys")
        needed = keys if isinstance(keys, list) else []
        found[str(one.get("templateKey"))] = frozenset(map(str, needed))
    return found


def missing_templates(names: Iterable[str], info: GatewayInfo) -> Iterator[Loss]:
    """Yield the templates that a gateway lists not; nothing where it lists none at all."""
    for name in sorted(set(names)) if info.templates else ():
        if name not in (info.templates or {}):
            yield Loss(f"this gateway has no policy action {name}")


def template_losses(actions: Iterable[Action], info: GatewayInfo) -> Iterator[Loss]:
    """Yield what keeps a gateway from taking some actions."""
    known = info.templates
    written = list(actions)
    yield from missing_templates((action.template for action in written), info)
    for action in written if known else ():
        needed = (known or {}).get(action.template, frozenset())
        left = needed - {_key_of(one) for one in action.parameters}
        if left:
            yield Loss(
                f"the policy action {action.template} of this gateway needs "
                f"{', '.join(sorted(left))}, which is not written: its version is not known here"
            )


def _key_of(parameter: JsonTree) -> str:
    return str(parameter.get("templateKey"))
