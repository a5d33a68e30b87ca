"""Where the requests of an OpenAPI document go: servers of 3.x, host and basePath of 2.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from stoa_gitops.catalog.export.openapi.remarks import Remarks

_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_MOST: Final = 20
"""Most servers that are listed one by one."""

NO_SERVER: Final = (
    "the document names no server that can be called, so the built-in echo answers; write "
    "spec.backend.url, or import again with --backend URL"
)

_OTHER_SERVER: Final = (
    "the first server is taken; where this one may get a share of the requests, list both in "
    "spec.backends"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that requests can be forwarded to.

    url   with its base path, without a slash at the end
    path  the base path, empty for none
    """

    url: str
    path: str


def find_server(
    document: Mapping[str, Any], origin: str, variables: Mapping[str, str], remarks: Remarks
) -> Server | None:
    """Return the first server that can be called, and note the others; None where there is none.

    `origin` is the URL of the document, for relative servers; `variables` are values for those of
    servers, by name.
    """
    candidates = list(_servers(document, variables, remarks))
    chosen: Server | None = None
    left: list[str] = []
    for url in candidates:
        server = _callable(urljoin(origin, url) if origin else url)
        if server is None or chosen is not None:
            left.append(url)
        else:
            chosen = server
    for url in left[:_MOST]:
        effect = _OTHER_SERVER if chosen else NO_SERVER
        remarks.add("server", "url", url, effect)
    if len(left) > _MOST:
        remarks.add("server", "url", f"{len(left) - _MOST} more", "left out, as those before")
    if chosen is None and not left:
        remarks.add("server", "", "", NO_SERVER)
    return chosen


def _servers(
    document: Mapping[str, Any], variables: Mapping[str, str], remarks: Remarks
) -> Iterator[str]:
    if "swagger" in document:
        yield from _servers_2(document)
        return
    listed = document.get("servers")
    for index, server in enumerate(listed if isinstance(listed, list) else ()):
        url = server.get("url") if isinstance(server, Mapping) else None
        if isinstance(url, str):
            yield _with_values(url, server, index, variables, remarks)


def _servers_2(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the servers of a 2.0 document: https before other schemes."""
    base = document.get("basePath")
    path = base if isinstance(base, str) else ""
    host = document.get("host")
    if not isinstance(host, str) or not host:
        if path.strip("/"):
            yield "/" + path.lstrip("/")
        return
    schemes = document.get("schemes")
    known = [str(s) for s in schemes] if isinstance(schemes, list) and schemes else ["https"]
    for scheme in sorted(known, key=lambda name: (name != "https", name != "http")):
        yield f"{scheme}://{host}/{path.lstrip('/')}"


def _with_values(
    url: str,
    server: Mapping[str, Any],
    index: int,
    variables: Mapping[str, str],
    remarks: Remarks,
) -> str:
    """Put values into a URL: those that were given, or the defaults of the document."""
    declared = server.get("variables")
    declared = declared if isinstance(declared, Mapping) else {}

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in variables:
            return variables[name]
        variable = declared.get(name)
        default = variable.get("default") if isinstance(variable, Mapping) else None
        if default is None or isinstance(default, (Mapping, list)) or str(default) == "":
            return found[0]
        if index == 0:
            effect = "its default is written into the backend; --variable sets another value"
            remarks.add("server variable", name, default, effect)
        return str(default)

    return _VARIABLE.sub(value, url)


def _callable(url: str) -> Server | None:
    """Return a server of http or https; None for another one, and for one with open variables."""
    url = url.strip()
    if url.startswith("//"):
        url = f"https:{url}"
    if re.search(r"[{}\s<>\"\\^`|]", url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    at = f":{port}" if port else ""
    return Server(f"{scheme}://{host}{at}{path}", path)
