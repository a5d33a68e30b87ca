"""What a route of the admin API says of the TLS of its backends: `backend_tls`, `upstreams[].tls`.

Certificates and keys are never read back: of a route that holds any its views have fingerprints.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from stoa_proxy.admin.checks import View, fingerprint
from stoa_proxy.admin.json_body import Body
from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.model import Route
from stoa_proxy.errors import CertificateUnusable
from stoa_proxy.foundation.upstream_tls import UpstreamTls, upstream_tls

_MATERIAL: Final = ("certificate", "key", "ca")
# A name, or an address, as certificates have them.
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|[0-9a-fA-F:]{2,39}")


def read_tls_view(body: Body, field: str) -> dict[str, object] | None:
    """Return the TLS of a backend as it is read back, None without any. Raises BodyRefused."""
    if body.values.get(field) is None:
        return None
    item = body.body(field)
    wanted = [name for name in _MATERIAL if name in item.values]
    texts = [text for name in wanted if (text := item.optional_text(name)) is not None]
    is_set = len(texts) == len(wanted)
    view: dict[str, object] = {
        "server_name": item.optional_text("server_name"),
        "has_certificate": "certificate" in wanted,
        "has_ca": "ca" in wanted,
        "value_set": is_set,
    }
    if is_set:
        # Tells whoever wrote it that another one is there, and shows nothing of it.
        digest = hashlib.sha256("\n".join(texts).encode("utf-8", "replace")).hexdigest()
        view["fingerprint"] = fingerprint(digest)
    return view


def parse_tls(
    body: Body, field: str, tenant: str, upstream: Upstream | None, errors: list[str]
) -> Upstream | None:
    """Return the upstream with its TLS, as a field of a body has it; append what is wrong."""
    if body.values.get(field) is None:
        return upstream
    item, at = body.body(field), body.path_of(field)
    count = len(errors)
    errors += item.check_fields((*_MATERIAL, "server_name"))
    texts = {
        name: item.optional_text(name) or "" if name in item.values else None for name in _MATERIAL
    }
    name = item.optional_text("server_name")
    if (texts["certificate"] is None) != (texts["key"] is None):
        errors.append(f"{at}: certificate and key belong together")
    if name is not None and _NAME.fullmatch(name) is None:
        errors.append(f"{item.path_of('server_name')} must be a host name or an address")
    if name is None and not any(text is not None for text in texts.values()):
        errors.append(f"{at} must have a certificate, a ca or a server_name")
    if upstream is not None and not (isinstance(upstream, Backend) and upstream.scheme == "https"):
        errors.append(f"{at} is for https URLs")
    if len(errors) > count or not isinstance(upstream, Backend):
        return upstream
    found = upstream_tls(
        tenant, certificate=texts["certificate"], key=texts["key"], ca=texts["ca"],
        server_name=name,
    )  # fmt: skip
    try:
        found.check()
    except CertificateUnusable as error:
        errors.append(f"{at}: {error}")
    return replace(upstream, tls=found)


def has_secrets(route: Route) -> bool:
    """Whether a route holds what its view does not show."""
    return route.backend_auth is not None or any(_identities(route))


def lacks_secrets(route: Route) -> bool:
    """Whether something of them is not here."""
    auth = route.backend_auth
    return (auth is not None and not auth.is_resolved) or any(
        tls is not None and not tls.is_resolved for tls in _identities(route)
    )


def with_secrets(route: Route, view: View) -> View:
    """Return a route as the admin API takes it, with all that its view leaves out."""
    auth = route.backend_auth
    if auth is not None:
        view = {**view, "backend_auth": auth.as_body()}
    return _with_tls(route, view, UpstreamTls.as_body)


def without_secrets(route: Route, view: View) -> View:
    """Return a route as the admin API takes it, null where there is a secret."""
    auth = route.backend_auth
    if auth is not None:
        view = {**view, "backend_auth": auth.without_secret().as_body()}
    return _with_tls(route, view, UpstreamTls.as_bare_body)


def _identities(route: Route) -> Iterator[UpstreamTls | None]:
    if route.balancing is not None:
        yield from (target.backend.tls for target in route.balancing.targets)
    elif isinstance(route.backend, Backend):
        yield route.backend.tls


def _with_tls(route: Route, view: View, as_body: Any) -> View:
    found = list(_identities(route))
    if not any(found):
        return view
    if route.balancing is None:
        return {**view, "backend_tls": as_body(found[0])}
    upstreams: Any = view["upstreams"]
    return {
        **view,
        "upstreams": [
            item if tls is None else {**item, "tls": as_body(tls)}
            for item, tls in zip(upstreams, found, strict=True)
        ],
    }
