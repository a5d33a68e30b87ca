"""Finds values in configs of policies that have the right shape and no gateway can use.

They are wrong by a standard, whatever the vendor, so they are errors of the document and not losses
of one gateway.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.findings import Finding, shown
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import duration_ms

# RFC 6454 §6.2: scheme, host and port, or the word `null`.
_ORIGIN: Final = re.compile(
    r"https?://(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?|null|\*"
)
# RFC 9110 §5.5 without bytes beyond ASCII, which receivers read differently.
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_FRAMING: Final = frozenset({
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say where a message ends or what becomes of its connection (RFC 9112 §6, §9)."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110 §5.6.2
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_BODILESS: Final = frozenset({204, 205, 304})  # RFC 9110 §15.3.5, §15.3.6, §15.4.5

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 * 1024
"""What one policy may edit in one direction; the data plane of this project has the same."""

Fault = tuple[Pointer, str, str]
"""Place below the config, message and hint."""


def find_odd_values(
    policy_type: str, config: Mapping[str, Any], at: Pointer, document: int
) -> Iterator[Finding]:
    """Yield an error for each value of a valid config (as written) that nothing can use."""
    find = _FINDERS.get(policy_type)
    for place, message, hint in find(config) if find is not None else ():
        yield Finding("policy.value", message, (*at, *place), hint, document=document)


def _cors(config: Mapping[str, Any]) -> Iterator[Fault]:
    origins = config["origins"]
    for index, origin in enumerate(origins):
        at: Pointer = ("origins", index)
        if _ORIGIN.fullmatch(origin) is None:
            hint = "write scheme://host[:port] as browsers send it, or *"
            yield at, f"{shown(origin)} is no origin", hint
        elif origin == "*" and len(origins) > 1:
            yield (
                at,
                "* beside other origins leaves open who is meant",
                "write * alone, or leave it",
            )
    if "*" in origins and config.get("credentials") is True:
        message = "browsers refuse credentials for the origin * (Fetch standard)"
        yield ("credentials",), message, "name the origins that may send them"


def _ip_filter(config: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("allow", "deny"):
        for index, text in enumerate(config.get(name, ())):
            try:
                ipaddress.ip_network(text)
            except ValueError:
                yield (name, index), *_network_fault(text)


def _network_fault(text: str) -> tuple[str, str]:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        hint = "write an address, or a network such as 10.0.0.0/8"
        return f"{shown(text)} is no address and no network", hint
    hint = f"write {network} for the network, or {text.partition('/')[0]} for the address"
    return f"{shown(text)} has bits set behind its prefix", hint


def _headers(config: Mapping[str, Any]) -> Iterator[Fault]:
    for side in ("request", "response"):
        edits = config.get(side, {})
        for step in ("set", "add"):
            yield from _header_values(edits.get(step, {}), (side, step))
        for index, name in enumerate(edits.get("remove", ())):
            if name.lower() in _FRAMING:
                yield (side, "remove", index), *_frames(name)
        written = [pair for step in ("set", "add") for pair in edits.get(step, {}).items()]
        yield from _header_bounds(written, len(edits.get("remove", ())), (side,))


def _header_values(values: Mapping[str, str], at: Pointer) -> Iterator[Fault]:
    for name, text in values.items():
        place: Pointer = (*at, name)
        if name.lower() in _FRAMING:
            yield place, *_frames(name)
        elif _VALUE.fullmatch(text) is None:
            message = f"the value of {name} is not printable ASCII without blanks at its ends"
            yield place, message, "headers carry no other characters safely: encode them"


def _header_bounds(
    written: Collection[tuple[str, str]], removed: int, at: Pointer
) -> Iterator[Fault]:
    size = sum(len(name) + len(text) for name, text in written)
    if len(written) + removed > MAX_HEADERS:
        yield at, f"more than {MAX_HEADERS} headers", "backends take some 100 in all: edit fewer"
    elif size > MAX_HEADER_BYTES:
        message = f"{size:,} bytes of headers; {MAX_HEADER_BYTES:,} are the most"
        yield at, message, "backends take 8 to 16 KiB of headers in all: write less"


def _frames(name: str) -> tuple[str, str]:
    return f"{name} frames the message and is nobody's to edit", "leave it out"


def _mock(config: Mapping[str, Any]) -> Iterator[Fault]:
    status = config.get("status", 200)
    if status < 200:
        yield ("status",), f"{status} ends no answer (RFC 9110 §15.2)", "write 200 to 599"
    if status in _BODILESS and config.get("body"):
        yield ("body",), f"an answer {int(status)} has no body", "leave it out"
    if _SURROGATE.search(config.get("body", "")):
        yield (
            ("body",),
            "it holds half a surrogate pair, which is no character",
            "write the whole one",
        )
    headers = config.get("headers", {})
    yield from _header_values(headers, ("headers",))
    yield from _header_bounds(headers.items(), 0, ("headers",))


def _api_key(config: Mapping[str, Any]) -> Iterator[Fault]:
    name = config.get("name", "X-API-Key")
    if config.get("in", "header") == "header":
        if _TOKEN.fullmatch(name) is None:
            yield ("name",), f"{shown(name)} is no name of a header", "write one such as X-API-Key"
    elif not name.strip() or not name.isprintable():
        yield ("name",), "this is no name of a query parameter", "write one such as api_key"


def _rate_limit(config: Mapping[str, Any]) -> Iterator[Fault]:
    if duration_ms(config["window"]) == 0:
        yield ("window",), "nothing can be counted in no time", "write a window such as 1m"
    if "burst" in config and config.get("algorithm") == "sliding_window":
        message = "a sliding window has no burst: it takes its requests at any moment"
        yield ("burst",), message, "leave it out, or write `algorithm: token_bucket`"


_FINDERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[Fault]]]] = {
    "api_key": _api_key, "cors": _cors, "headers": _headers, "ip_filter": _ip_filter,
    "mock": _mock, "rate_limit": _rate_limit,
}  # fmt: skip
