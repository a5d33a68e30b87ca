"""What the data plane makes of the graph, as far as tests must see it: where requests go."""

from __future__ import annotations

import re
from typing import Any

from tests.adapters.webmethods.double.answers import Tree
from tests.adapters.webmethods.double.store import Store

_VARIABLE = re.compile(r"\$\{([^}:]+)\}")


def strings(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for item in items for text in strings(item)]


def names_in(node: Any) -> set[str]:
    """The aliases that texts name as `${name}`."""
    return {name for text in strings(node) for name in _VARIABLE.findall(text)}


def actions_of(store: Store, api: Tree) -> list[Tree]:
    """The actions that are enforced: those that a policy of the API places, no others."""
    policies = [store.policies.get(key) for key in api["policies"]]
    ids = [key for one in policies if one is not None for key in store.action_ids(one)]
    return [found for key in ids if (found := store.actions.get(key)) is not None]


def bound_aliases(store: Store, api: Tree) -> dict[str, str | None]:
    """Bind each `${name}` to the id that the alias has now (contract A.8)."""
    wanted = names_in([action["parameters"] for action in actions_of(store, api)])
    by_name = {alias["name"]: alias["id"] for alias in store.aliases}
    return {name: by_name.get(name) for name in wanted}


def target(store: Store, api: Tree) -> str | None:
    """Where a request to an API goes; None where it is not served, or answers 502."""
    if not api["isActive"]:
        return None
    routes = [
        one for one in actions_of(store, api) if one["templateKey"] == "straightThroughRouting"
    ]
    if not routes:
        return None
    parameters = {one["templateKey"]: one.get("values") for one in routes[0]["parameters"]}
    found = (parameters.get("endpointUri") or [""])[0]
    bound, by_name = store.bindings.get(api["id"], {}), {a["name"]: a["id"] for a in store.aliases}
    for name in _VARIABLE.findall(found):
        alias = store.aliases.get(bound.get(name, by_name.get(name)) or "")
        if alias is None:
            return None
        value = alias.get("endPointURI") or alias.get("value") or ""
        found = found.replace(f"${{{name}}}", value)
    return found or None


def accepted_keys(store: Store, api: Tree) -> set[str]:
    """The API keys of applications that may call an API."""
    found: set[str] = set()
    for app in store.consumers_of(api["id"]):
        if app.get("isSuspended"):
            continue
        found.add(app["accessTokens"]["apiAccessKey_credentials"]["apiAccessKey"])
        found |= {
            value for one in app["identifiers"] if one["key"] == "apiKey" for value in one["value"]
        }
    return found
