"""Policy actions and their trees of parameters. Pure.

An action is an instance of a template. A node of its tree is `{templateKey, values}` or
`{templateKey, parameters}`; values are always texts (contract webmethods.md A.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.marks import localised
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.secret import Secret

TRANSPORT: Final = "transport"
IAM: Final = "IAM"
REQUEST: Final = "requestPayloadProcessing"
ROUTING: Final = "routing"
LMT: Final = "LMT"
RESPONSE: Final = "responseProcessing"

STAGES: Final = (
    "threatProtection", TRANSPORT, IAM, REQUEST, ROUTING, LMT, RESPONSE, "responseFaultProcessing",
)  # fmt: skip
"""In the order in which a request meets them."""

SETS: Final = frozenset(
    {
        "protocol", "allowedOrigins", "allowHeaders", "exposeHeaders", "allowMethods",
        "consumerIds", "remove",
    }
)  # fmt: skip
"""Parameters whose values mean the same in any order."""

PRESENT: Final = "present"
MISSING: Final = "missing"
HIDDEN: Final = "another value"

_SECRET: Final = frozenset({"headerValue", "password", "alias"})
_IDLE: Final = frozenset({"", "false", "None", "none"})
"""Values of a parameter that say nothing where it was not sent."""


@dataclass(frozen=True, slots=True)
class Action:
    """A policy action to write.

    source  the policy type that it is of; `api` for the API itself
    """

    stage: str
    template: str
    parameters: tuple[JsonTree, ...]
    source: str

    def body(self, mark: str, action_id: str = "") -> JsonTree:
        """Return the action in its envelope; `mark` finds it where no policy has it."""
        action = {
            "names": localised(f"stoa-gitops {self.source}"),
            "descriptions": localised(mark),
            "templateKey": self.template,
            "parameters": list(self.parameters),
        }
        return {"policyAction": {**({"id": action_id} if action_id else {}), **action}}


def leaf(key: str, *values: object) -> JsonTree:
    """Return a parameter with values; truth values and numbers become texts."""
    return {"templateKey": key, "values": [_text(value) for value in values]}


def branch(key: str, *parameters: JsonTree) -> JsonTree:
    """Return a parameter with parameters."""
    return {"templateKey": key, "parameters": list(parameters)}


def _text(value: object) -> object:
    if isinstance(value, Secret):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def tree_of(parameters: object) -> dict[str, list[Any]]:
    """Return parameters by key: each a list of values, or of such trees."""
    found: dict[str, list[Any]] = {}
    for node in parameters if isinstance(parameters, (list, tuple)) else ():
        if not isinstance(node, Mapping) or not isinstance(node.get("templateKey"), str):
            continue
        key, values = node["templateKey"], node.get("values")
        if isinstance(values, list) and not node.get("parameters"):
            texts: list[Any] = [_text(value) for value in values if value is not None]
            found.setdefault(key, []).append(sorted(texts, key=str) if key in SETS else texts)
        else:
            found.setdefault(key, []).append(tree_of(node.get("parameters")))
    return found


def values_at(parameters: object, *path: str) -> list[str]:
    """Return the values of the first parameter at a path of keys; none where there is none."""
    tree: Any = tree_of(parameters)
    for key in path:
        held = tree.get(key) if isinstance(tree, Mapping) else None
        if not held:
            return []
        tree = held[0]
    return tree if isinstance(tree, list) else []


def value_at(parameters: object, *path: str) -> str:
    """Return the first value at a path; empty where there is none."""
    return next(iter(values_at(parameters, *path)), "")


def differences(wanted: object, held: object, at: str) -> Iterator[tuple[str, Json]]:
    """Yield what of an action's parameters is another one on the gateway, with what that holds."""
    yield from _tree_differences(tree_of(wanted), tree_of(held), at)


def _tree_differences(
    wanted: Mapping[str, list[Any]], held: Mapping[str, list[Any]], at: str
) -> Iterator[tuple[str, Json]]:
    for key, items in wanted.items():
        others = held.get(key, [])
        for index, item in enumerate(items):
            place = f"{at}.{key}" if len(items) == 1 else f"{at}.{key}.{index}"
            if index >= len(others):
                yield place, MISSING
            elif isinstance(item, Mapping) and isinstance(others[index], Mapping):
                yield from _tree_differences(item, others[index], place)
            elif not _is_same(item, others[index]):
                yield place, HIDDEN if key in _SECRET else _shown(others[index])
        for index in range(len(items), len(others)):
            yield f"{at}.{key}.{index}", PRESENT
    for key in held.keys() - wanted.keys():
        if not _is_idle(held[key]):
            yield f"{at}.{key}", PRESENT


def _is_same(wanted: object, held: object) -> bool:
    if isinstance(wanted, list) and isinstance(held, list) and len(wanted) == len(held):
        return all(
            (one.reveal() if isinstance(one, Secret) else one) == other
            for one, other in zip(wanted, held, strict=True)
        )
    return False


def _shown(value: object) -> Json:
    return [str(one) for one in value] if isinstance(value, list) else PRESENT


def _is_idle(items: Sequence[object]) -> bool:
    """Whether parameters that nobody sent say nothing: the server fills in empty ones."""
    for item in items:
        if isinstance(item, Mapping):
            if not all(_is_idle(inner) for inner in item.values()):
                return False
        elif isinstance(item, list) and any(str(one) not in _IDLE for one in item):
            return False
    return True
