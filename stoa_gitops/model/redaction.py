"""Keeps secrets out of messages: every form in which one may come back from a gateway."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from stoa_gitops.model.canonical import Json
from stoa_gitops.model.secret import Secret, Value

MASK = "***"


class Scrubber:
    """Replaces the secrets it was told of, however they are quoted."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._forms: set[str] = set()
        self.learn(secrets)

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Add secrets; empty ones are nothing to hide."""
        for secret in secrets:
            if secret.reveal():
                self._forms.update(_forms(secret.reveal()))

    def __call__(self, text: str) -> str:
        """Return the text without them; the longest form first, so that no tail is left over."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text

    def __repr__(self) -> str:
        return f"Scrubber({len(self._forms)} forms)"


def reveal(value: Value, seen: list[Secret]) -> Json:
    """Return a body ready for the wire; each secret in it is added to `seen`, to be scrubbed later."""
    if isinstance(value, Secret):
        seen.append(value)
        return value.reveal()
    if isinstance(value, Mapping):
        return {name: reveal(item, seen) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [reveal(item, seen) for item in value]
    return value  # type: ignore[return-value]  # what is left are the leaves of JSON


def _forms(text: str) -> Iterator[str]:
    yield text
    yield text.strip() or text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(text, safe="", errors="replace")
    yield quote_plus(text, errors="replace")
    yield repr(text)[1:-1]
    encoded = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    yield encoded
    yield encoded.rstrip("=")
