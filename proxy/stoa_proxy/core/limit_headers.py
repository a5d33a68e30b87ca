"""What a response says of the limit that has the least left."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Final

from stoa_proxy.core.limits import LimitResult
from stoa_proxy.http.heads import Header

RATE_HEADERS: Final = frozenset(
    {
        "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit",
        "ratelimit-policy",
    }
)  # fmt: skip
"""The names, in lower case, of what is written here and what upstreams write like it."""


def limit_headers(result: LimitResult) -> list[Header]:
    """Return `RateLimit` and `RateLimit-Policy`, and the three names that clients knew before.

    By draft-ietf-httpapi-ratelimit-headers-10, and by its first drafts (-03).
    """
    _, limit, left, seconds, window, name = result
    remaining, reset = str(left), str(ceil(seconds))
    return [
        *_fixed_headers(name, limit, window),
        ("RateLimit", f'"{name}";r={remaining};t={reset}'),
        ("RateLimit-Remaining", remaining),
        ("RateLimit-Reset", reset),
    ]


def limit_lines(result: LimitResult) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return what `limit_headers` does, as parts of a head, of which most are written once."""
    _, limit, left, seconds, window, name = result
    before, between, after = _lines(name, limit, window, ceil(seconds))
    number = b"%d" % left
    return before, number, between, number, after


# Of as many limits as a gateway says of in one second. Each second has entries of its own, so a
# larger cache would only grow for as long as the longest window lasts.
@lru_cache(maxsize=256)
def _lines(name: str, limit: int, window: float, reset: int) -> tuple[bytes, bytes, bytes]:
    """Return what comes before, between and behind what is left, which stands there twice."""
    fixed = "".join([f"{key}: {value}\r\n" for key, value in _fixed_headers(name, limit, window)])
    return (
        f'{fixed}RateLimit: "{name}";r='.encode(),
        f";t={reset}\r\nRateLimit-Remaining: ".encode(),
        f"\r\nRateLimit-Reset: {reset}\r\n".encode(),
    )


# As many as there are limits, nearly: 1 µs less of the 3 that a response under a limit costs.
@lru_cache(maxsize=1024)
def _fixed_headers(name: str, limit: int, window: float) -> tuple[Header, Header]:
    # Windows below a second have no place in the draft, which counts in whole ones.
    seconds = f";w={int(window)}" if window >= 1 else ""
    return ("RateLimit-Policy", f'"{name}";q={limit}{seconds}'), ("RateLimit-Limit", str(limit))
