"""Makes observations of requests: what may be learned is picked out, all else is left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

from stoa_proxy.errors import RequestRefused
from stoa_proxy.http.heads import RequestHead, read_host
from stoa_proxy.http.targets import RequestPath, read_target
from stoa_proxy.shadow.learner import Observation
from stoa_proxy.shadow.segments import is_parameter

CREDENTIALS: Final = ("api_key", "basic", "bearer")

_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z][a-z0-9.+-]{0,60}")
# Envoy marks what it mirrors by the end of the host (route.v3.RouteAction.RequestMirrorPolicy).
_MIRRORED: Final = "-shadow"
_MOST_PARAMETERS: Final = 64


def observe(head: RequestHead) -> Observation | None:
    """Return the observation of a mirrored request; None for one that nothing is learned from."""
    try:
        path = read_target(head.target)
        host = read_host(head, path.authority)
    except RequestRefused:
        return None
    return make_observation(
        host,
        head.method,
        path,
        request_type=head.value("content-type") or "",
        credential=_credential(head),
    )


def make_observation(
    host: str,
    method: str,
    path: RequestPath,
    *,
    request_type: str = "",
    response_type: str = "",
    credential: str = "",
    status: int | None = None,
) -> Observation | None:
    """Return the observation of a request that is described; None without a host."""
    host = host.removesuffix(_MIRRORED)
    if not host:
        return None
    return Observation(
        host,
        method,
        tuple(segment for segment in path.segments if segment),
        tuple(dict.fromkeys(_names(path.query or ""))),
        media_type(request_type),
        media_type(response_type),
        credential,
        status,
    )


def media_type(text: str) -> str:
    """Return a media type without its parameters; nothing for what is none."""
    named = text.partition(";")[0].strip().lower()
    return named if _MEDIA_TYPE.fullmatch(named) else ""


def _names(query: str) -> Iterator[str]:
    for part in query.split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS]:
        name, mark, _ = part.partition("=")
        # Without `=` it may be a whole credential.
        if mark:
            name = unquote_plus(name, errors="replace")
            if is_parameter(name):
                yield name


def _credential(head: RequestHead) -> str:
    """Return how a caller shows who it is; never what it shows."""
    scheme = (head.value("authorization") or "").partition(" ")[0].lower()
    if scheme in CREDENTIALS:
        return scheme
    return "api_key" if "x-api-key" in head.keys else ""
