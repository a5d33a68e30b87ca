"""Turns a status and a body into a value, or into the error that tells people what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayMalformed,
    GatewayRefused,
    GatewayUnauthorized,
    GatewayUnreachable,
)
from stoa_gitops.foundation.json_numbers import finite_or_text

# Not 500: the gateway got the request and failed on it, so it may have done a part of it.
TRANSIENT = frozenset({429, 502, 503, 504})
"""Statuses that are tried again within one call (RFC 9110 §15.6, RFC 6585 §4)."""

# Three times a list of 10,000 APIs, 20 MiB (docs/adr/0013); a Kong document of as many is below 10.
MAX_BODY = 64 * 1024 * 1024
"""Bytes of a response that are read."""

# A gateway must not put off its own reconciliation for hours by one header.
MAX_RETRY_AFTER = 300.0
"""Seconds: the longest Retry-After that is passed on."""

EXCERPT = 300
"""Characters of a response that a message quotes."""


class RequestRefused(GatewayRefused):
    """A 4xx about the request itself; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers with names in lower case, and the bytes of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The vendor's `errors` or `message`, else the body: one line of at most EXCERPT."""
        return _one_line(self.body)

    def json(self, what: str, shape: type[Any] | None = None) -> Any:
        """Return the parsed body, of type `shape` (dict, list or str) if that is given.

        Raises GatewayMalformed that names `what` was expected, as in "the list of APIs".
        """
        try:
            value = json.loads(
                self.body, parse_constant=_reject_constant, parse_float=finite_or_text
            )
        except (ValueError, RecursionError):
            kind = "HTML" if self.is_html else "no JSON"
            _malformed(f"{what} was expected as JSON and {kind} came")
        if shape is not None and not isinstance(value, shape):
            _malformed(f"{what} was expected as a JSON {_NAMES[shape]}, not as {_name(value)}")
        return value

    @property
    def is_html(self) -> bool:
        """Whether the body is a page for people, whatever its headers say."""
        # A login page or a proxy's error page; the type of the content is often wrong on those.
        start = self.body[:256].lstrip().lower()
        return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))


_NAMES: Mapping[type[Any], str] = {dict: "object", list: "array", str: "string"}


def error_from_response(response: Response, what: str, now: datetime) -> GatewayError:
    """Return the error for a status that was not expected; `now` is for a Retry-After date."""
    status, text = response.status, response.text
    details = f"{status}: {text}" if text else f"{status} without a message"
    seconds = retry_after(response.headers, now)
    if 300 <= status < 400:
        # A redirect to a login page would answer 200, and credentials would go to another host.
        target = response.headers.get("location", "nowhere")[:EXCERPT]
        return GatewayMalformed(
            f"{what}: the gateway redirects ({status}) to {target}; redirects are not followed:"
            " check baseUrl"
        )
    if status in (401, 403):
        hint = "check the references under spec.auth"
        message = f"{what}: the gateway refused our credentials ({details}); {hint}"
        return GatewayUnauthorized(message)
    # RFC 9110 §10.2.3: a 503 with Retry-After is maintenance or overload, not an outage.
    if status == 429 or (status == 503 and seconds is not None):
        return GatewayBusy(f"{what}: the gateway is busy ({details})", retry_after=seconds)
    if status in TRANSIENT:
        return GatewayUnreachable(f"{what}: the gateway is not available ({details})")
    if 400 <= status < 500:
        return RequestRefused(f"{what}: the gateway refused it ({details})", status)
    if status >= 500:
        return GatewayError(f"{what}: the gateway failed ({details})")
    return GatewayMalformed(f"{what}: status {details} was not expected: check baseUrl")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of Retry-After, at most MAX_RETRY_AFTER; None if absent or unreadable.

    RFC 9110 §10.2.3: a number of seconds or an HTTP date. Without it, those of X-RateLimit-Reset.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return _rate_limit_reset(headers, now)
    # isdigit alone accepts digits of other scripts, which float() reads too.
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        # "-0000" gives a naive time; HTTP dates are in GMT (RFC 9110 §5.6.7).
        when = when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _rate_limit_reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of X-RateLimit-Reset; None if absent or unreadable.

    No standard says its unit: STOA gateway 0.9.25 and GitHub send seconds since 1970.
    """
    text = headers.get("x-ratelimit-reset", "").strip()
    if not (text.isascii() and text.isdigit()):
        return None
    number = float(text[:12])
    # 10**9 was in 2001; as a number of seconds to wait it would be 31 years.
    seconds = number - now.timestamp() if number >= 1e9 else number
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


Classifier = Callable[[int, str], GatewayError | None]
"""A vendor's own meaning of a status and text, asked before the general one; None: no opinion."""


def _malformed(message: str) -> NoReturn:
    raise GatewayMalformed(f"{message}: check that baseUrl leads to the gateway's admin API")


def _reject_constant(name: str) -> NoReturn:
    # RFC 8259 §6: NaN and Infinity are no JSON, though Python reads them.
    raise ValueError(f"{name} is not JSON")


def _name(value: object) -> str:
    if value is None:
        return "null"
    for shape, name in _NAMES.items():
        if isinstance(value, shape):
            return f"{'an' if name[0] in 'ao' else 'a'} {name}"
    return "a plain value"


def _one_line(body: bytes) -> str:
    try:
        # 1 MiB is plenty for an error, and parsing all of a long body for one line is not.
        value = json.loads(body[: MAX_BODY >> 6])
    except (ValueError, RecursionError):
        value = None
    # Four bytes for each character, the most that UTF-8 takes (RFC 3629 §3).
    text = _vendor_message(value) or body[: EXCERPT * 4].decode("utf-8", "replace")
    # A body is foreign text: no line breaks and no escape sequences reach a terminal or a log.
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"


def _vendor_message(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    errors = value.get("errors")
    if isinstance(errors, list):
        return "; ".join(str(error) for error in errors)
    texts = [str(value[name]) for name in ("message", "error", "detail") if value.get(name)]
    return ": ".join(texts)
