"""Who may call: the bearer token of the control API, and the keys of gateways."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from stoa_gitops.control.problems import Handler, Problem
from stoa_gitops.control.server import trust_connection
from stoa_gitops.control.tenant_tokens import NO_TENANTS, TenantTokens
from stoa_gitops.fleet.keys import GatewayKey, GatewayKeys
from stoa_gitops.model.principal import Principal, PrincipalKind, Right
from stoa_gitops.model.secret import Secret


class Access(Enum):
    """Who may call a route."""

    OPEN = "open"
    """Everybody."""
    BEARER = "bearer"
    """Callers with the bearer token."""
    TENANT = "bearer, or a tenant's token"
    """Callers with the bearer token, and those with a token of a tenant for what is its own."""
    GATEWAY_KEY = "gateway key"
    """Gateways with a key of GATEWAY_API_KEYS."""
    OPTIONAL_KEY = "optional gateway key"
    """Everybody; who has a key of GATEWAY_API_KEYS gets more."""
    SIGNATURE = "signature"
    """Senders of a body that is signed; the handler checks it."""


NO_KEYS: Final = (
    "Gateway registration disabled (no GATEWAY_API_KEYS configured): set GATEWAY_API_KEYS, or "
    "GATEWAY_API_KEYS_FILE, where the control plane runs"
)
WRONG_KEY: Final = "Invalid gateway key: X-Gateway-Key is none of GATEWAY_API_KEYS"
"""The first words are those of STOA's control plane, which its troubleshooting pages quote."""

_PRINCIPAL: Final = web.RequestKey("principal", Principal)
_KEY: Final = web.RequestKey("gateway key", GatewayKey)


@dataclass(slots=True)
class Credentials:
    """What callers must know, at this moment: all of it may be replaced while the process runs.

    `tenant_tokens` are those of tenants. Without a `webhook_secret` no webhooks are taken; without
    `gateway_keys` no gateway registers, and `no_keys` says why. `keys_in_doubt` says why a key that
    is none of these may be a live one all the same; empty where it is not.
    """

    token: Secret
    webhook_secret: Secret | None = None
    gateway_keys: GatewayKeys | None = None
    no_keys: str = NO_KEYS
    keys_in_doubt: str = ""
    tenant_tokens: TenantTokens = NO_TENANTS


Refused = Callable[[web.Request, str], None]
"""Called with a request whose gateway key is refused, and why."""


def authorises(
    credentials: Credentials,
    find_access: Callable[[web.Request], Awaitable[Access | None]],
    on_refused: Refused,
) -> Middleware:
    """Return a middleware that asks each request for what its route wants, in constant time.

    Who sent the right token or key is the principal of the request. `find_access` returns None for
    what may pass without, because the router refuses it.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        match await find_access(request):
            case Access.BEARER:
                _check_token(credentials, request)
            case Access.TENANT:
                _check_token(credentials, request, admits_tenants=True)
            case Access.GATEWAY_KEY:
                try:
                    _check_key(credentials, request)
                except Problem as error:
                    on_refused(request, error.detail)
                    raise
            case Access.OPTIONAL_KEY:
                _note_key(credentials, request)
            case _:
                pass
        return await handler(request)

    return check


def principal_of(request: web.Request) -> Principal:
    """Return who asks: the holder of a token or key, or an anonymous caller without rights."""
    principal = request.get(_PRINCIPAL)
    return principal if principal is not None else _caller(request, PrincipalKind.ANONYMOUS)


def key_of(request: web.Request) -> GatewayKey | None:
    """Return the right gateway key that a request carries, if it does."""
    return request.get(_KEY)


def given_key(request: web.Request) -> str:
    """Return the gateway key that a request carries, right or wrong; empty without one."""
    return request.headers.get("X-Gateway-Key", "").strip()


def _check_token(
    credentials: Credentials, request: web.Request, *, admits_tenants: bool = False
) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Bytes that are no text arrive as surrogates: they are a wrong token, not an error of ours.
    expected = credentials.token.reveal().encode()
    raw = given.strip().encode("utf-8", "surrogateescape")
    # The scheme is case-insensitive: RFC 9110 §11.1.
    if scheme.lower() == "bearer" and hmac.compare_digest(raw, expected):
        request[_PRINCIPAL] = _caller(request, PrincipalKind.CONTROL_TOKEN)
        return
    tenant = credentials.tenant_tokens.find(raw) if scheme.lower() == "bearer" else None
    if tenant is not None:
        if not admits_tenants:
            raise Problem(403, "Forbidden", "a tenant's token is for what that tenant may read")
        request[_PRINCIPAL] = Principal(
            f"tenant {tenant} from {request.remote or 'nowhere'}",
            PrincipalKind.TENANT_TOKEN,
            tenant,
            frozenset({Right.READ}),
        )
        return
    raise Problem(
        401,
        "Unauthorized",
        "send `Authorization: Bearer <token>`; the token is STOA_CONTROL_TOKEN (or in its "
        "_FILE), or stands in control-token of the state folder",
        WWW_Authenticate='Bearer realm="stoa-gitops"',
    )


def _check_key(credentials: Credentials, request: web.Request) -> None:
    if credentials.gateway_keys is None:
        raise Problem(503, "Service Unavailable", credentials.no_keys, Retry_After="30")
    if not _note_key(credentials, request):
        # A gateway that gets a 401 gives up for good: only a key that is known to be wrong is one.
        if credentials.keys_in_doubt and given_key(request):
            raise Problem(503, "Service Unavailable", credentials.keys_in_doubt, Retry_After="30")
        raise Problem(401, "Unauthorized", WRONG_KEY, WWW_Authenticate="X-Gateway-Key")


def _note_key(credentials: Credentials, request: web.Request) -> bool:
    """Note who calls where the key is right, whose connections are then of no client's share."""
    keys, given = credentials.gateway_keys, given_key(request)
    key = keys.find(given) if keys is not None and given else None
    if key is None:
        return False
    request[_KEY] = key
    request[_PRINCIPAL] = Principal(
        f"gateway key {key.fingerprint} from {request.remote or 'nowhere'}",
        PrincipalKind.GATEWAY_KEY,
        rights=frozenset(),
    )
    trust_connection(request)
    return True


def _caller(request: web.Request, kind: PrincipalKind) -> Principal:
    # One token is shared by all callers, so the address is all that tells them apart.
    subject = f"control from {request.remote or 'nowhere'}"
    if kind is PrincipalKind.ANONYMOUS:
        return Principal(subject, kind, rights=frozenset())
    return Principal(subject, kind)
