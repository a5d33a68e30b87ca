"""Entities of a decK or declarative file: flat, each with an id, references by id. Pure.

What a file may leave to Kong or decK is written out: nesting, references by name, `url`, ids, paths
of `_format_version` 1.1 and 2.1, `_info.defaults`, `_info.select_tags`, `_plugin_configs`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from stoa_gitops.adapters.kong.declarative.adoption_report import KEPT
from stoa_gitops.adapters.kong.entities.entity import ENTITY_ORDER, Entity, JsonTree
from stoa_gitops.adapters.kong.entities.ownership import group_by_root
from stoa_gitops.adapters.kong.mapping.mappers import object_key
from stoa_gitops.adapters.kong.node.snapshot import NodeSnapshot, group_from_entities
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.yaml.foreign_text import MAX_VALUES, Path, Text, dotted, weight
from stoa_gitops.model.unmapped import Unmapped

_VERSIONS: Final = ("1.1", "2.1", "3.0")
# decK's own keys; Kong refuses all but `_format_version`, `_transform`, `_comment`, `_ignore`.
_HEAD: Final = frozenset(
    {"_format_version", "_transform", "_info", "_workspace", "_konnect", "_plugin_configs",
    "_comment", "_ignore"}
)  # fmt: skip
_CREDENTIALS: Final = (
    "keyauth_credentials", "basicauth_credentials", "jwt_secrets", "hmacauth_credentials",
    "oauth2_credentials", "acls",
)  # fmt: skip
_CHILDREN: Final[Mapping[str, Mapping[str, str]]] = {
    "services": dict.fromkeys(("routes", "plugins", "filter_chains"), "service"),
    "routes": dict.fromkeys(("plugins", "filter_chains"), "route"),
    "consumers": dict.fromkeys((*_CREDENTIALS, "plugins"), "consumer"),
    "upstreams": {"targets": "upstream"},
    "certificates": {"snis": "certificate"},
}
_REFERENCES: Final[Mapping[str, tuple[str, str]]] = {
    "service": ("services", "name"), "route": ("routes", "name"), "consumer": ("consumers",
    "username"),
    "upstream": ("upstreams", "name"), "certificate": ("certificates", "name"),
    "client_certificate": ("certificates", "name"), "set": ("key_sets", "name"),
}  # fmt: skip
"""Field of a reference -> type of its target, and the target's name field."""

_SINGULAR: Final[Mapping[str, str]] = {
    "services": "service", "routes": "route", "upstreams": "upstream", "targets": "target",
}  # fmt: skip
"""Types that `_info.defaults` has values for."""

_TYPES: Final[tuple[tuple[type | tuple[type, ...], str, frozenset[str]], ...]] = (
    (str, "a text", frozenset({
        "id", "name", "host", "protocol", "path", "url", "username", "custom_id", "key", "secret",
        "group", "target",
        "instance_name", "algorithm", "rsa_public_key", "prefix",
    })),
    ((int, float), "a number", frozenset({
        "port", "retries", "connect_timeout", "read_timeout", "write_timeout", "regex_priority",
        "weight", "ttl",
    })),
    (bool, "true or false", frozenset({"strip_path", "preserve_host", "enabled"})),
    (list, "a list", frozenset({"paths", "hosts", "methods", "protocols", "tags", "snis"})),
    (dict, "a mapping", frozenset({"config", "headers", "healthchecks"})),
)  # fmt: skip
_TEXTS: Final = frozenset({"paths", "hosts", "methods", "protocols", "tags"})
_URL: Final = re.compile(r"([a-z_]+)://(\[[0-9A-Fa-f:.]+\]|[^/:?#]+)(?::(\d{1,5}))?(/[^?#]*)?")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9._~/%-]*")
ENV: Final = re.compile(r'\$\{\{\s*env\s+"([A-Za-z_][A-Za-z0-9_]*)"\s*(?:\|[^}]*)?\}\}')
MISREAD_ERRORS: Final = (TypeError, AttributeError, KeyError, ValueError, IndexError)
"""Errors of reading an entity whose fields are not of the types that Kong takes."""

_ROOT: Final = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")
"""Namespace of the UUIDv5 that Kong derives for entities without an id."""


class DeclarativeFile:
    """The entities of one file."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self.unmapped: list[Unmapped] = []
        self._trees: dict[str, dict[str, JsonTree]] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._left = MAX_VALUES
        self._weights: dict[int, int] = {}
        root = text.root
        if not isinstance(root, dict):
            text.fail((), "expected a mapping with _format_version")
        self._version = str(root.get("_format_version", ""))
        if self._version not in _VERSIONS:
            text.fail(("_format_version",), f"expected one of {', '.join(_VERSIONS)}")
        info = self._record(root, "_info")
        self._defaults = self._record(info, "defaults", "_info")
        self._tags = [tag for tag in info.get("select_tags") or () if isinstance(tag, str)]
        self._configs = self._record(root, "_plugin_configs")
        for name in ("_workspace", "_konnect"):
            if root.get(name):
                message = "only the objects in the file are read"
                self.unmapped.append(Unmapped(f"{name} of the file", "", "", message))
        for name, value in root.items():
            self._read_section(name, value)

    def entities(self) -> dict[str, dict[str, Entity]]:
        """Return the entities by type and id, references resolved.

        Raises UsageError with file:line.
        """
        found: dict[str, dict[str, Entity]] = {}
        for name, trees in self._trees.items():
            for ident, tree in trees.items():
                path = self._paths[name, ident]
                self._report_placeholders(name, tree, path)
                resolved = {f: self._resolve_reference(f, v, path) for f, v in tree.items()}
                found.setdefault(name, {})[ident] = Entity.of(name, resolved)
        return found

    def _report_placeholders(self, entity_type: str, tree: JsonTree, path: Path) -> None:
        secret = _SECRETS.get(entity_type, ())
        for at in placeholders(tree):
            if at[0] not in secret:
                message = "set by the environment of decK: write its value into the file"
                self.unmapped.append(Unmapped(dotted(path), dotted(at), "", message))

    def raise_misread(self, snapshot: NodeSnapshot) -> NoReturn:
        """Raise UsageError for the first service or consumer that cannot be read."""
        entities, node, owner = snapshot.foreign.entities, snapshot.node, snapshot.owner
        families = group_by_root(entities)
        for name in ("services", "consumers"):
            for ident, root in entities.get(name, {}).items():
                try:
                    key = object_key(name, root.tree, node.options)
                    group_from_entities(
                        key, (root, *families.get((name, ident), ())), node, owner, managed=False
                    )
                except MISREAD_ERRORS:
                    message = (
                        "a field of it, or of what hangs on it, is not of the type that Kong takes"
                    )
                    self._text.fail(self._paths[name, ident], message)
        raise UsageError(f"{self._text.name}: it holds values that Kong would not take")

    def _record(self, holder: Mapping[str, Any], name: str, *above: str) -> JsonTree:
        value = holder.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._text.fail((*above, name), "expected a mapping")
        return value

    def _read_section(self, name: str, value: Any) -> None:
        if name in _HEAD or value is None:
            return
        if name.startswith("_"):
            self._text.fail((name,), "unknown field")
        if not isinstance(value, list):
            self._text.fail((name,), "expected a list of entities")
        for index, tree in enumerate(value):
            self._add(name, tree, (name, index), {})

    def _add(self, entity_type: str, tree: Any, path: Path, parent: Mapping[str, Any]) -> None:
        if not isinstance(tree, dict):
            self._text.fail(path, "expected a mapping")
        if entity_type not in ENTITY_ORDER or tree.get("consumer_group") is not None:
            called = str(tree.get("name") or tree.get("id") or "")[:120]
            self.unmapped.append(Unmapped(f"{entity_type} {called}".strip(), "", "", KEPT))
            return
        children = _CHILDREN.get(entity_type, {})
        defaults = self._defaults_of(entity_type)
        self._charge(defaults, path)
        own = {**defaults, **tree, **parent}
        flat = {
            field: value
            for field, value in own.items()
            if value is not None and field not in children and not field.startswith("_")
        }
        if entity_type == "consumers" and flat.pop("groups", None):
            message = f"consumer {flat.get('username') or ''}".strip()
            self.unmapped.append(
                Unmapped(message, "groups", "", "consumer groups are Kong Enterprise's")
            )
        self._check(flat, path)
        self._complete(entity_type, flat, tree, path)
        ident = flat["id"] = str(flat.get("id") or self._identifier(entity_type, flat, path))
        if ident in self._trees.get(entity_type, {}):
            self._text.fail(path, "this id, or this name, is declared twice")
        self._trees.setdefault(entity_type, {})[ident] = flat
        self._paths[entity_type, ident] = path
        self._register_names(entity_type, flat, ident, path)
        for field, reference in children.items():
            self._add_children(field, own.get(field), (*path, field), {reference: {"id": ident}})

    def _add_children(self, entity_type: str, value: Any, path: Path, parent: JsonTree) -> None:
        if value is None:
            return
        if not isinstance(value, list):
            self._text.fail(path, "expected a list of entities")
        for index, tree in enumerate(value):
            one = {"name": tree} if entity_type == "snis" and isinstance(tree, str) else tree
            self._add(entity_type, one, (*path, index), parent)

    def _charge(self, shared: Any, path: Path) -> None:
        """Charge what one entity takes from shared parts: a small file may mean a large one."""
        if id(shared) not in self._weights:
            self._weights[id(shared)] = weight(shared) if shared else 0
        self._left -= self._weights[id(shared)]
        if self._left < 0:
            self._text.fail(path, f"more than {MAX_VALUES:,} values come out of it: split the file")

    def _defaults_of(self, entity_type: str) -> JsonTree:
        if entity_type not in _SINGULAR:
            return _NONE
        return self._record(self._defaults, _SINGULAR[entity_type], "_info", "defaults") or _NONE

    def _check(self, tree: JsonTree, path: Path) -> None:
        for field, value in tree.items():
            for wanted, message, fields in _TYPES:
                if field not in fields:
                    continue
                is_flag = isinstance(value, bool)
                if not isinstance(value, wanted) or (is_flag and wanted is not bool):
                    self._text.fail((*path, field), f"expected {message}")
                if field in _TEXTS and any(not isinstance(item, str) for item in list(value)):  # type: ignore[call-overload]
                    self._text.fail((*path, field), "expected a list of texts")

    def _complete(self, entity_type: str, tree: JsonTree, given: JsonTree, path: Path) -> None:
        """Write out what the file leaves to Kong or to decK."""
        if self._tags:
            self._charge(self._tags, path)
            tree["tags"] = list(dict.fromkeys([*tree.get("tags", ()), *self._tags]))
        if entity_type == "services":
            self._put_url(tree, path)
        if entity_type == "routes" and self._version != "3.0":
            # What was a regular expression by its looks has been one by its `~` since 3.0.
            tree["paths"] = [
                p if _PLAIN_PATH.fullmatch(p) else f"~{p}" for p in tree.get("paths", ())
            ]
        if entity_type == "plugins":
            self._put_config(tree, given, path)
        for field in _NEEDED.get(entity_type, ()):
            if tree.get(field) in (None, ""):
                self._text.fail(path, f"{field} is missing")
        if entity_type == "jwt_secrets" and not (tree.get("secret") or tree.get("rsa_public_key")):
            self._text.fail(path, "secret or rsa_public_key is missing")

    def _put_url(self, tree: JsonTree, path: Path) -> None:
        url = tree.pop("url", None)
        if url is not None:
            found = _URL.fullmatch(url)
            if found is None:
                self._text.fail((*path, "url"), "expected protocol://host[:port][/path]")
            # `url` sets the port by its scheme; `protocol: https` alone leaves Kong's 80.
            default = 443 if found[1] == "https" else 80
            tree |= {"protocol": found[1], "host": found[2], "port": int(found[3] or default)}
            if found[4]:
                tree["path"] = found[4]
        tree.setdefault("port", 80)

    def _put_config(self, tree: JsonTree, given: JsonTree, path: Path) -> None:
        shared = given.get("_config")
        if shared is None:
            return
        if not isinstance(shared, str) or shared not in self._configs:
            self._text.fail((*path, "_config"), "this is not among the _plugin_configs")
        config = self._record(self._configs, shared, "_plugin_configs")
        self._charge(config, path)
        tree["config"] = _merge_config(config, tree.get("config", {}))

    def _identifier(self, entity_type: str, tree: JsonTree, path: Path) -> str:
        """Return the id that Kong derives from a name; a stable one for what has none."""
        called = tree.get("username" if entity_type == "consumers" else "name")
        if entity_type in ("services", "routes", "consumers", "upstreams") and called:
            # As Kong derives them: uuid5(uuid5(ROOT, type), name), checked on 3.4.2 and 3.9.1.
            return str(uuid.uuid5(uuid.uuid5(_ROOT, entity_type), called))
        return str(uuid.uuid5(_ROOT, "/".join(map(str, (entity_type, *path)))))

    def _register_names(self, entity_type: str, tree: JsonTree, ident: str, path: Path) -> None:
        if entity_type not in ("services", "routes", "consumers", "upstreams", "key_sets"):
            return
        for field in ("name", "username"):
            called = tree.get(field)
            if called and self._names.setdefault((entity_type, called), ident) != ident:
                self._text.fail(path, f"the {field} {called[:80]} is declared twice")

    def _resolve_reference(self, field: str, value: Any, path: Path) -> Any:
        if field not in _REFERENCES or not isinstance(value, (str, dict)):
            return value
        entity_type, called = _REFERENCES[field]
        given = value if isinstance(value, str) else value.get("id") or value.get(called)
        known = self._trees.get(entity_type, {})
        ident = given if given in known else self._names.get((entity_type, str(given)), "")
        if ident not in known:
            self._text.fail((*path, field), f"there is no such entity in {entity_type}")
        return {"id": ident}


_SECRETS: Final = {
    "keyauth_credentials": ("key",),
    "jwt_secrets": ("key", "secret", "rsa_public_key"),
}
"""Fields whose placeholders become references."""

_NONE: Final[JsonTree] = {}
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "services": ("host",), "plugins": ("name",), "acls": ("group", "consumer"),
    "targets": ("target", "upstream"),
    "keyauth_credentials": ("consumer", "key"), "jwt_secrets": ("consumer", "key"),
    "upstreams": ("name",),
}  # fmt: skip
"""Required fields; a credential without a value would get a random one at each load."""


def _merge_config(base: Any, given: Any) -> Any:
    """Merge two configs, records field by field."""
    if isinstance(base, dict) and isinstance(given, dict):
        return {
            **base,
            **{name: _merge_config(base.get(name), item) for name, item in given.items()},
        }
    return given


def placeholders(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of `${{ env … }}` in a tree."""
    if isinstance(value, str):
        if ENV.search(value):
            yield path
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from placeholders(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from placeholders(item, (*path, index))
