"""Marks that we write on webMethods' objects: who owns them, and what no field can hold. Pure.

APIs carry one line at the end of `apiDescription`, applications and aliases of `description`:
fields that every list shows and the server gives back as they were sent. What no field of an API
says is the text of its policy's description, where no portal shows it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.model.keys import API, APPLICATION, Key

LOCALE: Final = "en"
"""Of names and descriptions, which webMethods has in several languages."""

INCOMPLETE: Final = "incomplete"
"""Word of an API's mark of which only policies are written."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LINE: Final = re.compile(
    r"\n?\[stoa-gitops owner=(?P<owner>\S+) key=(?:(?P<tenant>[^/\s]+)/)?(?P<name>[^/\s\]]+)"
    r"(?P<words>(?: [a-z]+=\S+)*)\]"
)
_MEMORY: Final = "stoa-gitops "
_OTHER: Final = re.compile(r"[^a-z0-9]+")
# Characters of a DNS label (RFC 1123 §2.1).
_LONGEST: Final = 63


def fingerprint(value: str) -> str:
    """Return 64 bits of a secret's SHA-256: a mark may tell that it changed, not what it is."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Mark:
    """Who owns an object, and further words about it, each without spaces."""

    owner: str
    key: Key
    words: tuple[tuple[str, str], ...] = ()

    def word(self, name: str) -> str:
        """Return the first word of a name; empty for none."""
        return next((value for known, value in self.words if known == name), "")

    @property
    def text(self) -> str:
        """The line."""
        words = "".join(f" {name}={value}" for name, value in self.words)
        return f"[stoa-gitops owner={self.owner} key={self.key.short}{words}]"

    def below(self, text: str) -> str:
        """Return a text with the line below it."""
        return f"{text}\n{self.text}" if text else self.text


def read_mark(text: object, kind: str = API) -> Mark | None:
    """Parse the mark in a description; None where there is none."""
    found = _last_line(text) if isinstance(text, str) else None
    if found is None or not all(map(is_catalog_name, found["name"].split("."))):
        return None
    words = tuple(word.partition("=")[::2] for word in found["words"].split())
    if found["tenant"] is None:
        # Of the whole gateway: its mark says what it is.
        of_kind = next((value for name, value in words if name == "kind"), "")
        return Mark(found["owner"], Key(of_kind, "", found["name"]), words) if of_kind else None
    if not is_catalog_name(found["tenant"]):
        return None
    return Mark(found["owner"], Key(kind, found["tenant"], found["name"]), words)


def without_mark(text: object) -> str:
    """Return a description without our line."""
    if not isinstance(text, str):
        return ""
    found = _last_line(text)
    return text if found is None else text[: found.start()] + text[found.end() :]


def _last_line(text: str) -> re.Match[str] | None:
    """Return our line: the last one, for a catalog's own text above it may look like one."""
    found = None
    for found in _LINE.finditer(text):  # noqa: B007  # the last of them
        pass
    return found


def is_catalog_name(text: str) -> bool:
    """Whether a text is a name that the catalog allows."""
    return _NAME.fullmatch(text) is not None


def foreign_key(kind: str, name: str, tenant: str) -> Key:
    """Return the key of a foreign object of this name."""
    slug = _OTHER.sub("-", name.lower()).strip("-")[:_LONGEST].strip("-")
    return Key(kind, tenant, slug or "unnamed")


def localised(text: str) -> list[JsonTree]:
    """Return a text in webMethods' form for several languages."""
    return [{"value": text, "locale": LOCALE}]


def text_of(localised_texts: object) -> str:
    """Return the first text of that form; empty for none."""
    if not isinstance(localised_texts, list):
        return ""
    values = (one.get("value") for one in localised_texts if isinstance(one, Mapping))
    return next((value for value in values if isinstance(value, str)), "")


def write_memory(value: object) -> str:
    """Return a JSON value as the text of a policy's description."""
    return _MEMORY + json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_memory(text: str) -> JsonTree | None:
    """Return the JSON object that a policy's description holds; None for none."""
    if not text.startswith(_MEMORY):
        return None
    try:
        found = json.loads(text.removeprefix(_MEMORY))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def application_words(
    credentials: list[tuple[str, str]], subscriptions: list[Mapping[str, Any]]
) -> tuple[tuple[str, str], ...]:
    """Return the words of an application's mark.

    credentials    type and fingerprint of each, in the catalog's order
    subscriptions  as documents have them
    """
    words = [("credential", f"{kind}:{printed}") for kind, printed in credentials]
    return (*words, *(_subscription_word(one) for one in subscriptions))


def read_credentials(mark: Mark) -> list[tuple[str, str]]:
    """Return type and fingerprint of each credential that a mark names."""
    found = (value.partition(":")[::2] for name, value in mark.words if name == "credential")
    return [(kind, printed) for kind, printed in found]


def read_subscriptions(mark: Mark) -> list[JsonTree]:
    """Return the subscriptions that a mark names, as documents have them."""
    return [
        _read_subscription(value, is_ended=name == "ended")
        for name, value in mark.words
        if name in ("subscription", "ended")
    ]


def _subscription_word(one: Mapping[str, Any]) -> tuple[str, str]:
    """Return `subscription=tenant/api:plan@end`, or `ended=` for one that counts no more."""
    plan = f":{one['plan']}" if "plan" in one else ""
    end = f"@{one['expiresAt']}" if "expiresAt" in one else ""
    return ("ended" if one.get("ended") else "subscription"), f"{one['api']}{plan}{end}"


def _read_subscription(text: str, *, is_ended: bool) -> JsonTree:
    rest, _, end = text.partition("@")
    api, _, plan = rest.partition(":")
    fields = {"plan": plan, "expiresAt": end}
    found: JsonTree = {"api": api, **{name: value for name, value in fields.items() if value}}
    return {**found, "ended": True} if is_ended else found


def application_key(mark: Mark) -> Key:
    """Return the key of an application's mark."""
    return mark.key._replace(kind=APPLICATION)
