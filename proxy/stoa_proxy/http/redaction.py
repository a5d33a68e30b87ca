"""What may be shown of requests: texts without what is, or looks like, a credential."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_plus

from stoa_proxy.http.credential_names import names_credential
from stoa_proxy.http.heads import Header

REDACTED: Final = "[redacted]"

# Keys, tokens and ids: long, of letters and digits, and not of words such as `orders-v2`.
_TOKEN = re.compile(r"[A-Za-z0-9_+=~-]{20,}")
_WORDS = re.compile(
    r"(?:(?:[a-z]{1,15}|[A-Z][a-z]{0,14}|[A-Z]{1,15})[0-9]{0,4}|[0-9]{1,8})"
    r"(?:[-_+=~]+(?:(?:[a-z]{1,15}|[A-Z][a-z]{0,14}|[A-Z]{1,15})[0-9]{0,4}|[0-9]{1,8}))*"
)
_LONGEST_WORD: Final = 32
_QUERY = re.compile(r"\?[^\s\"'<>]*")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]*@")
# Schemes of credentials, wherever they stand.
_SCHEME = re.compile(r"\b(basic|bearer|digest|negotiate|apikey|token)\s+\S+", re.IGNORECASE)
# Names beside those of `names_credential`.
_NAMES = re.compile(r"auth|^code$|^sig$|jwt|assertion|otp|^pin$|csrf|xsrf", re.IGNORECASE)


def scrub(text: str) -> str:
    """Return a text without what looks like a credential, and without queries of URLs."""
    text = _QUERY.sub(f"?{REDACTED}", text)
    text = _USER_INFO.sub(f"{REDACTED}@", text)
    text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    return _TOKEN.sub(_hide_token, text)


def scrub_path(path: str) -> str:
    """Return the path of a URL without segments that look like credentials."""
    return _TOKEN.sub(_hide_token, path)


def shown_headers(
    headers: Iterable[Header], secret: Iterable[str], *, most: int, longest: int
) -> list[list[str]]:
    """Return at most `most` headers; values of `longest` characters, those of credentials hidden.

    `secret` are names in lower case of headers that hold credentials here.
    """
    hidden = frozenset(secret)
    shown: list[list[str]] = []
    for name, value in headers:
        if len(shown) == most:
            break
        is_secret = name.lower() in hidden or is_secret_name(name)
        # Cut at last: of a token that is cut first the rest could look like none.
        shown.append([name[:longest], REDACTED if is_secret else scrub(value)[:longest]])
    return shown


def shown_query(query: str, *, longest: int) -> str:
    """Return the names of a query; its values are never shown, nor what has no name."""
    parts = []
    for part in query[: longest * 4].split("&"):
        name, equals, _ = part.partition("=")
        is_name = equals and not is_secret_text(unquote_plus(name))
        parts.append(f"{name}={REDACTED}" if is_name else REDACTED)
    return "&".join(parts)[:longest]


def is_secret_name(name: str) -> bool:
    """Whether a header of this name may hold a credential."""
    return names_credential(name) or _NAMES.search(name) is not None


def is_secret_text(text: str) -> bool:
    """Whether a text looks like a credential."""
    return scrub(text) != text


def _hide_token(match: re.Match[str]) -> str:
    text = match[0]
    if _WORDS.fullmatch(text):
        return text
    is_mixed = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return REDACTED if is_mixed or len(text) >= _LONGEST_WORD else text
