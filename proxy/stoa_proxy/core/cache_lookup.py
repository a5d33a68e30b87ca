"""One request as a cache of responses sees it, and the body of the response that it may keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stoa_proxy.core.problems import Respond
from stoa_proxy.core.response_cache import MAX_BODY, CacheUrl, FlightKey, StoredResponse
from stoa_proxy.foundation.flights import Flight
from stoa_proxy.http.cache_rules import Directives, is_not_modified, values_of
from stoa_proxy.http.heads import Header, RequestHead, without

_OF_BODIES = frozenset({"content-length", "content-type", "content-encoding"})


@dataclass(slots=True)
class CacheLookup:
    """What one request is to the cache.

    `stored` is what was found and has to be validated first, `flight` what others wait for; `sent`
    are the headers that the backend got.
    """

    url: CacheUrl
    consumer: str
    is_bypassed: bool
    is_personal: bool
    directives: Directives
    stored: StoredResponse | None = None
    flight: Flight | None = None
    flight_key: FlightKey | None = None
    has_waited: bool = False
    is_validating: bool = False
    sent: Sequence[Header] = ()


class BodyRecorder:
    """Collects a body of at most MAX_BODY bytes."""

    __slots__ = ("_give_up", "_keep", "_parts", "_size")

    def __init__(self, keep: Callable[[bytes], None], give_up: Callable[[], None]) -> None:
        self._keep = keep
        self._give_up = give_up
        self._parts: list[bytes] | None = []
        self._size = 0

    def write(self, content: bytes) -> None:
        """Take the next part."""
        if self._parts is None:
            return
        self._size += len(content)
        if self._size > MAX_BODY:
            self._parts = None
            self._give_up()
            return
        self._parts.append(content)

    def close(self) -> None:
        """Keep a whole body."""
        if self._parts is not None:
            self._keep(b"".join(self._parts))


def is_recordable(status: int, headers: Sequence[Header]) -> bool:
    """Whether a response is short enough, as far as it says, and shows when it is cut off.

    It does not where the end of the connection ends it, as when its backend dies.
    """
    values = values_of(headers, "content-length")
    size = int(values[0]) if values and values[0].isdecimal() else 0
    shows_end = bool(values) or status == 204 or bool(values_of(headers, "transfer-encoding"))
    return shows_end and size <= MAX_BODY


def serve_stored(stored: StoredResponse, head: RequestHead, now: float) -> Respond:
    """Return a stored response as a request gets it at `now`: 304 where the client has it."""
    age = stored.age_at(now)
    headers = [
        *stored.headers,
        ("Age", str(int(age))),
        # RFC 9211, 2: what this cache did.
        ("Cache-Status", f"stoa-gateway; hit; ttl={int(stored.fresh - age)}"),
    ]
    # Conditions are of successes alone (RFC 9110, 13.2.1).
    if stored.status < 300 and is_not_modified(head, stored.headers):
        return Respond(304, tuple(without(headers, _OF_BODIES)))
    return Respond(stored.status, tuple(headers), stored.body)
