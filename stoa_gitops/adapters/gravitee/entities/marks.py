"""Marks that we write on Gravitee's objects: who owns them, and what no field can hold. Pure.

An API carries them as properties, which lists show and labels cannot hold: a label has 64
characters at most. An application carries one line at the end of its description.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.model.keys import API, APPLICATION, Key

LABEL: Final = "managed-by:stoa-gitops"
"""Label of our APIs, for people; it is no proof."""

_PREFIX: Final = "stoa."
_OWNER, _KEY = "owner", "key"
INCOMPLETE: Final = "incomplete"
"""Mark of an API of which only policies are written."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LINE: Final = re.compile(
    r"\n?\[stoa-gitops owner=(?P<owner>\S+) key=(?P<tenant>[^/\s]+)/(?P<name>[^/\s]+)"
    r"(?P<words>(?: [a-z]+=\S+)*)\]"
)
_OTHER: Final = re.compile(r"[^a-z0-9]+")
# Characters of a DNS label (RFC 1123 §2.1).
_LONGEST: Final = 63


def fingerprint(value: str) -> str:
    """Return 64 bits of a secret's SHA-256: a mark may tell that it changed, not what it is."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def api_marks(owner: str, key: Key, further: Mapping[str, str]) -> list[JsonTree]:
    """Return the properties that mark an API; `further` by name, sorted."""
    marks = {_OWNER: owner, _KEY: key.short, **dict(sorted(further.items()))}
    return [{"key": f"{_PREFIX}{name}", "value": value} for name, value in marks.items()]


def marks_in(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the marks of an API by name, without the prefix; empty for a foreign one.

    One that was created by single calls and got no further has its mark in the description.
    """
    found: dict[str, str] = {}
    for entry in definition.get("properties") or ():
        name, value = entry.get("key"), entry.get("value")
        if isinstance(name, str) and name.startswith(_PREFIX) and isinstance(value, str):
            found[name.removeprefix(_PREFIX)] = value
    mark = None if found else read_application_mark(definition.get("description"))
    if mark is not None:
        return {_OWNER: mark.owner, _KEY: mark.key.short, INCOMPLETE: "true"}
    return found


def is_mark(entry: Mapping[str, Any]) -> bool:
    """Whether a property of an API is one of our marks."""
    return str(entry.get("key", "")).startswith(_PREFIX)


def owner_in(marks: Mapping[str, str]) -> str:
    """Return the catalog that an API belongs to; empty where none says so."""
    return marks.get(_OWNER, "") if key_in(marks) is not None else ""


def key_in(marks: Mapping[str, str]) -> Key | None:
    """Return the key that an API's marks say, None where they say none."""
    tenant, slash, name = marks.get(_KEY, "").partition("/")
    if not slash or not is_catalog_name(tenant) or not all(map(is_catalog_name, name.split("."))):
        return None
    return Key(API, tenant, name)


def is_catalog_name(text: str) -> bool:
    """Whether a text is a name that the catalog allows."""
    return _NAME.fullmatch(text) is not None


def foreign_key(kind: str, name: str, tenant: str) -> Key:
    """Return the key of a foreign object of this name."""
    slug = _OTHER.sub("-", name.lower()).strip("-")[:_LONGEST].strip("-")
    return Key(kind, tenant, slug or "unnamed")


def read_memory(marks: Mapping[str, str], name: str) -> Any:
    """Return a JSON value that a mark holds; None for none."""
    try:
        return json.loads(marks[name])
    except (KeyError, ValueError):
        return None


def write_memory(value: object) -> str:
    """Return a JSON value as the text of a mark."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ApplicationMark:
    """What the description of an application of ours says.

    credentials    type and fingerprint of each, in the catalog's order
    subscriptions  as documents have them: some become no subscription of Gravitee
    """

    owner: str
    key: Key
    credentials: tuple[tuple[str, str], ...] = ()
    subscriptions: tuple[JsonTree, ...] = ()

    @property
    def text(self) -> str:
        """The line."""
        words = [f" credential={kind}:{printed}" for kind, printed in self.credentials]
        words += [f" {_write_subscription(one)}" for one in self.subscriptions]
        return f"[stoa-gitops owner={self.owner} key={self.key.short}{''.join(words)}]"


def read_application_mark(description: object) -> ApplicationMark | None:
    """Parse the mark in a description; None where there is none."""
    found = _LINE.search(description) if isinstance(description, str) else None
    if found is None or not is_catalog_name(found["tenant"]):
        return None
    key = Key(APPLICATION, found["tenant"], found["name"])
    words = [word.partition("=")[::2] for word in found["words"].split()]
    credentials = (text.partition(":")[::2] for name, text in words if name == "credential")
    subscriptions = (
        _read_subscription(text, is_ended=name == "ended")
        for name, text in words
        if name in ("subscription", "ended")
    )
    return ApplicationMark(found["owner"], key, tuple(credentials), tuple(subscriptions))


def _write_subscription(one: Mapping[str, Any]) -> str:
    """Return `subscription=tenant/api:plan@end`, or `ended=` for one that counts no more."""
    plan = f":{one['plan']}" if "plan" in one else ""
    end = f"@{one['expiresAt']}" if "expiresAt" in one else ""
    return f"{'ended' if one.get('ended') else 'subscription'}={one['api']}{plan}{end}"


def _read_subscription(text: str, *, is_ended: bool) -> JsonTree:
    rest, _, end = text.partition("@")
    api, _, plan = rest.partition(":")
    fields = {"plan": plan, "expiresAt": end}
    found: JsonTree = {"api": api, **{name: value for name, value in fields.items() if value}}
    return {**found, "ended": True} if is_ended else found
