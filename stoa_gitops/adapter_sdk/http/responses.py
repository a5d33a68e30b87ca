"""What an answer means: a status and a body become a value, or the error that says what to do."""

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

TRANSIENT = frozenset({429, 502, 503, 504})
MAX_BODY = 64 * 1024 * 1024
MAX_PATIENCE = 300.0
"""Seconds: the longest Retry-After that is passed on."""

EXCERPT = 300


class AnswerRefused(GatewayRefused):
    """A 4xx about the request itself; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Response:
    """A status, headers in lower case, and the bytes of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as one line for a person, cut; a vendor's `errors` or `message` where it has one."""
        return _words(self.body)

    def json(self, what: str, shape: type[Any] | None = None) -> Any:
        """Return the parsed body.

        Raises GatewayMalformed with what was expected: `what`, as in "the list of APIs", of type `shape`.
        """
        try:
            value = json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            kind = "HTML" if self._is_html else "no JSON"
            _malformed(f"{what} was expected as JSON and {kind} came")
        if shape is not None and not isinstance(value, shape):
            _malformed(f"{what} was expected as a JSON {_NAMES[shape]}, not as {_name(value)}")
        return value

    @property
    def _is_html(self) -> bool:
        start = self.body[:256].lstrip().lower()
        return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))


_NAMES: Mapping[type[Any], str] = {dict: "object", list: "array", str: "string"}


def error_of(answer: Response, what: str, now: datetime) -> GatewayError:
    """Return the error that a status outside of what was expected means."""
    status, words = answer.status, answer.text
    said = f"{status}: {words}" if words else f"{status} and no word"
    patience = retry_after(answer.headers, now)
    if 300 <= status < 400:
        place = answer.headers.get("location", "nowhere")[:EXCERPT]
        text = f"{what}: the gateway redirects ({status}) to {place}; redirects are not followed: check baseUrl"
        return GatewayMalformed(text)
    if status in (401, 403):
        hint = "check the references under spec.auth"
        return GatewayUnauthorized(f"{what}: the gateway refused our credentials ({said}); {hint}")
    if status == 429 or (status == 503 and patience is not None):
        return GatewayBusy(f"{what}: the gateway asks for patience ({said})", retry_after=patience)
    if status in TRANSIENT:
        return GatewayUnreachable(f"{what}: the gateway is not available ({said})")
    if 400 <= status < 500:
        return AnswerRefused(f"{what}: the gateway refused it ({said})", status)
    if status >= 500:
        return GatewayError(f"{what}: the gateway failed ({said})")
    return GatewayMalformed(f"{what}: status {said} was not expected: check baseUrl")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that Retry-After asks for, at most MAX_PATIENCE; None where it says nothing."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_PATIENCE)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), MAX_PATIENCE)


Classifier = Callable[[int, str], GatewayError | None]
"""A vendor's own reading of a status and text, asked before the general one; None: no opinion."""


def _malformed(message: str) -> NoReturn:
    raise GatewayMalformed(f"{message}: check that baseUrl leads to the gateway's admin API")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _name(value: object) -> str:
    if value is None:
        return "null"
    for shape, name in _NAMES.items():
        if isinstance(value, shape):
            return f"{'an' if name[0] in 'ao' else 'a'} {name}"
    return "a plain value"


def _words(body: bytes) -> str:
    try:
        value = json.loads(body[: MAX_BODY >> 6])
    except (ValueError, RecursionError):
        value = None
    text = _vendor_words(value) or body[: EXCERPT * 4].decode("utf-8", "replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"


def _vendor_words(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    errors = value.get("errors")
    if isinstance(errors, list):
        return "; ".join(str(error) for error in errors)
    found = [str(value[name]) for name in ("message", "error", "detail") if value.get(name)]
    return ": ".join(found)
