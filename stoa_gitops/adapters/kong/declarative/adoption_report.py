"""Reports what no document can express of foreign entities, and what adopting does to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.adapters.kong.declarative.gates import keeps_out
from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.adapters.kong.entities.secrets import build_redactor
from stoa_gitops.adapters.kong.entities.tags import UNMAPPED, entity_name
from stoa_gitops.adapters.kong.mapping.plugins import INACTIVE
from stoa_gitops.adapters.kong.mapping.unmapped_fields import MISSING, PRESENT
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, ForeignEntities, NodeSnapshot
from stoa_gitops.model.keys import API, APPLICATION
from stoa_gitops.model.unmapped import Unmapped

KEPT: Final = "stays as it is; no document says it"
_RESET: Final = "goes to what the document says, or to Kong's default"
_BLOCKS: Final = "the adoption is refused while it is there: move it to the service, or remove it"
_BY_LETTER: Final = (
    "Kong compares letter by letter here; adopted, a path ends where a segment ends "
    "(options.paths: prefix keeps letters)"
)

_BY_SEGMENT: Final = (
    "a path ends where a segment ends here; adopted, Kong compares letter by letter (options.paths)"
)
_SINGULAR: Final[Mapping[str, str]] = {
    "ca_certificates": "CA certificate", "key_sets": "key set", "snis": "SNI", "acls": "group",
    "keyauth_credentials": "key", "basicauth_credentials": "user name and password",
    "jwt_secrets": "JWT credential", "hmacauth_credentials": "HMAC credential",
    "oauth2_credentials": "OAuth 2.0 credential", "oauth2_tokens": "OAuth 2.0 token",
    "filter_chains": "filter chain",
}  # fmt: skip
_READ: Final[Mapping[str, frozenset[str]]] = {
    API: frozenset({"services", "routes", "plugins", "upstreams", "targets"}),
    APPLICATION: frozenset({"consumers", "plugins", "keyauth_credentials", "jwt_secrets", "acls"}),
}
"""Entity types whose unmapped fields are found field by field."""

_EFFECTS: Final = tuple(
    (re.compile(pattern), effect, changes)
    for pattern, effect, changes in (
        (r"paths", _BY_LETTER, True),
        (
            r"routes\..+\.paths",
            "these expressions are no paths of a catalog; adopted, they are gone",
            True,
        ),
        (
            r"routes\..+\.headers",
            "no document can say these headers; adopted, the route is gone",
            True,
        ),
        (r"routes\.\d+\.plugins\..+", _BLOCKS, True),
        (r"plugins\.acl(\..+)?", "adopting the policy lets in subscribed applications only", True),
        (
            r"plugins\.(request|response)-transformer\..+",
            "replaced when what is written with it is adopted",
            True,
        ),
        (r"plugins\..+|upstream|targets\..+|target", KEPT, False),
        (r"limits\..+", KEPT, False),
        (r"upstream\..+|target\..+", KEPT, False),
        (r"groups\..+", "groups that are no subscription are gone when it is adopted", True),
        (
            r"consumer\.custom_id",
            "gone when it is adopted: backends get no X-Consumer-Custom-ID",
            True,
        ),
        (r"unreadable", "it cannot be adopted", True),
    )
)


def list_unmapped(snapshot: NodeSnapshot) -> tuple[Unmapped, ...]:
    """Return what the items of `list_*` do not contain of foreign entities, sorted."""
    foreign = snapshot.foreign
    groups = foreign.groups(snapshot.node, snapshot.owner, snapshot.groups.keys())
    redact_text = build_redactor(
        {name: list(held.values()) for name, held in foreign.entities.items()}
    )

    def redact(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return redact_text(text)[:_MAX_SHOWN]

    found = [one for group in groups for one in _group_unmapped(group, redact)]
    found += _unrooted(foreign, groups)
    return tuple(sorted(found, key=lambda one: one.order))


_MAX_SHOWN: Final = 400
"""Characters of a value that are shown."""


def _group_unmapped(group: EntityGroup, redact: Any) -> Iterator[Unmapped]:
    root = next(entity for entity in group.entities if entity.type in ("services", "consumers"))
    what = _describe(root)
    for item in group.items:
        spec: Mapping[str, Any] = item["spec"]
        left: Mapping[str, Any] = spec[UNMAPPED] or {}
        policy = spec.get("type") if item["kind"] not in (API, APPLICATION) else None
        for field, value in left.items():
            yield _leftover(
                group, f"{what}, policy {policy}" if policy else what, field, value, redact
            )
    for entity in group.entities:
        if entity.type not in _READ[group.key.kind]:
            yield Unmapped(_describe(entity), "", "", "stays with its consumer as it is", group.key)
    tree = root.tree
    if root.type == "consumers" and tree.get("username") != entity_name(group.key):
        yield Unmapped(
            what,
            "username",
            redact(tree.get("username")),
            f"becomes {entity_name(group.key)} when it is adopted: backends get "
            "that as X-Consumer-Username",
            group.key,
            True,
        )


def _leftover(group: EntityGroup, what: str, field: str, value: Any, redact: Any) -> Unmapped:
    shown = redact(value)
    if field == "paths" and value == "segments":
        return Unmapped(what, field, shown, _BY_SEGMENT, group.key, changes=True)
    if field.startswith("groups.") and value == MISSING:
        message = "the group of the tenant is added when it is adopted"
        return Unmapped(what, field, shown, message, group.key, changes=False)
    if field.endswith(f".plugins.{INACTIVE}") and value == MISSING:
        message = "the service is switched off; adopted, its routes answer 503 instead of 404"
        return Unmapped(what, field, shown, message, group.key, changes=True)
    for pattern, effect, changes in _EFFECTS:
        if pattern.fullmatch(field):
            found = Unmapped(what, field, shown, effect, group.key, changes)
            return replace(found, guards=_guards(field, value))
    effect = _RESET if value not in (PRESENT, MISSING) else f"{_RESET} (it is {value} here)"
    return Unmapped(what, field, shown, effect, group.key, changes=True)


_GATE: Final = re.compile(r"(?:routes\.\d+\.)?plugins\.([^.]+)(?:\.[0-9a-f-]{36})?")


def _guards(field: str, value: Any) -> bool:
    """Whether a field is a whole plugin that keeps callers out, and no policy stands for it."""
    found = _GATE.fullmatch(field)
    return found is not None and value == PRESENT and keeps_out(found[1])


def _unrooted(foreign: ForeignEntities, groups: tuple[EntityGroup, ...]) -> Iterator[Unmapped]:
    """Yield entities of no foreign service and no foreign consumer."""
    placed = {(entity.type, entity.id) for group in groups for entity in group.entities}
    for name, held in foreign.entities.items():
        for entity in held.values():
            if (name, entity.id) not in placed:
                guards = entity.type == "plugins" and _is_open_gate(entity.tree)
                yield Unmapped(_describe(entity), "", "", _location(entity), guards=guards)


def _is_open_gate(plugin: Mapping[str, Any]) -> bool:
    """Whether a plugin outside of services keeps out callers of what stands in a document."""
    is_global = not (plugin.get("route") or plugin.get("consumer"))
    return is_global and plugin.get("enabled") is not False and keeps_out(str(plugin.get("name")))


def _location(entity: Entity) -> str:
    tree = entity.tree
    if entity.type == "plugins":
        places = [name for name in ("service", "route", "consumer") if tree.get(name)]
        where = (
            f"on a {' and a '.join(places)}"
            if places
            else "global, so it runs for adopted APIs, too"
        )
        return f"{where}; {KEPT}"
    if entity.type == "routes":
        return f"a route without a service; {KEPT}"
    return KEPT


def _describe(entity: Entity) -> str:
    """Return type and name of an entity, or its id where the name could be a secret."""
    tree = entity.tree
    names = ("username", "custom_id") if entity.type == "consumers" else _NAMES
    name = next((str(tree[one]) for one in names if tree.get(one)), entity.id)
    sort = _SINGULAR.get(entity.type, entity.type.removesuffix("s"))
    return f"{sort} {' '.join(name.split())[:120]}"


_NAMES: Final = ("prefix", "name", "username", "group", "target")
