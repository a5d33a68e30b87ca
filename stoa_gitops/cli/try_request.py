"""`try METHOD PATH`: one request through the embedded gateway of a running process, traced."""

from __future__ import annotations

import base64
import os
import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.cli.gateway_admin import GatewayAdmin
from stoa_gitops.errors import StoaGitopsError, UsageError
from stoa_gitops.model.secret import SecretRef

_MAX_BODY: Final = 1 << 20
"""Bytes of a body, as the gateway takes them."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2


def execute(options: Namespace) -> Exit:
    """Send or explain the request, and print how it was decided."""
    expected = _expected(options)
    request = _request(options)
    document = GatewayAdmin.find(state_folder(options)).trace(request)
    if options.output == "json":
        from stoa_gitops.cli.status_text import json_text

        sys.stdout.write(json_text(document))
    else:
        from stoa_gitops.report.trace import trace_text

        sys.stdout.write(trace_text(document, terminal.style()))
    status = None if document["answer"] is None else document["answer"]["status"]
    if expected is not None and status != expected:
        got = "no answer, for it was only explained" if status is None else str(status)
        print(f"expected {expected}, got {got}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


def _expected(options: Namespace) -> int | None:
    text = options.expect
    if not text:
        return None
    if not re.fullmatch("[1-5][0-9][0-9]", text):
        raise UsageError(f"{name_of(options, 'expect')}: {text!r} is no status of HTTP")
    return int(text)


def _request(options: Namespace) -> dict[str, Any]:
    if not _TOKEN.fullmatch(options.method):
        raise UsageError(f"{options.method!r} is no method of HTTP")
    if not options.path.startswith("/"):
        hint = "" if "://" in options.path else f": /{options.path}?"
        raise UsageError(f"{options.path!r} is no path: it begins with /{hint}")
    if not re.fullmatch(r"[\x21\x22\x24-\x7e]+", options.path):
        raise UsageError(f"{options.path!r}: write blanks, # and letters beyond ASCII as %XX")
    request: dict[str, Any] = {
        "method": options.method,
        "target": options.path,
        "host": options.host,
        "client_address": options.client,
        "headers": _headers(options),
        "send": not options.explain,
    }
    if options.data is not None:
        request["body"] = base64.b64encode(_data(options)).decode()
    if options.key_ref:
        request["api_key"] = _resolve(options.key_ref, name_of(options, "key_ref"))
    return request


def _headers(options: Namespace) -> list[tuple[str, str]]:
    from stoa_proxy.http.credential_names import names_credential

    headers = []
    for text in options.header or ():
        name, value = _pair(text, name_of(options, "header"), "NAME: VALUE")
        if names_credential(name):
            raise UsageError(
                f"{name} may hold a credential, which every user of this machine sees on a command "
                f"line: store it, and write --header-ref '{name}: env:NAME' or file:PATH"
            )
        headers.append((name, value))
    for text in options.header_ref or ():
        flag = name_of(options, "header_ref")
        name, value = _pair(text, flag, "NAME: env:VARIABLE")
        headers.append((name, _resolve(value, flag)))
    if options.token_ref:
        token = _resolve(options.token_ref, name_of(options, "token_ref"))
        headers.append(("Authorization", f"Bearer {token}"))
    return headers


def _pair(text: str, flag: str, form: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        # Not repeated: whoever forgot the name of a header may have written a key.
        raise UsageError(f"{flag}: write '{form}'")
    return name, value.strip()


def _data(options: Namespace) -> bytes:
    text: str = options.data
    # One byte more tells "exactly" from "more than".
    if text == "@-":
        data = sys.stdin.buffer.read(_MAX_BODY + 1)
    elif text.startswith("@"):
        try:
            with Path(text[1:]).expanduser().open("rb") as file:
                data = file.read(_MAX_BODY + 1)
        except OSError as error:
            raise UsageError(f"{text[1:]} cannot be read: {error.strerror}") from None
    else:
        data = os.fsencode(text)
    if len(data) > _MAX_BODY:
        raise UsageError(f"the body has more than {_MAX_BODY >> 20} MiB")
    return data


def _resolve(text: str, flag: str) -> str:
    """Return the value of a reference, which may be any: the person could read it anyway."""
    from stoa_gitops.model.secret_rights import OPERATOR
    from stoa_gitops.secrets import SecretPlaces, SecretResolver

    try:
        reference = SecretRef.parse(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    places = SecretPlaces.of_process(os.environ, None)
    try:
        return SecretResolver(places, os.environ).resolve(reference, OPERATOR).reveal()
    except StoaGitopsError as error:
        raise UsageError(f"{flag}: {error}") from None
