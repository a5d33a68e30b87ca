"""Fields of Kong's entities that the canonical form of an object does not contain. Pure.

Found by compiling again what was read and comparing, over the fields that we know: drift that no
canonical field shows. Ids, tags and names (but for our routes') are not compared: they are ours,
and what they hold is read. Values that may be secrets are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from stoa_gitops.adapters.kong.entities.defaults import ENTITY_DEFAULTS, PLUGIN_DEFAULTS, REQUIRED
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import MARK
from stoa_gitops.adapters.kong.mapping.grouping import ApiEntities
from stoa_gitops.adapters.kong.mapping.plugins import policy_of_plugin
from stoa_gitops.adapters.kong.mapping.routes import canonical_headers, path_mode
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API

Fields = dict[str, Json]

UnmappedFields: TypeAlias = "Mapping[str, Mapping[str, Json]]"
"""`api`, `application` or a policy type -> Kong's field, dotted -> the value that Kong holds."""

PRESENT: Final = "present"
MISSING: Final = "missing"
HIDDEN: Final = "another value"
OFF: Final = "switched off"

_OWN: Final = frozenset(
    {"id", "name", "username", "tags", "service", "route", "consumer", "upstream"}
)
_READ_OF_ROUTES: Final = frozenset({"paths", "hosts", "headers", "strip_path"})
_READ_OF_PLUGINS: Final[Mapping[str, frozenset[str]]] = {
    plugin: mapping.whole_fields for mapping in MAPPINGS.values() for plugin in mapping.plugins
}
"""Fields that the canonical form has whole, in whichever of Kong's spellings."""

_MAY_BE_SECRET: Final = frozenset({"headers", "key", "secret", "rsa_public_key"}).union(
    *(mapping.secret_fields for mapping in MAPPINGS.values())
)


def find_unmapped_fields(
    actual: ApiEntities,
    rebuilt: ApiEntities,
    origins: list[JsonTree],
    policies: Mapping[str, Any],
    node: NodeInfo,
) -> dict[str, Fields]:
    """Return the fields of Kong that no canonical field of an API covers.

    `origins` are the routes of Kong in the order of the canonical routes.
    """
    out: dict[str, Fields] = {}
    own: Fields = {}
    own |= field_differences("services", actual.service or {}, rebuilt.service or {}, "service.")
    own |= dict(_routes(actual, rebuilt, origins, node))
    own |= dict(_upstream(actual, rebuilt))
    for name in sorted(actual.plugins.keys() | rebuilt.plugins.keys()):
        holder = policy_of_plugin(name, policies)
        left = plugin_differences(name, actual.plugins.get(name), rebuilt.plugins.get(name))
        if holder is None:
            own |= {f"plugins.{name}{'.' if field else ''}{field}": v for field, v in left.items()}
        elif left:
            out.setdefault(holder, {}).update(
                {field or f"plugins.{name}": v for field, v in left.items()}
            )
    for tree in actual.doubled:
        is_off = tree.get("enabled") is False
        own[f"plugins.{tree['name']}.{tree['id']}"] = OFF if is_off else PRESENT
    if own:
        out[API] = own
    return out


def field_differences(
    entity_type: str,
    actual: JsonTree,
    rebuilt: JsonTree,
    prefix: str,
    ignored: frozenset[str] = frozenset(),
) -> Fields:
    """Return the known fields in which two trees differ, with the value of the first."""
    known = {
        n: d for n, d in ENTITY_DEFAULTS[entity_type].items() if n not in _OWN and n not in ignored
    }
    return dict(_record_differences(actual, rebuilt, known, prefix))


def _record_differences(
    actual: Mapping[str, Any], rebuilt: Mapping[str, Any], known: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Json]]:
    for name, default in known.items():
        value, other = actual.get(name, default), rebuilt.get(name, default)
        if _is_same(value, other):
            continue
        if name in _MAY_BE_SECRET:
            yield f"{prefix}{name}", HIDDEN
        elif (
            isinstance(default, Mapping)
            and isinstance(value, Mapping)
            and isinstance(other, Mapping)
        ):
            yield from _record_differences(value, other, default, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", MISSING if value is REQUIRED else value


def _is_same(value: Any, other: Any) -> bool:
    if value == other:
        return True
    both_lists = isinstance(value, list) and isinstance(other, list)
    return both_lists and sorted(value, key=str) == sorted(other, key=str)


def plugin_differences(name: str, actual: JsonTree | None, rebuilt: JsonTree | None) -> Fields:
    """Return the known fields in which two plugins differ.

    The empty field when there is but one of them.
    """
    if actual is None or rebuilt is None:
        return {"": PRESENT if rebuilt is None else MISSING}
    left = field_differences("plugins", actual, rebuilt, "")
    read = _READ_OF_PLUGINS.get(name, frozenset())
    known = {
        field: default
        for field, default in PLUGIN_DEFAULTS.get(name, {}).items()
        if field not in read
    }
    return left | dict(
        _record_differences(actual.get("config", {}), rebuilt.get("config", {}), known, "config.")
    )


def _routes(
    actual: ApiEntities, rebuilt: ApiEntities, origins: list[JsonTree], node: NodeInfo
) -> Iterator[tuple[str, Json]]:
    for tree in actual.routes:
        mode = path_mode(tree, node)
        if isinstance(mode, str):
            yield "paths", mode
        elif mode is not None:
            yield f"routes.{tree.get('name') or tree['id']}.paths", list(mode)
        if canonical_headers(tree) is None:
            yield f"routes.{tree.get('name') or tree['id']}.headers", HIDDEN
    for index, (tree, written) in enumerate(zip(origins, rebuilt.routes, strict=True)):
        # A path that is held in another manner has the priority of that manner.
        ignored = _READ_OF_ROUTES | ({"regex_priority"} if path_mode(tree, node) else set())
        yield from field_differences("routes", tree, written, f"routes.{index}.", ignored).items()
        if _stem(tree) != _stem(written) and _has_same_mark(tree, written):
            # Names are unique on a node: under another one it may keep a route of ours from coming.
            yield f"routes.{index}.name", tree.get("name") or MISSING
        there = actual.on_routes.get(tree["id"], {})
        here = rebuilt.on_routes.get(written["id"], {})
        for name in sorted(there.keys() | here.keys()):
            for field, value in plugin_differences(name, there.get(name), here.get(name)).items():
                yield f"routes.{index}.plugins.{name}{'.' if field else ''}{field}", value


def _stem(route: JsonTree) -> str:
    """Return a route's name without its number: it counts on where one before it is gone."""
    return str(route.get("name")).rpartition(".")[0]


def _has_same_mark(tree: JsonTree, written: JsonTree) -> bool:
    marks = {tag for tag in written.get("tags") or () if tag.startswith(MARK)}
    return not marks.isdisjoint(tree.get("tags") or ())


def _upstream(actual: ApiEntities, rebuilt: ApiEntities) -> Iterator[tuple[str, Json]]:
    if (actual.upstream is None) != (rebuilt.upstream is None):
        yield "upstream", PRESENT if rebuilt.upstream is None else MISSING
    elif actual.upstream is not None and rebuilt.upstream is not None:
        yield from field_differences(
            "upstreams", actual.upstream, rebuilt.upstream, "upstream."
        ).items()
    # Kong lists them in any order.
    theirs = sorted(actual.targets, key=lambda target: str(target["target"]))
    ours = sorted(rebuilt.targets, key=lambda target: str(target["target"]))
    for index, target in enumerate(theirs):
        if index >= len(ours):
            yield f"targets.{target['target']}", PRESENT
        else:
            yield from field_differences("targets", target, ours[index], "target.").items()
    if len(theirs) < len(ours):
        yield "target", MISSING
