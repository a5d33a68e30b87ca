"""What a shared cache may keep and serve (RFC 9111), as functions of heads. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from stoa_proxy.http.heads import Header, RequestHead

# RFC 9111, 1.2.2: what is larger counts as this.
_LARGEST: Final = 2**31
# Never from a cache, nor into it: parts, conditions on a state, and headers by which frameworks
# take a request for another one than its target says, which no key would show.
_BYPASSING: Final = frozenset(
    {
        "range", "if-range", "if-match", "if-unmodified-since", "x-original-url", "x-rewrite-url",
        "x-http-method", "x-http-method-override", "x-method-override",
    }
)  # fmt: skip
# Statuses that say nothing of a whole representation.
_NEVER_KEPT: Final = frozenset({206, 304})
# What a 304 does not change of a stored response (RFC 9111, 3.2).
_OF_BODY: Final = frozenset(
    {"content-length", "content-encoding", "content-range", "content-type", "etag"}
)

Directives = Mapping[str, str]


class Lifetime(NamedTuple):
    """How long a response is fresh, in seconds, and how it may be used then.

    `stale_if_error` is how much longer it stands in for an error (RFC 5861, 4).
    """

    fresh: float
    age: float
    stale_if_error: float
    needs_validation: bool


def read_directives(values: Iterable[str]) -> dict[str, str]:
    """Return the directives of `Cache-Control` headers, names in lower case; the first counts.

    A quote that is not closed hides what follows it, so that nothing is stored.
    """
    found: dict[str, str] = {}
    for value in values:
        if value.count('"') % 2:
            found.setdefault("no-store", "")
        for part in _split(value):
            name, _, argument = part.partition("=")
            if name.strip():
                found.setdefault(name.strip().lower(), argument.strip().strip('"'))
    return found


def _split(value: str) -> list[str]:
    """Split at commas outside of quotes."""
    parts, start, is_quoted = [], 0, False
    for index, letter in enumerate(value):
        if letter == '"':
            is_quoted = not is_quoted
        elif letter == "," and not is_quoted:
            parts.append(value[start:index])
            start = index + 1
    return [*parts, value[start:]]


def seconds_of(directives: Directives, name: str) -> float | None:
    """Return the seconds of a directive; 0 where they cannot be read, for that is the safe side."""
    text = directives.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        return 0.0
    return float(min(int(text[:12]), _LARGEST))


def values_of(headers: Iterable[Header], name: str) -> list[str]:
    """Return all values of a header (name in lower case)."""
    return [value for key, value in headers if key.lower() == name]


def bypasses(head: RequestHead) -> bool:
    """Whether a request has nothing to do with a cache."""
    if head.method not in ("GET", "HEAD") or head.has_body:
        return True
    return not _BYPASSING.isdisjoint(head.keys)


def request_directives(head: RequestHead) -> dict[str, str]:
    """Return what a request asks of caches; `Pragma: no-cache` is of HTTP/1.0 (5.4)."""
    directives = read_directives(head.values("cache-control"))
    if not directives and "no-cache" in head.tokens("pragma"):
        return {"no-cache": ""}
    return directives


def is_personal(head: RequestHead) -> bool:
    """Whether a request carries who is asking, so that its response may be for them alone."""
    return "authorization" in head.keys or "cookie" in head.keys


def is_for_all(directives: Directives) -> bool:
    """Whether a response to a personal request may be shared (RFC 9111, 3.5)."""
    return not {"public", "s-maxage", "must-revalidate"}.isdisjoint(directives)


def is_storable(
    status: int, headers: Sequence[Header], directives: Directives, *, personal: bool
) -> bool:
    """Whether a shared cache may keep a response to GET (RFC 9111, 3)."""
    if status < 200 or status in _NEVER_KEPT:
        return False
    if not {"no-store", "private"}.isdisjoint(directives):
        return False
    names = {name.lower() for name, _ in headers}
    # A cookie is one client's: what sets it must not be another one's response.
    if "set-cookie" in names or "*" in vary_names(headers):
        return False
    if "no-cache" in directives and not validators(headers):
        return False
    return not personal or is_for_all(directives)


def vary_names(headers: Iterable[Header]) -> frozenset[str]:
    """Return the names in `Vary`, in lower case."""
    return frozenset(
        name.strip().lower()
        for value in values_of(headers, "vary")
        for name in value.split(",")
        if name.strip()
    )


def validators(headers: Sequence[Header]) -> list[Header]:
    """Return the conditions by which a response is validated (RFC 9110, 13.1)."""
    tags, dates = values_of(headers, "etag"), values_of(headers, "last-modified")
    found = [("If-None-Match", tags[0])] if len(tags) == 1 else []
    if len(dates) == 1:
        found.append(("If-Modified-Since", dates[0]))
    return found


def lifetime(
    headers: Sequence[Header], directives: Directives, usual: float, now: float
) -> Lifetime:
    """Return how long a response is fresh that came at `now` (seconds since 1970).

    `usual` seconds where it says nothing itself (RFC 9111, 4.2).
    """
    date = _read_date(values_of(headers, "date"))
    said = _read_age(values_of(headers, "age"))
    age = max(said, now - date if date is not None else 0.0)
    fresh = seconds_of(directives, "s-maxage")
    if fresh is None:
        fresh = seconds_of(directives, "max-age")
    expires = values_of(headers, "expires")
    if fresh is None and expires:
        # An `Expires` that is no date, as `0`, means that it has expired (5.3).
        end = _read_date(expires)
        fresh = 0.0 if end is None else end - (date if date is not None else now)
    if fresh is None:
        # Nothing is said of its age either: it is fresh from now on.
        fresh, age = usual, said
    needs = not {"must-revalidate", "proxy-revalidate", "s-maxage", "no-cache"}.isdisjoint(
        directives
    )
    stale = 0.0 if needs else seconds_of(directives, "stale-if-error") or 0.0
    return Lifetime(max(0.0, fresh), max(0.0, age), stale, "no-cache" in directives)


def is_not_modified(head: RequestHead, headers: Sequence[Header]) -> bool:
    """Whether a request's condition says that the client has this response (RFC 9110, 13.2.2)."""
    tags = head.values("if-none-match")
    if tags:
        current = values_of(headers, "etag")
        listed = [tag.strip() for value in tags for tag in value.split(",")]
        return "*" in listed or (
            len(current) == 1
            and current[0].removeprefix("W/") in {tag.removeprefix("W/") for tag in listed}
        )
    since = _read_date(head.values("if-modified-since"))
    modified = _read_date(values_of(headers, "last-modified"))
    return since is not None and modified is not None and modified <= since


def freshened(stored: Sequence[Header], newer: Sequence[Header]) -> tuple[Header, ...]:
    """Return the headers of a stored response after a 304 with `newer` ones (RFC 9111, 3.2)."""
    updating = [pair for pair in newer if pair[0].lower() not in _OF_BODY]
    names = {name.lower() for name, _ in updating}
    return (*(pair for pair in stored if pair[0].lower() not in names), *updating)


def comparable(values: Sequence[str], name: str) -> str:
    """Return a request header as variants of a response are told apart by it (RFC 9111, 4.1)."""
    joined = ",".join(values)
    if name == "accept-encoding":
        # Codings in another order are the same wish.
        return ",".join(sorted(part.strip().lower() for part in joined.split(",") if part.strip()))
    return ",".join(" ".join(part.split()) for part in joined.split(","))


def _read_date(values: Sequence[str]) -> float | None:
    if len(values) != 1:
        return None
    try:
        found = parsedate_to_datetime(values[0])
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _read_age(values: Sequence[str]) -> float:
    return seconds_of({"age": values[0].strip()}, "age") or 0.0 if values else 0.0
