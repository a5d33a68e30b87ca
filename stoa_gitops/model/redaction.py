"""Redacts secrets in messages: a response may quote a request, and with it a secret."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from stoa_gitops.model.canonical import Json
from stoa_gitops.model.secret import MASK, Secret, Value

MIN_EMBEDDED: Final = 4
"""Characters from which a form of a secret is replaced anywhere, inside of words, too.

Three characters and fewer occur in ordinary words (`on` in `connection`), so they are replaced only
where they stand alone. From four characters on hiding goes first, even if a word loses a part.
"""

MIN_LINE: Final = 16
"""Characters from which a line of a secret is replaced by itself: the lines of a PEM have 64.

Shorter lines of a secret of several lines may be ordinary words (`name: x`); they are replaced with
the whole secret only.
"""

# Percent-encoders differ in what they leave as it is (RFC 3986 §2.2): nothing, the slash of a path,
# or every character that is allowed in a path segment, as httpx and browsers do.
_SAFE_IN_URLS: Final = ("", "/", "/:@!$&'()*+,;=")

# What an encoder may leave in front of a short secret looks like a letter or digit: \n, \u000a,
# %20.
_STANDS_ALONE: Final = (
    r"(?:(?<!\w)|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})|(?<=\\x[0-9a-fA-F]{2})|(?<=%[0-9a-fA-F]{2}))"
    r"(?:FORM)(?!\w)"
)


# A thousand gateways have one each, and most of them no secret.
_NO_SECRETS: Final[frozenset[Secret]] = frozenset()
_NO_FORMS: Final[frozenset[str]] = frozenset()


class Redactor:
    """Replaces the secrets it was given by `***`, also where they are quoted, escaped or encoded.

    >>> Redactor([Secret("p/w+1")])("GET /x?key=p%2Fw%2B1 failed")
    'GET /x?key=*** failed'
    """

    def __init__(self, secrets: Iterable[Secret | None] = ()) -> None:
        # Most messages quote nothing and most cycles have none, so forms are built at the first
        # one.
        self._unread = _NO_SECRETS
        self._read = _NO_SECRETS
        self._forms = _NO_FORMS
        self._short_forms = _NO_FORMS
        self.add(secrets)

    def add(self, secrets: Iterable[Secret | None]) -> None:
        """Add secrets; None and empty values are ignored."""
        new = {s for s in secrets if s is not None and s not in self._read}
        if new:
            self._unread |= new

    def extended(self, secrets: Iterable[Secret | None]) -> Redactor:
        """Return a redactor of these secrets as well; this one stays as it is."""
        self._build_forms()  # once, here: a certificate and its key have a thousand forms
        other = Redactor()
        other._read, other._forms = self._read, self._forms
        other._short_forms = self._short_forms
        other.add(secrets)
        return other

    def __call__(self, text: str) -> str:
        """Return the text with `***` for each secret; overlapping ones are replaced as a whole."""
        if not text:
            return text
        self._build_forms()
        spans = sorted(self._spans(text))
        parts: list[str] = []
        end = 0
        for start, stop in spans:
            if start > end or not parts:
                parts += text[end:start], MASK
            end = max(end, stop)
        parts.append(text[end:])
        return "".join(parts)

    def __repr__(self) -> str:
        return f"Redactor({len(self._read) + len(self._unread)} secrets)"

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)
        for form in self._short_forms:
            if form in text:
                pattern = _STANDS_ALONE.replace("FORM", re.escape(form))
                yield from (match.span() for match in re.finditer(pattern, text))

    def _build_forms(self) -> None:
        if not self._unread:
            return
        forms = {form for secret in self._unread for form in _forms(secret.reveal())} - {""}
        short = {form for form in forms if len(form) < MIN_EMBEDDED}
        self._forms |= forms - short
        self._short_forms |= short
        self._read |= self._unread
        self._unread = _NO_SECRETS


def reveal(value: Value, seen: list[Secret]) -> Json:
    """Return a body ready for the wire; each secret in it is added to `seen`, for a Redactor."""
    if isinstance(value, Secret):
        seen.append(value)
        return value.reveal()
    if isinstance(value, Mapping):
        return {name: reveal(item, seen) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [reveal(item, seen) for item in value]
    return value  # type: ignore[return-value]  # what is left are the leaves of JSON


def _forms(value: str) -> Iterator[str]:
    """Yield every spelling in which a value, or a line of it, may come back."""
    long_lines = [line for line in value.splitlines() if len(line) >= MIN_LINE]
    for text in dict.fromkeys((value, value.strip(), *long_lines)):
        yield from _spellings(text)
        for encoded in _base64_forms(text):
            yield from _spellings(encoded)


def _base64_forms(text: str) -> Iterator[str]:
    # The base64 of three characters is an ordinary word of four: `MQ==` stands for `1`.
    if len(text) < MIN_EMBEDDED:
        return
    raw = text.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):  # RFC 4648 §4 and §5
        encoded = encode(raw).decode("ascii")
        yield encoded
        yield encoded.rstrip("=")  # JWTs and URLs leave the padding out (RFC 7515 §2)


def _spellings(text: str) -> Iterator[str]:
    yield text
    raw = text.encode("utf-8", "surrogatepass")
    for ensure_ascii in (True, False):
        escaped = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")  # cjson, which Kong answers with, escapes the slash
        yield json.dumps(escaped, ensure_ascii=ensure_ascii)[1:-1]  # JSON quoted in JSON
    yield repr(text)[1:-1]
    yield repr(raw)[2:-1]
    for percent in (*(quote(raw, safe=safe) for safe in _SAFE_IN_URLS), quote_plus(raw)):
        yield percent
        # RFC 3986 §2.1 wants upper case; some encoders write lower case all the same.
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), percent)
    yield html.escape(text)
    yield html.escape(text, quote=False)
