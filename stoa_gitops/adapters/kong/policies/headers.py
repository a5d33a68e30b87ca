"""Between `headers` and a backend's credential, and Kong's request- and response-transformer. Pure.

Kong edits in the order remove, rename, replace, add, append; `replace` touches only what is there and `add` only what
is not, so `set` is both. A credential of the backend is set the same way: a client's own never counts. Entries are
`name:value`; in those of the request `$(…)` would be run as a template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.tags import fingerprint, has_owner_tag, tag_values
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible, Loss, header_loss
from stoa_gitops.model.secret import Secret, Value

Config = Mapping[str, Any]

FOREIGN_VALUE: Final = "another value"
_SIDES: Final = ("request", "response")
_LISTS: Final = {"header": "headers", "query": "querystring"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CREDENTIAL: Final = re.compile(
    "authorization|cookie|token|secret|password|credential|api-?_?key|signature", re.IGNORECASE
)
_QUERY_NAME: Final = re.compile(r"[!-+.0-9;-~-]{1,100}")
"""Printable ASCII without `:` (which ends a name in Kong's entries), `,` and `/` (which no tag may hold)."""


def held_headers(config: Config) -> dict[str, Any]:
    """Return what Kong holds of a `headers` policy: a side without an edit is not told from none."""
    return {side: config[side] for side in _SIDES if side in config and any(config[side].values())}


def header_edit_losses(config: Config) -> Iterator[Loss]:
    """Yield what Kong cannot do of a `headers` policy."""
    held = held_headers(config)
    if not held:
        yield Loss("it edits nothing, and Kong has no form for that")
    for side, edits in held.items():
        names = [*edits["set"], *edits["add"], *edits["remove"]]
        for name in names:
            loss = header_loss(name, "the header")
            if loss is not None:
                yield loss
        for entries in (edits["set"], edits["add"]):
            for name, value in entries.items():
                message = value_fault(value, is_template=side == "request")
                if message:
                    yield Loss(f"the {side} header {name}: {message}")


def value_fault(value: str, *, is_template: bool) -> str:
    """Return what Kong would make of a value instead of sending it as it is; empty when nothing."""
    if not value:
        return "Kong has no form for an empty value"
    if value.startswith(":"):
        return "Kong would drop the colon at its beginning"
    if is_template and "$(" in value:
        return "Kong would run $( as a template"
    if _CONTROL.search(value):
        return "control characters cannot be sent"
    return ""


def auth_losses(auth: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong cannot do of a backend's credential; its value is looked at where it is known."""
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


def compile_request(
    config: Config | None, auth: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[str]] | None:
    """Return config and tags of the request-transformer; None where nothing is edited."""
    edits = (config or {}).get("request")
    out = _edits(edits) if edits else {}
    if auth is None:
        return (out, []) if out else None
    _refuse_clash(edits, auth)
    where, value = _LISTS[auth["in"]], auth["value"].reveal()
    entry = f"{auth['name']}:{value}"
    for step in ("replace", "add"):
        out.setdefault(step, {}).setdefault(where, []).append(entry)
    return out, [f"stoa-auth:{auth['in']}:{auth['name']}:{fingerprint(value)}"]


def compile_response(config: Config | None) -> dict[str, Any] | None:
    """Return the config of the response-transformer; None where nothing is edited."""
    edits = (config or {}).get("response")
    return (_edits(edits) or None) if edits else None


def _edits(edits: Config) -> dict[str, Any]:
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


def _refuse_clash(edits: Config | None, auth: Mapping[str, Any]) -> None:
    if edits is None or auth["in"] != "header":
        return
    apply_changes = {name.lower() for step in ("set", "add", "remove") for name in edits[step]}
    if auth["name"].lower() in apply_changes:
        raise Inexpressible(f"headers edits {auth['name']}, which carries the backend's credential")


def read_auth(plugin: Mapping[str, Any]) -> tuple[dict[str, Value], str] | None:
    """Return the backend's credential in a request-transformer, and the print that was written; None without one."""
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


def read_headers(
    request: Mapping[str, Any] | None,
    response: Mapping[str, Any] | None,
    auth: Mapping[str, Any] | None,
    owner: str,
) -> dict[str, Any] | None:
    """Return the `headers` policy that two transformers stand for; None where they edit no header.

    What others set in a header that carries credentials is left out: a policy has no place for a secret.
    """
    own = [f"{auth['name']}:{auth['value'].reveal()}"] if auth and auth["in"] == "header" else []
    sides = {
        "request": _read_edits(request or {}, own, owner),
        "response": _read_edits(response or {}, (), owner),
    }
    found = {side: edits for side, edits in sides.items() if any(edits.values())}
    return found or None


def _read_edits(plugin: Mapping[str, Any], own: Iterable[str], owner: str) -> dict[str, Any]:
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
