"""Name and id of a registered gateway: the same ones each time it starts.

STOA's documentation derives the name as `{hostname}-{mode}-{environment}`, with the mode's inner
hyphen left out: `stoa-gw-abc123-edgemcp-prod`. The real gateway 0.9.25 spells the mode with it when
it asks for its routes (`…-edge-mcp-prod`), so both lead here.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final

from stoa_gitops.model.keys import NAMESPACE

MAX_NAME: Final = 63
"""Characters of a name, as of the names of documents: a document may bind a gateway by its name."""

_LONGEST: Final = 512
"""Characters of a name that is looked at for other spellings: host names have 253 (RFC 1035)."""

_HASH: Final = 8
_PLAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ODD: Final = re.compile(r"[^a-z0-9]+")

_ENVIRONMENTS: Final[Mapping[str, str]] = {
    "development": "dev",
    "stage": "staging",
    "production": "prod",
}


class Mode(Enum):
    """What a STOA gateway does; the values are those that it sends (contract stoa.md §2.3)."""

    EDGE_MCP = "edge-mcp"
    SIDECAR = "sidecar"
    PROXY = "proxy"
    SHADOW = "shadow"
    CONNECT = "connect"

    @property
    def short(self) -> str:
        """The mode as part of a name: without the hyphen."""
        return self.value.replace("-", "")

    @property
    def gateway_type(self) -> str:
        """The gateway type of documents."""
        return _TYPES[self]


_TYPES: Final = {
    Mode.EDGE_MCP: "stoa_edge_mcp",
    Mode.SIDECAR: "stoa_sidecar",
    Mode.PROXY: "stoa_proxy",
    Mode.SHADOW: "stoa_shadow",
    Mode.CONNECT: "stoa",
}

_MODES: Final[Mapping[str, Mode]] = {mode.short: mode for mode in Mode} | {"mcp": Mode.EDGE_MCP}


def parse_mode(text: str) -> Mode:
    """Return the mode of a registration, in any spelling; raises ValueError naming all modes."""
    mode = _MODES.get(text.strip().lower().replace("-", "").replace("_", ""))
    if mode is None:
        raise ValueError(f"no such mode; there are: {', '.join(one.value for one in Mode)}")
    return mode


def canonical_environment(text: str) -> str:
    """Return the one spelling of an environment: `prod` for `production`, `PROD` and `prod`.

    Others than STOA's three keep their name, in the characters of a document's name. ValueError for
    one that has none of these.
    """
    name = _slug(text.strip().lower())
    if not name:
        raise ValueError("an environment has at least one letter or digit")
    return _ENVIRONMENTS.get(name, name)


def identity_name(hostname: str, mode: Mode, environment: str) -> str:
    """Return the name of a gateway.

    A host name that cannot be a part of a document's name as it is gets a slug and a hash of what
    was given: letters beyond ASCII, underscores, path characters, or too many of them. Raises
    ValueError for a blank host name, for an environment that leaves no room in a name, and as
    `canonical_environment` does.

        >>> identity_name("stoa-gw-abc123", Mode.EDGE_MCP, "production")
        'stoa-gw-abc123-edgemcp-prod'
    """
    given = hostname.strip()
    if not given:
        raise ValueError("a host name is not blank")
    suffix = f"-{mode.short}-{canonical_environment(environment)}"
    if len(suffix) > MAX_NAME - _HASH:
        most = MAX_NAME - _HASH - len(f"-{mode.short}-")
        raise ValueError(f"an environment has at most {most} characters here: {MAX_NAME} in a name")
    plain = given.lower()
    name = plain + suffix
    if len(name) <= MAX_NAME and _PLAIN.fullmatch(plain):
        return name
    digest = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    room = MAX_NAME - len(suffix) - _HASH - 1
    slug = _slug(plain)[: max(room, 0)].rstrip("-")
    return f"{slug}-{digest}{suffix}" if slug else f"{digest}{suffix}"


def gateway_id(name: str) -> str:
    """Return the id of a gateway: the UUIDv5 of its name, so that a restart finds it again."""
    return str(uuid.uuid5(NAMESPACE, f"gateway|{name}"))


def spellings(text: str) -> Iterator[str]:
    """Yield the names that a caller may mean who wrote a name with other spellings of its parts.

    The given one first. A name can be read in several ways (`a-edge-mcp-dev` may be the host `a` in
    mode edge-mcp); which of them exists is up to the caller.
    """
    given = text.strip()
    yield given
    parts = given.split("-") if len(given) <= _LONGEST else []
    for start in range(len(parts) - 2, 0, -1):
        for words in (2, 1):
            mode, rest = "".join(parts[start : start + words]), parts[start + words :]
            if mode == "mcp" and start > 1 and parts[start - 1] == "edge":
                # The real gateway asks as `a-edge-mcp-dev` where its host is `a`: were that the
                # host `a-edge`, too, it would get what is for the gateway on that one.
                continue
            try:
                yield identity_name("-".join(parts[:start]), parse_mode(mode), "-".join(rest))
            except ValueError:
                continue


def _slug(text: str) -> str:
    """Return text in the characters of a name; empty where it has none of them."""
    return _ODD.sub("-", text)[:MAX_NAME].strip("-")
