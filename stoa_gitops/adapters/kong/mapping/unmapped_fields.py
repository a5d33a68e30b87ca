"""What Kong holds of an API beyond what its canonical form says: drift that no field of ours could show. Pure.

Found by writing again what was read and comparing, field by field, over the fields that we know. Ids, names and tags
are not compared: they are ours, and what they hold is read. Values that may be secrets are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from stoa_gitops.adapters.kong.entities.defaults import ENTITIES, PLUGINS, REQUIRED
from stoa_gitops.adapters.kong.entities.entity import Node
from stoa_gitops.adapters.kong.mapping.grouping import ApiEntities
from stoa_gitops.adapters.kong.mapping.routes import path_manner
from stoa_gitops.adapters.kong.policies.compose import holder_of
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API

Tree = dict[str, Any]
Fields = dict[str, Json]

Residual: TypeAlias = "Mapping[str, Mapping[str, Json]]"
"""`api`, `application` or a policy type -> Kong's field, dotted -> the value that Kong holds."""

PRESENT: Final = "present"
MISSING: Final = "missing"
HIDDEN: Final = "another value"

_OWN: Final = frozenset(
    {"id", "name", "username", "tags", "service", "route", "consumer", "upstream"}
)
_READ_OF_ROUTES: Final = frozenset({"paths", "hosts", "methods", "strip_path"})
_READ_OF_PLUGINS: Final[Mapping[str, frozenset[str]]] = {
    "request-size-limiting": frozenset({"allowed_payload_size", "size_unit"}),
    "cors": frozenset({"origins"}),
}
"""Fields that the canonical form has whole, in whichever of Kong's spellings."""

_MAY_BE_SECRET: Final = frozenset({
    "add", "append", "replace", "headers", "redis", "body", "message", "http_endpoint", "key", "secret",
    "rsa_public_key", "redis_password", "redis_username", "custom_fields_by_lua",
})  # fmt: skip


def leftovers_of(
    found: ApiEntities,
    said: ApiEntities,
    origins: list[Tree],
    policies: Mapping[str, Any],
    node: Node,
) -> dict[str, Fields]:
    """Return what is left of an API; `origins` are the routes of Kong in the order of the routes that are said."""
    out: dict[str, Fields] = {}
    own: Fields = {}
    own |= differences("services", found.service or {}, said.service or {}, "service.")
    own |= dict(_routes(found, said, origins, node))
    own |= dict(_upstream(found, said))
    for name in sorted(found.plugins.keys() | said.plugins.keys()):
        holder = holder_of(name, policies)
        left = plugin_differences(name, found.plugins.get(name), said.plugins.get(name))
        if holder is None:
            own |= {f"plugins.{name}{'.' if field else ''}{field}": v for field, v in left.items()}
        elif left:
            out.setdefault(holder, {}).update(
                {field or f"plugins.{name}": v for field, v in left.items()}
            )
    own |= {f"plugins.{tree['name']}.{tree['id']}": PRESENT for tree in found.doubled}
    if own:
        out[API] = own
    return out


def differences(
    entity_type: str, found: Tree, said: Tree, prefix: str, leave: frozenset[str] = frozenset()
) -> Fields:
    """Return the known fields of an entity in which two trees differ, with the value of the first."""
    known = {n: d for n, d in ENTITIES[entity_type].items() if n not in _OWN and n not in leave}
    return dict(_differing(found, said, known, prefix))


def _differing(
    found: Mapping[str, Any], said: Mapping[str, Any], known: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Json]]:
    for name, default in known.items():
        one, other = found.get(name, default), said.get(name, default)
        if _is_same(one, other):
            continue
        if name in _MAY_BE_SECRET:
            yield f"{prefix}{name}", HIDDEN
        elif (
            isinstance(default, Mapping) and isinstance(one, Mapping) and isinstance(other, Mapping)
        ):
            yield from _differing(one, other, default, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", MISSING if one is REQUIRED else one


def _is_same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    both_lists = isinstance(one, list) and isinstance(other, list)
    return both_lists and sorted(one, key=str) == sorted(other, key=str)


def plugin_differences(name: str, found: Tree | None, said: Tree | None) -> Fields:
    """Return the known fields in which two plugins differ; the empty field when there is but one of them."""
    if found is None or said is None:
        return {"": PRESENT if said is None else MISSING}
    left = differences("plugins", found, said, "")
    read = _READ_OF_PLUGINS.get(name, frozenset())
    known = {
        field: default for field, default in PLUGINS.get(name, {}).items() if field not in read
    }
    return left | dict(
        _differing(found.get("config", {}), said.get("config", {}), known, "config.")
    )


def _routes(
    found: ApiEntities, said: ApiEntities, origins: list[Tree], node: Node
) -> Iterator[tuple[str, Json]]:
    for tree in found.routes:
        manner = path_manner(tree, node)
        if isinstance(manner, str):
            yield "paths", manner
        elif manner is not None:
            yield f"routes.{tree.get('name') or tree['id']}.paths", list(manner)
    for index, (tree, written) in enumerate(zip(origins, said.routes, strict=True)):
        # A path that is held in another manner has the priority of that manner.
        leave = _READ_OF_ROUTES | ({"regex_priority"} if path_manner(tree, node) else set())
        yield from differences("routes", tree, written, f"routes.{index}.", leave).items()
        there = found.on_routes.get(tree["id"], {})
        here = said.on_routes.get(written["id"], {})
        for name in sorted(there.keys() | here.keys()):
            for field, value in plugin_differences(name, there.get(name), here.get(name)).items():
                yield f"routes.{index}.plugins.{name}{'.' if field else ''}{field}", value


def _upstream(found: ApiEntities, said: ApiEntities) -> Iterator[tuple[str, Json]]:
    if (found.upstream is None) != (said.upstream is None):
        yield "upstream", PRESENT if said.upstream is None else MISSING
    elif found.upstream is not None and said.upstream is not None:
        yield from differences("upstreams", found.upstream, said.upstream, "upstream.").items()
    for index, target in enumerate(found.targets):
        if index >= len(said.targets):
            yield f"targets.{target['target']}", PRESENT
        else:
            yield from differences("targets", target, said.targets[index], "target.").items()
    if len(found.targets) < len(said.targets):
        yield "target", MISSING
