"""Names and tags of our entities on Kong. Pure.

What Kong has no field for is kept in tags: `stoa-<word>` or `stoa-<word>:<text>`. Kong takes
printable ASCII without `,` and `/` in a tag. Tags that we did not write are ignored.
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
"""Field of a listed object for what Kong holds beyond its canonical form; null for nothing."""

INCOMPLETE_TAG: Final = "stoa-incomplete"
"""On the service of an API of which only policies are written so far."""

# Names of the catalog are DNS labels (RFC 1123 §2.1).
MARK: Final = "stoa-managed-by:"
"""The beginning of the tag that names the catalog of an entity."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OURS: Final = re.compile(r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
# Characters of a DNS label.
_LONGEST: Final = 63


# Called for each entity: one catalog has one owner, a test has a few.
@lru_cache(maxsize=64)
def owner_tag(owner: str) -> str:
    """Return the tag of every entity of a catalog; one, for a query takes five at most."""
    return f"{MARK}{owner}"


def has_owner_tag(tree: Mapping[str, Any], owner: str) -> bool:
    """Whether an entity belongs to this catalog."""
    return owner_tag(owner) in (tree.get("tags") or ())


def has_mark(tree: Mapping[str, Any]) -> bool:
    """Whether somebody claims an entity, under whatever name."""
    return any(tag.startswith(MARK) for tag in tree.get("tags") or ())


def other_owner(tree: Mapping[str, Any]) -> str:
    """Return the catalog whose tag a foreign entity has; empty where there is none."""
    # Anybody can write a tag: what no catalog can be called is no name.
    return next(filter(is_catalog_name, tag_values(tree, "managed-by")), "")


def mark_loss(root: Mapping[str, Any], owner: str, identifier: str) -> str:
    """Return in words that a service or consumer of ours, by its id, has no mark; else nothing."""
    is_ours = root.get("id") == identifier and not has_owner_tag(root, owner)
    return f"without {owner_tag(owner)}" if is_ours else ""


def tag_values(tree: Mapping[str, Any], word: str) -> Iterator[str]:
    """Yield the text of each tag `stoa-<word>:<text>`."""
    start = f"stoa-{word}:"
    for tag in tree.get("tags") or ():
        if tag.startswith(start):
            yield tag[len(start) :]


def parse_pairs(text: str) -> tuple[str, dict[str, str]]:
    """Parse `first a=b c=d` into the first word and its pairs; other words are ignored."""
    first, *words = text.split(" ")
    return first, {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}


def fingerprint(value: str) -> str:
    """Return 64 bits of a secret's SHA-256: a tag may tell that it changed, not what it is."""
    # A secret from JSON may hold half a surrogate pair; its fingerprint must not fail.
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def upstream_name(service: str) -> str:
    """Return the name of the upstream of one of our services; Kong wants a host name."""
    return f"{service}.upstream"


def entity_name(key: Key) -> str:
    """Return the name of an object's service or consumer: `acme.billing`."""
    return f"{key.tenant}.{key.name}"


def is_catalog_name(text: str) -> bool:
    """Whether a text is a name that the catalog allows."""
    return _NAME.fullmatch(text) is not None


def object_key(entity_type: str, tree: Mapping[str, Any], options: Options) -> Key:
    """Return the key of a service (an API) or a consumer (an application), ours or foreign.

    Another name than `<tenant>.<name>` is made into one; two foreign names may give one key.
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
