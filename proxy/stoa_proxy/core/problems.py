"""Answers of our own as `application/problem+json` (RFC 9457), without internal details."""

from __future__ import annotations

import json
from collections.abc import Iterable

from stoa_proxy.core.exchange import Respond
from stoa_proxy.http.heads import Header


def problem(status: int, title: str, detail: str = "", headers: Iterable[Header] = ()) -> Respond:
    """A problem with an HTTP status, a title that never changes, and a sentence for people."""
    body: dict[str, object] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return Respond(
        status,
        (("Content-Type", "application/problem+json"), *headers),
        json.dumps(body).encode(),
    )
