"""Reads the headers that a route asks for, and rejects those that no gateway can go by."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from stoa_gitops.catalog.evaluation.context import DocumentContext, intern_part
from stoa_gitops.catalog.evaluation.plaintext_secrets import names_credential
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.routing import HeaderValues

MOST_COMBINATIONS: Final = 256
"""Combinations of values of one route: each is an entry in a table of the data plane."""

UNUSABLE: Final = re.compile(
    # They frame the message or belong to one connection (RFC 9110 §7.6.1).
    r"connection|content-length|expect|keep-alive|proxy|te|trailer|transfer-encoding|upgrade|via"
    # Gateways write them, and take away what clients say.
    r"|forwarded|x-real-ip|(x-forwarded|x-consumer|x-credential|x-authenticated|proxy)-.*"
    r"|traceparent|tracestate|x-user-id|x-user-email|x-user-roles|x-tenant-id"
)
"""Names, in lower case, of what does not reach the place where routes are chosen."""


def read_route_headers(
    items: Sequence[dict[str, Any]], at: Pointer, context: DocumentContext
) -> HeaderValues:
    """Return headers and their values in lower case, by name; errors go to the context."""
    if not items:
        return ()
    found: dict[str, tuple[str, ...]] = {}
    for index, item in enumerate(items):
        name = item["name"].lower()
        here: Pointer = (*at, index, "name")
        if name in found:
            context.report_error("name.twice", f"the header {name} is written twice", here)
        if name == "host":
            text, hint = "the host of a request is no header here", "write it under `hosts`"
            context.report_error("route.header", text, here, hint)
        elif UNUSABLE.fullmatch(name):
            text = f"gateways read or write {name} themselves, so no route can go by it"
            context.report_error("route.header", text, here, "choose another header")
        elif names_credential(name):
            text = f"{name} carries a credential, which would stand here as a value"
            hint = "tell callers apart by policies and plans; choose another header"
            context.report_error("route.header", text, here, hint)
        found[name] = tuple(item["values"])
    if math.prod(map(len, found.values())) > MOST_COMBINATIONS:
        text = f"a route has at most {MOST_COMBINATIONS} combinations of values"
        context.report_error("route.header", text, at, "write several routes, or fewer values")
    headers: HeaderValues = intern_part(tuple(sorted(found.items())))
    return headers
