"""Reads what gateways ask a sidecar: each form says in its own way which request is meant.

A form takes each fact from one place, which its gateway sets and no client of it can:

- `/authz/<path>`: Envoy's `ext_authz` over HTTP. Method, target and Host are those of the request
  itself, behind the configured `path_prefix`.
- `GET /authz`: nginx's `auth_request`. X-Original-Method, X-Original-URI, X-Original-Host, or
  X-Original-URL in place of the last two, and X-Forwarded-For.
- `POST /authz`: JSON, the form of STOA's own gateway.

What is missing or twice there is refused: a client would otherwise fill in what a configuration
left out, and nobody would notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from stoa_proxy.admin.json_body import Body
from stoa_proxy.errors import BodyRefused, CheckRefused
from stoa_proxy.foundation.address_guard import Network
from stoa_proxy.http.forwarded import forwarded_client
from stoa_proxy.http.heads import Header, RequestHead, lower_names

PATH: Final = "/authz"
PREFIX: Final = "/authz/"

_METHOD, _URI, _HOST, _URL = (
    "x-original-method",
    "x-original-uri",
    "x-original-host",
    "x-original-url",
)
_CLIENT = "x-forwarded-for"
_REPLACED = frozenset({"host", _METHOD, _URI, _HOST, _URL})
_ABSOLUTE = re.compile(r"https?://([^/?#\s]+)(/[^\s]*)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LONGEST_ADDRESS = 45
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


Networks = tuple[Network, ...]


class Check(NamedTuple):
    """The request that a check is about; `has_host` is whether its host is known."""

    head: RequestHead
    has_host: bool = True


def read_envoy(head: RequestHead, proxies: Networks) -> Check:
    """Return the request behind `/authz`. Raises CheckRefused.

    `proxies` are those before the gateway that asks.
    """
    if head.keys.count("host") != 1:
        raise CheckRefused("Host", "once")
    return Check(_about(head, head.target[len(PATH) :], proxies))


def read_original(head: RequestHead, proxies: Networks) -> Check:
    """Return the request that X-Original-* headers name. Raises CheckRefused."""
    method = _only(head, _METHOD)
    if _URL in head.keys:
        # Beside it nothing that says the same: who sets one sets none of the others.
        for name in (_URI, _HOST):
            if name in head.keys:
                raise CheckRefused("X-Original-URL", f"without {name}")
        found = _ABSOLUTE.fullmatch(_only(head, _URL))
        if found is None:
            raise CheckRefused("X-Original-URL", "as an http or https URL")
        host, target = found.groups()
    else:
        host, target = _only(head, _HOST), _only(head, _URI)
    if not target.startswith("/"):
        raise CheckRefused("X-Original-URI", "as a path")
    # Of two one may be the client's own, and which of them is last is the gateway's affair.
    _only(head, _CLIENT)
    kept = (pair for key, pair in zip(head.keys, head.headers, strict=True) if key not in _REPLACED)
    headers = (("Host", host), *kept)
    about = _about(head, target, proxies)
    return Check(about._replace(method=method, headers=headers, keys=lower_names(headers)))


def read_document(head: RequestHead, body: Body) -> Check:
    """Return the request that a JSON document describes. Raises BodyRefused (422).

    Its `user`, `tenant_id` and `context` are taken and not believed: who calls is found out here.
    """
    target, method = body.text("path"), body.text("method")
    headers = tuple(_read_headers(body))
    source = body.optional_text("source_ip")
    if source is not None and not _is_address(source):
        raise BodyRefused(422, "source_ip is not an address")
    if not target.startswith("/") or not _TOKEN.fullmatch(method):
        raise BodyRefused(422, "path must begin with a slash, and method be one of HTTP")
    keys = lower_names(headers)
    described = RequestHead(
        method, target, headers, keys, source or "", _scheme_of(headers), peer=head.peer
    )
    return Check(described, has_host="host" in keys)


def _about(head: RequestHead, target: str, proxies: Networks) -> RequestHead:
    """Return the head with another target and its client: who is named last and is no proxy.

    The gateway that asks is no client, so one that nobody names is at no address.
    """
    client = ""
    if _CLIENT in head.keys:
        client = forwarded_client(client, head.values(_CLIENT), proxies)
    return head._replace(target=target, client_address=client, has_body=False)


def _only(head: RequestHead, name: str) -> str:
    values = head.values(name)
    if len(values) != 1 or not values[0]:
        raise CheckRefused(name.title().replace("Uri", "URI").replace("Url", "URL"), "once")
    return values[0]


def _read_headers(body: Body) -> Iterable[Header]:
    for name, value in body.mapping("headers", {}).items():
        values = value if isinstance(value, list) else [value]
        for text in values:
            is_good = isinstance(text, str) and not _NOT_IN_VALUE.search(text)
            if not is_good or not _TOKEN.fullmatch(name):
                raise BodyRefused(422, "headers must be names with texts, or lists of texts")
            yield name, str(text).strip(" \t")


def _scheme_of(headers: Iterable[Header]) -> str:
    named = [value.lower() for name, value in headers if name.lower() == "x-forwarded-proto"]
    return "https" if named == ["https"] else "http"


def _is_address(text: str) -> bool:
    # Of longer ones there are no usual ones, and they would be remembered.
    return _is_usual_address(text) if len(text) <= _LONGEST_ADDRESS else _can_be_read(text)


def _can_be_read(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_is_usual_address = lru_cache(maxsize=1024)(_can_be_read)
