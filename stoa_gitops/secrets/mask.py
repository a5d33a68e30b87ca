"""Scrubbing what gateways say: an answer may quote the request, and with it a secret."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from stoa_gitops.model.secret import Secret

MASK: Final = "***"
_SHORT: Final = 4
_LINE: Final = 16


def masked(text: str, secrets: Iterable[Secret | None]) -> str:
    """Return a text with `***` for each known secret, also where it is escaped or encoded.

    Values of fewer than four characters are masked where they stand as a word of their own; lines of a
    longer secret (a PEM) also one by one.
    """
    forms = {form for secret in secrets if secret is not None for form in _forms(secret.reveal())}
    forms.discard("")
    if not forms:
        return text
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.sub("|".join(map(_pattern, longest_first)), MASK, text)


def _pattern(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"


def _forms(value: str) -> Iterator[str]:
    """Yield the spellings in which a value may come back."""
    raw = value.encode("utf-8", "surrogatepass")
    yield value
    yield value.strip()
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield quote(raw, safe="")
    yield quote(raw)
    yield quote_plus(raw)
    if len(value) >= _SHORT:
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(raw).decode("ascii")
            yield encoded
            yield encoded.rstrip("=")
    yield from (line for line in value.splitlines() if len(line) >= _LINE)
