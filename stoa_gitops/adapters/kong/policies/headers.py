"""`headers` as Kong's request- and response-transformer plugins. Pure.

Kong edits in the order remove, rename, replace, add, append; `replace` touches only what is there
and `add` only what is not, so `set` is both. Entries are `name:value`; in those of the request
`$(...)` would be run as a template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import has_owner_tag
from stoa_gitops.adapters.kong.mapping.losses import FRAMING, header_loss, value_fault
from stoa_gitops.adapters.kong.mapping.plugin_mapping import (
    Config,
    PluginConfigs,
    PluginMapping,
    ReadContext,
)
from stoa_gitops.model.losses import Loss

_SIDES: Final = ("request", "response")
_PLUGINS: Final = {side: f"{side}-transformer" for side in _SIDES}
_CREDENTIAL: Final = re.compile(
    "authorization|cookie|token|secret|password|credential|api-?_?key|signature", re.IGNORECASE
)
"""Names of headers whose values are left out of what others wrote: a policy has no place for them.
"""


def _stored(config: Config) -> JsonTree:
    """Return the sides that edit something: Kong does not tell an empty side from none."""
    return {side: config[side] for side in _SIDES if side in config and any(config[side].values())}


def _losses(config: Config) -> Iterator[Loss]:
    stored = _stored(config)
    if not stored:
        yield Loss("it edits nothing, and Kong has no form for that")
    for side, edits in stored.items():
        names = [*edits["set"], *edits["add"], *edits["remove"]]
        for name in names:
            loss = header_loss(name, "the header")
            if loss is not None:
                yield replace(loss, at=("config", side))
            if name.lower() in FRAMING:
                yield Loss(
                    f"the {side} header {name}: an edit of it breaks the connection",
                    at=("config", side),
                )
            # nginx writes a name of an answer with hyphens (contract kong.md R.7).
            elif side == "response" and "_" in name and name not in edits["remove"]:
                sent = name.replace("_", "-")
                yield Loss(f"the response header {name}: Kong sends {sent}", is_partial=True)
        for entries in (edits["set"], edits["add"]):
            for name, value in entries.items():
                # Only the request-transformer of open-source Kong runs templates.
                message = value_fault(value, is_template=side == "request")
                if message:
                    yield Loss(f"the {side} header {name}: {message}", at=("config", side))


def _compile(config: Config, _: Mapping[str, Config], node: NodeInfo) -> PluginConfigs:
    out: PluginConfigs = {}
    for side, plugin in _PLUGINS.items():
        edits = _edits(config[side]) if side in config else {}
        if edits:
            out[plugin] = edits, []
    return out


def _edits(edits: Config) -> JsonTree:
    entries = {name: _entries(edits[name]) for name in ("set", "add")}
    found = {
        "add": entries["set"],
        "append": entries["add"],
        "remove": list(edits["remove"]),
        "replace": list(entries["set"]),
    }
    return {step: {"headers": items} for step, items in found.items() if items}


def _entries(values: Mapping[str, str]) -> list[str]:
    return [f"{name}:{value}" for name, value in sorted(values.items())]


def _read(context: ReadContext) -> JsonTree | None:
    auth, plugins = context.auth, context.entities.plugins
    own = [f"{auth['name']}:{auth['value'].reveal()}"] if auth and auth["in"] == "header" else []
    sides = {
        side: _read_edits(plugins.get(plugin, {}), own if side == "request" else (), context.owner)
        for side, plugin in _PLUGINS.items()
    }
    found = {side: edits for side, edits in sides.items() if any(edits.values())}
    return found or None


def _read_edits(plugin: Mapping[str, Any], own: Iterable[str], owner: str) -> JsonTree:
    config, is_foreign = plugin.get("config", {}), not has_owner_tag(plugin, owner)

    def entries(step: str) -> list[str]:
        found: list[str] = config.get(step, {}).get("headers") or []
        if is_foreign and step != "remove":
            found = [entry for entry in found if not _CREDENTIAL.search(entry.partition(":")[0])]
        return [entry for entry in found if entry not in own]

    added = set(entries("add"))
    return {
        "set": _values(entry for entry in entries("replace") if entry in added),
        "add": _values(entries("append")),
        "remove": sorted(entries("remove")),
    }


def _values(entries: Iterable[str]) -> dict[str, str]:
    return {entry.partition(":")[0]: entry.partition(":")[2] for entry in entries}


MAPPING: Final = PluginMapping(
    policy_type="headers",
    plugins=tuple(_PLUGINS.values()),
    compile=_compile,
    read=_read,
    losses=_losses,
    stored=_stored,
    secret_fields=frozenset({"add", "append", "replace"}),
)
