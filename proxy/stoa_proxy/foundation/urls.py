"""URLs of settings: of services that the operator names."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from stoa_proxy.errors import ConfigInvalid


def check_url(name: str, text: str) -> None:
    """Raise ConfigInvalid for what is no http or https URL, or has more than a path."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise ConfigInvalid(f"{name} must be an http or https URL with a host")
    if "@" in parts.netloc:
        # Without the text: what stands there may be a password.
        raise ConfigInvalid(f"{name} must not hold a user or a password")
    if "?" in text or "#" in text:
        raise ConfigInvalid(f"{name} must end with its path: no '?' and no '#'")
