"""Gateways register, are heard, and leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from stoa_gitops.control.auth import Access, given_key, key_of
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.route import ApiRequest, json_response, route, unprocessable
from stoa_gitops.control.wire import (
    FURTHER,
    AnyQuery,
    GatewayInstanceView,
    HeartbeatBody,
    RegistrationBody,
)
from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.fleet.health import Figures
from stoa_gitops.fleet.identity import parse_mode
from stoa_gitops.fleet.members import Member
from stoa_gitops.fleet.registration import Registration

MAX_REGISTRATION: Final = 8 * 1024
"""The real gateway sends some 300 bytes. What is sent is kept, also over restarts, and may be four
bytes per letter: ten thousand of 64 KiB were more than a gigabyte."""

MAX_HEARTBEAT: Final = 16 * 1024

_REGISTER: Final = "/v1/internal/gateways/register"


@route(
    "POST",
    _REGISTER,
    "registerGateway",
    "A gateway that starts says who it is; the same one may do so again",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    body=RegistrationBody,
    parses=False,
    response=GatewayInstanceView,
    success=201,
    failures=(403, 409),
    is_lenient=True,
    max_body=MAX_REGISTRATION,
)
async def register_gateway(request: ApiRequest[AnyQuery, None]) -> web.Response:
    """Take a registration; it is stored when this is answered."""
    fleet = request.context.fleet
    try:
        registration = _registration_of(request)
        check_environment(request, registration.environment)
        member = await fleet.register(registration)
    except (Problem, StoaGitopsError) as error:
        fleet.refuse(*_sender(request.raw), str(error))
        raise
    response = json_response(_view(member), 201)
    # While a connection is idle, aiohttp keeps the request and the response before: 6 KiB for each
    # of a thousand gateways that start at once and call again half a minute later.
    response.force_close()
    return response


@route(
    "POST",
    "/v1/internal/gateways/{id}/heartbeat",
    "heartbeat",
    "A gateway lives, and these are its figures",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    body=HeartbeatBody,
    parses=False,
    response=None,
    success=204,
    failures=(403, 404),
    is_lenient=True,
    max_body=MAX_HEARTBEAT,
)
async def take_heartbeat(request: ApiRequest[AnyQuery, None]) -> None:
    """Take a heartbeat; one whose figures make no sense is a sign of life all the same."""
    member = member_of(request)
    try:
        sent = HeartbeatBody.model_validate_json(request.content)
    except ValidationError as error:
        request.context.fleet.beat(member.registration.id, None)
        raise unprocessable(error) from None
    figures = Figures(
        sent.uptime_seconds,
        sent.routes_count,
        sent.policies_count,
        sent.discovered_apis,
        sent.requests_total,
        sent.error_rate,
    )
    request.context.fleet.beat(member.registration.id, figures)


@route(
    "DELETE",
    "/v1/internal/gateways/{id}",
    "leave",
    "A gateway stops; it stays registered",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    response=None,
    success=204,
    failures=(403, 404),
    is_lenient=True,
)
async def leave(request: ApiRequest[AnyQuery, None]) -> None:
    """Note that a gateway stops: it is OFFLINE at once."""
    member = member_of(request)
    request.context.fleet.leave(member.registration.id, request.principal)


def member_of(request: ApiRequest[Any, Any]) -> Member:
    """Return the gateway in the path, `{id}`, if the key may speak for it.

    Raises GatewayUnknown, and Problem for a key of another environment.
    """
    member = request.context.fleet.get(request.raw.match_info["id"])
    check_environment(request, member.registration.environment)
    return member


def check_environment(request: ApiRequest[Any, Any], environment: str) -> None:
    """Raise Problem for a key that is bound to another environment."""
    key = key_of(request.raw)
    if key is not None and key.environment is not None and not key.is_for(environment):
        raise Problem(
            403,
            "Forbidden",
            f"the key is for the environment {key.environment}, and the gateway is in "
            f"{environment}: give it a key of its own environment, or correct its "
            "STOA_ENVIRONMENT. A gateway of STOA does not try again after this: restart it then",
        )


def refuses_key(context: ApiContext) -> Callable[[web.Request, str], None]:
    """Return what notes registrations whose key is refused."""

    def refuse(request: web.Request, why: str) -> None:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical.endswith(_REGISTER):
            context.fleet.refuse(*_sender(request), why)

    return refuse


def _sender(request: web.Request) -> tuple[str, str]:
    """Return the address of a request and the fingerprint of the key that it carries."""
    given = given_key(request)
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return request.remote or "unknown", digest if given else ""


def _registration_of(request: ApiRequest[AnyQuery, None]) -> Registration:
    try:
        sent = RegistrationBody.model_validate_json(request.content)
    except ValidationError as error:
        raise unprocessable(error) from None
    peer, fingerprint = _sender(request.raw)
    try:
        mode = parse_mode(sent.mode)
    except ValueError as error:
        raise Problem(422, "Unprocessable Content", f"mode: {error}") from None
    try:
        return Registration.named(
            sent.hostname,
            mode,
            sent.environment,
            version=sent.version,
            admin_url=sent.admin_url,
            capabilities=_shared(tuple(sent.capabilities)),
            extensions=_shared(tuple(sent.extensions)),
            tenant_id=(sent.tenant_id or "").strip(),
            further=sent.further(),
            key=fingerprint,
            peer=peer,
        )
    except ValueError as error:
        raise Problem(422, "Unprocessable Content", f"hostname, environment: {error}") from None


@lru_cache(maxsize=64)
def _shared(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same words as one object for all gateways that send them: most do."""
    return words


def _view(member: Member) -> GatewayInstanceView:
    registration, figures = member.registration, member.figures
    further: dict[str, str | None] = dict.fromkeys(FURTHER)
    further.update(registration.further)
    endpoints = further["endpoints"]
    details: dict[str, int | float | str | None] = {
        "registered_at": member.registered_at.isoformat()
    }
    if figures is not None:
        details |= {
            "uptime_seconds": figures.uptime,
            "routes_count": figures.routes,
            "policies_count": figures.policies,
            "requests_total": figures.requests,
            "error_rate": figures.error_rate,
        }
    mode = registration.mode.value
    return GatewayInstanceView(
        id=registration.id,
        name=registration.name,
        display_name=f"STOA Gateway ({mode})",
        gateway_type=registration.gateway_type,
        environment=registration.environment,
        tenant_id=registration.tenant_id or None,
        base_url=registration.admin_url,
        target_gateway_url=further["target_gateway_url"],
        public_url=further["public_url"],
        ui_url=further["ui_url"],
        endpoints=json.loads(endpoints) if endpoints else None,
        deployment_mode=further["deployment_mode"],
        target_gateway_type=further["target_gateway_type"],
        topology=further["topology"],
        auth_config={"type": "gateway_key"},
        status=member.status.value.lower(),
        last_health_check=member.last_beat_at.isoformat() if member.last_beat_at else None,
        health_details=details,
        capabilities=list(registration.capabilities),
        version=registration.version,
        tags=[f"mode:{mode}", "auto-registered"],
        mode=mode,
        protected=False,
        enabled=True,
        visibility=None,
        source="self_register",
        deleted_at=None,
        deleted_by=None,
        created_at=member.registered_at.isoformat(),
        updated_at=member.last_registered_at.isoformat(),
    )
