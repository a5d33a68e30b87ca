"""Routes of Apache APISIX as paths of a catalog, with what the backend gets of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from stoa_gitops.catalog.export.foreign.translation import Translation, mapping_of, texts_of

_PATH: Final = re.compile(r"/|(/[A-Za-z0-9._~!$&'()+,;=@%-]+)+")
_PLAIN: Final = r"/[A-Za-z0-9._~/-]*"
# The usual way to strip a prefix; other expressions are not followed.
_PATTERN: Final = re.compile(rf"\^({_PLAIN}?)\(\.\*\)\$?")
_REPLACEMENT: Final = re.compile(rf"({_PLAIN}?)\$1")
_KNOWN: Final = {
    "id", "name", "description", "labels", "hosts", "uris", "uri", "methods", "plugins", "vars",
    "filter_func", "enable_websocket", "remote_addrs", "timeout",
}  # fmt: skip


class Place(NamedTuple):
    """One path of a route.

    base    path of the backend that stands for the route's own, None where the path goes through
    policy  what tells the policies of routes apart
    """

    route: Mapping[str, Any]
    path: str
    base: str | None
    policy: str

    @property
    def group(self) -> tuple[str, str | None]:
        """Places of one group are one API: it has one backend, and its policies for all paths."""
        return self.policy, self.base or None if self.base != "/" else None


def find_places(
    translation: Translation,
    service: Mapping[str, Any],
    route: Mapping[str, Any],
    plugins: Mapping[str, Any],
) -> Iterator[Place]:
    """Yield the paths of a route that a catalog can say; the others are listed."""
    what = f"route {service.get('name') or ''}/{route.get('name') or ''}"
    reason = next((one for one in ("vars", "filter_func") if route.get(one)), "")
    if reason:
        effect = "left out: requests are told apart by host, path and method alone"
        translation.leave_out(what, reason, "", effect)
        return
    translation.leave_out_others(what, route, _KNOWN)
    own = [plugins, route.get("remote_addrs"), route.get("timeout")]
    policy = json.dumps(own, sort_keys=True, default=str)
    prefix = str(service.get("path_prefix") or "").rstrip("/")
    strips = bool(prefix) and service.get("strip_path_prefix") is not False
    rewrite = mapping_of(plugins.get("proxy-rewrite"))
    for uri in texts_of(route.get("uris")) or texts_of(route.get("uri")):
        is_wildcard = uri.endswith("*")
        plain = uri.rstrip("*").rstrip("/") if is_wildcard else uri
        path = f"{prefix}{plain if plain != '/' else ''}" or "/"
        if "*" in plain or "/:" in plain or not _PATH.fullmatch(path):
            effect = "left out: a route has a plain path, and takes what lies below it"
            translation.leave_out(what, "uris", uri, effect)
            continue
        passed = (plain or "/") if strips else path
        base, fault = _rewritten(rewrite, passed, is_wildcard=is_wildcard)
        if fault:
            translation.leave_out(what, "uris", uri, fault)
            continue
        if base is None and strips:
            base = passed
        if not is_wildcard:
            translation.leave_out(what, "uris", uri, "paths below it are served, too")
        yield Place(route, path, base, policy)


def is_followed(rewrite: Mapping[str, Any]) -> bool:
    """Whether places say what a `proxy-rewrite` does to paths."""
    return bool(rewrite.get("uri") or rewrite.get("regex_uri"))


def _rewritten(
    rewrite: Mapping[str, Any], path: str, *, is_wildcard: bool
) -> tuple[str | None, str]:
    """Return the path that the backend gets in place of one, or why that cannot be said."""
    fixed, pattern = rewrite.get("uri"), texts_of(rewrite.get("regex_uri"))
    if isinstance(fixed, str) and fixed:
        if is_wildcard or not _PATH.fullmatch(fixed) or "$" in fixed:
            return None, f"left out: the backend gets {fixed[:80]} for each path"
        return fixed, ""
    if not pattern:
        return None, ""
    found = _PATTERN.fullmatch(pattern[0])
    replaced = _REPLACEMENT.fullmatch(pattern[1]) if len(pattern) == 2 else None
    if found is None or replaced is None:
        return None, f"left out: no rule says what {pattern[0][:80]} makes of paths"
    # `^/tools/(.*)` also takes the path `/tools/`, which a route has as `/tools`.
    literal = found[1]
    candidate = path if path.startswith(literal) else f"{path}/"
    if not candidate.startswith(literal):
        return None, ""  # the expression does not match: the path goes through
    target = f"{replaced[1]}{candidate.removeprefix(literal)}"
    return f"/{target.strip('/')}", ""


def route_of(place: Place, service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a place as a route of an API document."""
    found: dict[str, Any] = {"path": place.path}
    methods = texts_of(place.route.get("methods"))
    hosts = texts_of(place.route.get("hosts")) or texts_of(service.get("hosts"))
    if methods:
        found["methods"] = methods
    if hosts:
        found["hosts"] = hosts
    if place.base is None and place.path != "/":
        found["stripPath"] = False
    return found
