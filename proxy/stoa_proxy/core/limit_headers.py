"""What a response says of the limit that has the least left."""

from __future__ import annotations

from stoa_proxy.core.counters import LimitResult
from stoa_proxy.http.heads import Header


def limit_headers(result: LimitResult) -> list[Header]:
    """Return `RateLimit` and `RateLimit-Policy`, and the three names that clients knew before.

    By draft-ietf-httpapi-ratelimit-headers-10, and by its first drafts (-03).
    """
    limit, remaining = str(result.limit), str(result.remaining)
    reset = str(int(-(-result.reset // 1)))  # rounded up
    # Windows below a second have no place in the draft, which counts in whole ones.
    window = f";w={int(result.window)}" if result.window >= 1 else ""
    return [
        ("RateLimit-Policy", f'"{result.name}";q={limit}{window}'),
        ("RateLimit", f'"{result.name}";r={remaining};t={reset}'),
        ("RateLimit-Limit", limit),
        ("RateLimit-Remaining", remaining),
        ("RateLimit-Reset", reset),
    ]
