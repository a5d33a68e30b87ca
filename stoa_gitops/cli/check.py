"""`check URL`: a probe for images without curl. Exit 0 on a 2xx response in time, 1 otherwise."""

from __future__ import annotations

import http.client
import sys
import threading
from argparse import Namespace
from urllib.parse import SplitResult, urlsplit

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.errors import UsageError
from stoa_gitops.model.canonical import duration_ms


def execute(options: Namespace) -> Exit:
    """Send one request; an error goes to stderr."""
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{options.url!r} is no address to ask: write http://HOST:PORT/path")
    try:
        seconds = duration_ms(options.timeout) / 1000
    except ValueError as error:
        raise UsageError(f"{name_of(options, 'timeout')}: {error}") from None
    if seconds <= 0:
        raise UsageError(f"{name_of(options, 'timeout')} is a time to wait, such as 3s")
    error_text = _probe(parts, seconds)
    if error_text:
        print(f"{options.url}: {error_text}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


def _probe(parts: SplitResult, seconds: float) -> str:
    """Return what is wrong, empty when nothing is."""
    # The timeout of a socket bounds one step only (DNS not at all), so a thread does the whole and
    # is not waited for longer.
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(_request(parts, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else f"no answer within {seconds:g} s"


def _request(parts: SplitResult, seconds: float) -> str:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        try:
            connection.request("GET", target, headers={"User-Agent": "stoa-gitops-check"})
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
    return "" if 200 <= status < 300 else f"answered {status}"
