"""Tells what Gravitee makes of names and descriptions: it keeps no HTML, and writes some as such.

Its server takes the tags out of every name and description of an API or application and reads what
is left as HTML, again and again until nothing changes. What it writes has letters beyond U+FFFF and
a few others as references, and a comment after a brace before another one (seen on 4.10.8). Pure.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.mapping.losses import text_fault
from stoa_gitops.model.losses import Loss

_QUOTED: Final = r"""(?:[^>"']|"[^"]*(?:"|$)|'[^']*(?:'|$))*"""
_HTML: Final = re.compile(
    # Of these two not even the content is kept.
    rf"<(script|style)\b{_QUOTED}>.*?(?:</\1\b[^>]*>|$)"
    r"|<!--.*?(?:-->|$)|<[!?](?:[^>]*>|[^>]+$)"
    rf"|</?[A-Za-z]{_QUOTED}(?:>|$)",
    re.DOTALL | re.IGNORECASE,
)
_GUARD: Final = "<!-- -->"
"""What the server puts after a `{` before another one, against templates of browsers."""

_MOST_TURNS: Final = 9

LENGTHS: Final[Mapping[str, int]] = {"displayName": 512, "version": 64, "description": 4000}
"""Characters that the Automation API takes (open-api.yaml)."""


def stored_text(text: str) -> str:
    """Return a name or description as Gravitee keeps it: what `read_text` makes of a read-back."""
    for _ in range(_MOST_TURNS):
        if "<" not in text and "&" not in text:
            break
        again = html.unescape(_HTML.sub("", text))
        if again == text:
            break
        text = again
    return text


def read_text(held: object) -> str:
    """Return a name or description that Gravitee reports as it was meant."""
    text = str(held or "")
    if "<" in text or "&" in text:
        return stored_text(html.unescape(text.replace(_GUARD, "")))
    return text


def text_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Gravitee cannot hold of the texts of an API or application."""
    for name, most in LENGTHS.items():
        text = spec.get(name, "")
        if len(text) > most:
            message = f"{name} of {len(text)} characters: Gravitee takes {most}"
            yield Loss(message, at=(name,))
        elif message := text_fault(text):
            yield Loss(f"{name}: {message}", at=(name,))
        elif name != "version" and stored_text(text) != text:
            left = stored_text(text).strip()
            yield Loss(
                f"HTML of {name}: Gravitee keeps the text alone"
                if left or name == "description"
                else f"{name} is HTML alone, of which Gravitee keeps nothing",
                is_partial=bool(left) or name == "description",
                at=(name,),
            )
