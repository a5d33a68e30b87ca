"""What a person decides about a new catalog, with defaults for everything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from stoa_gitops.catalog.evaluation.backend_urls import denied_category, literal_addresses
from stoa_gitops.catalog.evaluation.layout import NAME
from stoa_gitops.errors import UsageError

CI_SYSTEMS: Final = ("github", "gitlab", "none")
"""For whom a CI job can be written."""

DEFAULT_TENANT: Final = "acme"
DEFAULT_API: Final = "hello"

_LONGEST_NAME: Final = 63
"""Characters of a DNS label (RFC 1123 §2.1)."""


@dataclass(frozen=True, slots=True)
class StarterChoices:
    """What a new catalog holds. Raises UsageError for a value that no document may have.

    name     of the catalog: part of every mark on a gateway
    backend  URL behind the first API; empty for the echo that is built in
    ci       one of CI_SYSTEMS
    """

    name: str
    tenant: str = DEFAULT_TENANT
    api: str = DEFAULT_API
    backend: str = ""
    ci: str = "none"

    def __post_init__(self) -> None:
        for noun, value in (("catalog", self.name), ("tenant", self.tenant), ("API", self.api)):
            check_name(noun, value)
        check_backend(self.backend)

    @property
    def key_variable(self) -> str:
        """The variable with the key of the first application; the tenant may refer to it."""
        name = self.tenant.upper().replace("-", "_")
        # As `secrets` derives it: a name of a variable does not begin with a digit.
        return f"_{name}_WEB_KEY" if name[0].isdigit() else f"{name}_WEB_KEY"

    @property
    def backends_allowed(self) -> tuple[str, ...]:
        """CIDRs of this machine that the gateway has to be allowed, to reach the backend."""
        addresses = literal_addresses(urlsplit(self.backend).hostname or "")
        return tuple(f"{one}/{one.max_prefixlen}" for one in addresses if denied_category(one))


def check_name(noun: str, value: str) -> None:
    """Raise UsageError for a name that no document may have."""
    if not NAME.fullmatch(value):
        near = nearest_name(value)
        hint = f", such as {near}" if near else ""
        raise UsageError(
            f"{value!r} is no name of a {noun}: it has small letters, digits and hyphens, begins "
            f"and ends with a letter or digit, and has at most {_LONGEST_NAME} characters{hint}"
        )


def check_backend(url: str) -> None:
    """Raise UsageError for what is no http or https URL of a host."""
    if not url:
        return
    host = ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port that is no number
        is_usable = False
    if not is_usable or re.search(r"[\s$\"\\]", url):
        raise UsageError(f"{url!r} is no backend: write a URL such as https://orders.acme.example")
    for address in literal_addresses(host):
        # Of what no gateway reaches by default, a service on one's own machine is what people have.
        if denied_category(address) not in {"", "loopback"}:
            raise UsageError(
                f"{url!r} is no backend: {address} is {denied_category(address)}, which no gateway "
                "reaches unless its `backends.allow` says so"
            )


def nearest_name(text: str) -> str:
    """Return the name that is most like a text, empty where none is."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return name[:_LONGEST_NAME].strip("-")


def default_name(folder: Path) -> str:
    """Return the name of a catalog in a folder: that of the folder, as far as it makes one."""
    return nearest_name(folder.absolute().name) or "catalog"
