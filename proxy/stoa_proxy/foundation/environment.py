"""Reading settings from environment variables; one that is blank counts as unset."""

from __future__ import annotations

import re
from collections.abc import Mapping

from stoa_proxy.errors import ConfigInvalid

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_text(env: Mapping[str, str], name: str) -> str | None:
    """Return a variable without the blanks around it, or None."""
    return env.get(name, "").strip() or None


def read_number(env: Mapping[str, str], name: str) -> int | None:
    """Return a whole number, or None. Raises ConfigInvalid."""
    text = read_text(env, name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ConfigInvalid(f"{name} must be a whole number, not {text!r}")
    return int(text)


def read_flag(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return whether a variable says yes. Raises ConfigInvalid."""
    text = (read_text(env, name) or str(default)).lower()
    if text not in _FLAGS:
        raise ConfigInvalid(f"{name} must be true or false, not {text!r}")
    return _FLAGS[text]


def read_list(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, without blanks and empty ones."""
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())
