"""A backend's credential as entries of Kong's request-transformer on the service. Pure.

`replace` touches only what is there and `add` only what is not, so a credential is both: whatever a
client sends under its name never counts. The plugin is shared with the `headers` policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.tags import fingerprint, tag_values
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible, header_loss, value_fault
from stoa_gitops.adapters.kong.mapping.plugin_mapping import PluginConfigs
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret, Value

PLUGIN: Final = "request-transformer"
_LISTS: Final = {"header": "headers", "query": "querystring"}
_QUERY_NAME: Final = re.compile(r"[!-+.0-9;-~-]{1,100}")
"""Printable ASCII without `:` (ends a name in Kong's entries), `,` and `/` (which no tag may hold).
"""


def auth_losses(auth: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong cannot do of a backend's credential; its value is checked where known."""
    if "in" not in auth:
        return  # another type, which the capabilities refuse
    if auth["in"] == "header":
        loss = header_loss(auth["name"], "the backend's header")
        if loss is not None:
            yield loss
    elif _QUERY_NAME.fullmatch(auth["name"]) is None:
        yield Loss(f"the backend's query parameter {auth['name']}: Kong cannot be told such a name")
    elif "$(" in auth["name"]:
        yield Loss("the backend's query parameter: Kong would run $( as a template")
    if isinstance(auth["value"], Secret):
        message = value_fault(auth["value"].reveal(), is_template=True)
        if message:
            yield Loss(f"the backend's credential: {message}")


def add_credential(plugins: PluginConfigs, auth: Mapping[str, Any]) -> None:
    """Put a backend's credential into the request-transformer of a service.

    Raises Inexpressible where the plugin edits the same header already.
    """
    config, tags = plugins.get(PLUGIN, ({}, []))
    if auth["in"] == "header":
        _refuse_clash(config, auth["name"])
    where, value = _LISTS[auth["in"]], auth["value"].reveal()
    out = {
        step: {name: list(items) for name, items in edits.items()} for step, edits in config.items()
    }
    for step in ("replace", "add"):
        out.setdefault(step, {}).setdefault(where, []).append(f"{auth['name']}:{value}")
    plugins[PLUGIN] = out, [*tags, f"stoa-auth:{auth['in']}:{auth['name']}:{fingerprint(value)}"]


def _refuse_clash(config: Mapping[str, Any], name: str) -> None:
    edited = {
        entry.partition(":")[0].lower()
        for edits in config.values()
        for entry in edits.get("headers", ())
    }
    if name.lower() in edited:
        raise Inexpressible(f"headers edits {name}, which carries the backend's credential")


def read_auth(plugin: Mapping[str, Any]) -> tuple[dict[str, Value], str] | None:
    """Return the credential in a request-transformer and the fingerprint of what was written.

    None where our tag is missing: a foreign header is no credential that we could tell.
    """
    for text in tag_values(plugin, "auth"):
        place, _, rest = text.partition(":")
        name, _, printed = rest.rpartition(":")
        if place not in _LISTS or not name:
            continue
        replaced = plugin.get("config", {}).get("replace", {}).get(_LISTS[place], [])
        for entry in reversed(replaced):
            if entry.startswith(f"{name}:"):
                value = entry.removeprefix(f"{name}:")
                return {"in": place, "name": name, "value": Secret(value)}, printed
    return None
