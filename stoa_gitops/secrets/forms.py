"""Checks that a secret can be sent where it should go, before anybody wonders about a 401.

The rules are those of HTTP: RFC 9110 §5.5 for field values, RFC 7617 §2 for user and password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from stoa_gitops.model.canonical import Json, Path, value_at

MAX_FIELD_BYTES: Final = 8 << 10
"""Most that a key may have: servers refuse header lines beyond 8 KiB (nginx, Apache, Node)."""

_OUTSIDE: Final = re.compile(r"[^\x20-\x7e]")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_BOM: Final = "\ufeff"
_NAMES: Final = {"\r": "a carriage return (CR)", "\n": "a line feed (LF)", "\0": "a NUL",
                 "\t": "a tab", _BOM: "a byte order mark"}  # fmt: skip
_ENDS: Final = " \t\r\n"


class SecretForm(Enum):
    """Where a secret goes, which decides what it may hold.

    FIELD  a header or a query parameter: a key, a token
    BASIC  user or password of HTTP Basic authentication
    TEXT   text of several lines: certificates and keys in PEM
    """

    FIELD = "field"
    BASIC = "basic"
    TEXT = "text"


def form_at(tree: Json, path: Path) -> SecretForm:
    """Return the form of the secret at a path of a canonical spec."""
    holder, field = value_at(tree, path[:-1]), path[-1] if path else ""
    if len(path) > 1 and path[-2] == "tls":
        return SecretForm.TEXT
    if field in ("username", "password"):
        return SecretForm.BASIC
    if field == "key" and isinstance(holder, Mapping) and holder.get("type") == "jwt":
        return SecretForm.TEXT
    return SecretForm.FIELD


def form_of_role(role: str) -> SecretForm:
    """Return the form of a credential of a gateway: username, password, token or value."""
    return SecretForm.BASIC if role in ("username", "password") else SecretForm.FIELD


def find_flaw(text: str, form: SecretForm) -> str:
    """Return what is wrong with a value, without any part of it; empty where nothing is."""
    if form is SecretForm.TEXT:
        return _flaw_of_text(text)
    if not text.strip(_ENDS + _BOM):
        return "holds nothing but blanks"
    if text.startswith(_BOM):
        return "begins with a byte order mark, as some editors write it"
    if text[-1] in _ENDS or text[0] in _ENDS:
        end, at = (text[-1], "ends") if text[-1] in _ENDS else (text[0], "begins")
        return f"{at} with {_NAMES.get(end, 'a blank')}"
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES:
        return f"is larger than {MAX_FIELD_BYTES >> 10} KiB"
    found = (_OUTSIDE if form is SecretForm.FIELD else _CONTROLS).search(text)
    if found is not None:
        named = _NAMES.get(found[0])
        return f"holds {named}" if named else "holds a character that is not printable ASCII"
    return "is not UTF-8 text" if _has_surrogate(text) else ""


def _flaw_of_text(text: str) -> str:
    if "\0" in text:
        return "holds a NUL"
    if text.startswith(_BOM):
        return "begins with a byte order mark, as some editors write it"
    if not text.strip():
        return "holds nothing but blanks"
    return "is not UTF-8 text" if _has_surrogate(text) else ""


def _has_surrogate(text: str) -> bool:
    """Whether bytes of a variable that are no UTF-8 were taken over (PEP 383)."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


REMEDY: Final = {
    SecretForm.FIELD: "no header carries that: store the bare key, without line ends or blanks",
    SecretForm.BASIC: "HTTP Basic does not carry that: store it without line ends or blanks",
    SecretForm.TEXT: "store it as plain text",
}
"""What to do about a value with a flaw."""
