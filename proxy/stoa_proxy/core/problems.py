"""Responses of the gateway itself; refusals are `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stoa_proxy.http.heads import Header, Headers


@dataclass(frozen=True, slots=True)
class Respond:
    """The decision to respond without an upstream, and the response.

    A long body has a `rest` after `body`: an iterator of parts that are made while they are sent,
    and that can be consumed once. `context` is the request's `core.exchange.RequestContext`, where
    its route is known.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    rest: Iterator[bytes] | None = field(default=None, repr=False, compare=False)
    context: object = field(default=None, repr=False, compare=False)


def problem(
    status: int, title: str, detail: str = "", headers: Iterable[Header] = (), *, kind: str = ""
) -> Respond:
    """Return a problem: an HTTP status, a title that never changes, and a sentence for people.

    `detail` must not tell internal details: clients of tenants read it. `kind` becomes the stable
    `type` that programs go by, a URN; without it the status alone is the type.
    """
    # RFC 9457, 4.2.1: `about:blank` says that the status code alone is the problem's type.
    name = f"urn:stoa:problem:{kind}" if kind else "about:blank"
    body: dict[str, object] = {"type": name, "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return Respond(
        status,
        (("Content-Type", "application/problem+json"), *headers),
        json.dumps(body).encode(),
    )
