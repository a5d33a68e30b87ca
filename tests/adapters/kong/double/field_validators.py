"""Checks of single values by name; each returns a message or None."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.adapters.kong.double.schema import Version

Validator = Callable[[str, Version], str | None]

_HOST = re.compile(
    r"^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$"
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def _is_ipv4(value: str) -> bool:
    return value.count(".") == 3 and ":" not in value and _is_ip(value)


def utf8_name(value: str, _: Version) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9._~\-\u0080-\U0010ffff]+", value):
        return None
    kinds = "the only accepted ascii characters are alphanumerics or ., -, _, and ~"
    return f"invalid value '{value}': {kinds}"


def tag(value: str, _: Version) -> str | None:
    if re.search(r"[,/\x00-\x1f\x7f]", value) is None:
        return None
    wanted = "expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
    return f"invalid tag '{value}': {wanted}"


def header_name(value: str, _: Version) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9_-]+", value):
        return None
    return f"bad header name '{value}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"


def route_header(value: str, version: Version) -> str | None:
    if value.lower() == "host":
        return "cannot contain 'host' header, which must be specified in the 'hosts' attribute"
    return header_name(value, version)


def log_header(value: str, version: Version) -> str | None:
    for name in ("Host", "Content-Length", "Content-Type"):
        if value.lower() == name.lower():
            return f"cannot contain '{name}' header"
    return header_name(value, version)


def host(value: str, _: Version) -> str | None:
    if _is_kong_host(value):
        return None
    if re.fullmatch(r"[^:/\s]+:\d+", value):
        return "must not have a port"
    return f"invalid value: {value}"


def _is_kong_host(value: str) -> bool:
    """As kong/tools/ip.lua: the sort of a host is told by its characters, then it must be right."""
    if value.count(":") > 1:
        return "." not in value and _is_ip(value)
    if re.fullmatch(r"[0-9.]+", value):
        parts = value.split(".")
        return (
            len(parts) == 4
            and all(re.fullmatch("[0-9]{1,3}", one) for one in parts)
            and all(int(one) <= 255 for one in parts)
        )
    labels = value.split(".")
    return re.fullmatch(r"[0-9A-Za-z._-]+", value) is not None and all(
        not label.endswith("-") and (label or at == len(labels) - 1)
        for at, label in enumerate(labels)
    )


def host_with_port(value: str, version: Version) -> str | None:
    return host(re.sub(r":\d+$", "", value), version)


def wildcard_host(value: str, version: Version) -> str | None:
    if value.count("*") > 1:
        return "invalid wildcard: must have at most one wildcard"
    if "*" in value and not (value.startswith("*.") or value.endswith(".*")):
        return "invalid wildcard: must be placed at leftmost or rightmost label"
    return host_with_port(value.replace("*", "x"), version)


def upstream_name(value: str, _: Version) -> str | None:
    if _is_ip(value):
        return "Invalid name; no ip addresses allowed"
    if ":" in value:
        return "Invalid name; no port allowed"
    if _HOST.match(value):
        return None
    return f"Invalid name ('{value}'); not a valid hostname or ip address"


def target(value: str, _: Version) -> str | None:
    name, _colon, port = value.partition(":") if value.count(":") == 1 else (value, "", "")
    is_port = port == "" or (port.isdigit() and int(port) <= 65535)
    if is_port and (_is_ip(name) or _HOST.match(name)):
        return None
    if re.fullmatch(r"\[[0-9a-fA-F:]+\](:\d+)?", value):
        return None
    return f"Invalid target ('{value}'); not a valid hostname or ip address"


def path(value: str, _: Version) -> str | None:
    if not value.startswith("/"):
        return "should start with: /"
    if "//" in value:
        return "must not have empty segments"
    if re.fullmatch(r"/[A-Za-z0-9._~/%:@!$&'()*+,;=-]*", value) is None:
        odd = "characters outside of the reserved list of RFC 3986 found"
        return f"invalid path: '{value}' ({odd})"
    lone = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", value)
    return f"invalid url-encoded value: '{lone[0]}'" if lone else None


def route_path(value: str, version: Version) -> str | None:
    if value.startswith("~/"):
        return _route_regex(value[1:], version)
    if not value.startswith("/"):
        return "should start with: / (fixed path) or ~/ (regex path)"
    if "//" in value:
        return "must not have empty segments"
    parts = value.split("/")
    if "." not in parts and ".." not in parts:
        return None
    kept: list[str] = []
    for part in parts[1:]:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    return f"non-normalized path, consider use '/{'/'.join(kept)}' instead"


def _route_regex(text: str, version: Version) -> str | None:
    """Only an unclosed parenthesis was seen on a running Kong; other reasons are Python's."""
    try:
        # PCRE writes a named group without Python's P.
        re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", text))
    except re.error as error:
        is_old = version < (3, 5)
        unclosed = "missing )" if is_old else "missing closing parenthesis"
        reason = unclosed if "unterminated subpattern" in error.msg else error.msg
        library = "pcre_compile" if is_old else "pcre2_compile"
        return (
            f"invalid regex: '{text}' (PCRE returned: {library}() failed: {reason} in \"{text}\")"
        )
    return None


def regex(value: str, _: Version) -> str | None:
    try:
        re.compile(value)
    except re.error:
        return f"not a valid regex: {value}"
    return None


def origin(value: str, _: Version) -> str | None:
    if value == "*":
        return None
    try:
        re.compile(value)
    except re.error:
        return f"'{value}' is not a valid regex"
    return None


def url(value: str, _: Version) -> str | None:
    parsed = urlsplit(value)
    if not parsed.netloc:
        return "missing host in url"
    return None if parsed.scheme else "missing scheme in url"


def ip_or_cidr(value: str, _: Version) -> str | None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"invalid ip or cidr range: '{value}'"
    return None


def method(value: str, _: Version) -> str | None:
    return None if re.fullmatch(r"[A-Z]+", value) else f"invalid value: {value}"


def colon_pair(value: str, _: Version) -> str | None:
    return None if re.match(r"[^:]+:.*$", value) else f"invalid value: {value}"


def file_name(value: str, _: Version) -> str | None:
    return "not a valid filename" if re.search(r"[*&%`]", value) else None


def vault_prefix(value: str, _: Version) -> str | None:
    is_good = re.fullmatch(r"[a-z][a-z\d-]*[a-z\d]+", value) and value != "env"
    return None if is_good else f"invalid value: {value}"


def certificate(value: str, _: Version) -> str | None:
    if value.startswith(("-----BEGIN CERTIFICATE-----", "{vault://")):
        return None
    return "invalid certificate: x509.new: no start line"


def private_key(value: str, _: Version) -> str | None:
    if re.match(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\{vault://", value):
        return None
    return "invalid key: pkey.new:load_key: no start line"


VALIDATORS: dict[str, Validator] = {
    one.__name__: one
    for one in (
        utf8_name,
        tag,
        header_name,
        route_header,
        log_header,
        host,
        host_with_port,
        wildcard_host,
        upstream_name,
        target,
        path,
        route_path,
        regex,
        origin,
        url,
        ip_or_cidr,
        method,
        colon_pair,
        file_name,
        vault_prefix,
        certificate,
        private_key,
    )
}
