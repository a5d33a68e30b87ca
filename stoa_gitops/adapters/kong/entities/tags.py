"""How our entities on Kong are called and marked, and what the marks tell. Pure.

Whatever Kong has no field for is kept in tags: `stoa-<word>` or `stoa-<word>:<text>`. A tag is printable ASCII without
`,` and `/` (Kong's typedefs); the reader ignores tags that it does not understand, for people write tags, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import Options
from stoa_gitops.model.keys import API, APPLICATION, Key

UNMAPPED: Final = "kong"
"""Field of an item for what Kong holds beyond its canonical form; null where that is nothing, as it is wanted."""

INCOMPLETE_TAG: Final = "stoa-incomplete"
"""On a service that stands for an API of which only policies were written yet."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OURS: Final = re.compile(r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 63


@lru_cache(maxsize=64)
def owner_tag(owner: str) -> str:
    """Return the tag that every entity of a catalog carries."""
    return f"stoa-managed-by:{owner}"


def has_owner_tag(tree: Mapping[str, Any], owner: str) -> bool:
    """Whether an entity is one of ours."""
    return owner_tag(owner) in (tree.get("tags") or ())


def tag_values(tree: Mapping[str, Any], word: str) -> Iterator[str]:
    """Yield the text of each tag `stoa-<word>:<text>`."""
    start = f"stoa-{word}:"
    for tag in tree.get("tags") or ():
        if tag.startswith(start):
            yield tag[len(start) :]


def parse_pairs(text: str) -> tuple[str, dict[str, str]]:
    """Read `first a=b c=d`; words without a sign are left out."""
    first, *words = text.split(" ")
    return first, {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}


def fingerprint(value: str) -> str:
    """Return what a tag may tell of a secret: enough to see that it is another one."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def upstream_name(service: str) -> str:
    """Return the name of the upstream of a service of ours, which is a host name to Kong."""
    return f"{service}.upstream"


def entity_name(key: Key) -> str:
    """Return the name of the service or consumer of an object: `acme.billing`."""
    return f"{key.tenant}.{key.name}"


def is_catalog_name(text: str) -> bool:
    """Whether a catalog could call something so."""
    return _NAME.fullmatch(text) is not None


def object_key(entity_type: str, tree: Mapping[str, Any], options: Options) -> Key:
    """Return the key of a service (an API) or a consumer (an application), ours or foreign.

    A name that is not `<tenant>.<name>` is made into one; two foreign names may give the same key.
    """
    kind = API if entity_type == "services" else APPLICATION
    called = str(tree.get("name") or tree.get("username") or tree.get("custom_id") or tree["id"])
    found = _OURS.fullmatch(called)
    if found and is_catalog_name(found[1]) and is_catalog_name(found[2]):
        return Key(kind, found[1], found[2])
    return Key(kind, _tenant_of(tree) or options.tenant, _slug(called))


def _tenant_of(tree: Mapping[str, Any]) -> str | None:
    for tag in tree.get("tags") or ():
        for start in ("stoa-tenant:", "tenant:"):
            if tag.startswith(start) and is_catalog_name(tag[len(start) :]):
                return str(tag[len(start) :])
    return None


def _slug(text: str) -> str:
    return _OTHER.sub("-", text.lower()).strip("-")[:_LONGEST].strip("-") or "unnamed"
