"""The functions that answer; each reads what is asked, asks the process, and writes JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from stoa_gitops.control.metrics import CONTENT_TYPE
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.routes import LIMIT, NAME
from stoa_gitops.operations.views import AuditEntryView, AuditPage, GatewayPage
from stoa_gitops.report.json_output import plan_json

if TYPE_CHECKING:
    from stoa_gitops.control.app import ApiContext

MAX_LIMIT = 500
DEFAULT_LIMIT = LIMIT.schema["default"]


def answer(value: Mapping[str, object], status: int = 200) -> web.Response:
    """Return a JSON answer with sorted keys."""
    return web.json_response(value, status=status, dumps=lambda v: json.dumps(v, sort_keys=True))


async def health(_: web.Request, desk: ApiContext) -> web.Response:
    """Say that the loop turns, and that everything in the background does its work."""
    if troubles := desk.operations.troubles():
        message = f"not running: {', '.join(troubles)}; the log says why"
        raise Problem(503, "Service Unavailable", message, Retry_After="5")
    return answer({"status": "ok"})


async def ready(_: web.Request, desk: ApiContext) -> web.Response:
    """Say whether every gateway had its first cycle."""
    if not desk.operations.is_ready():
        message = "starting: not every gateway has had its first cycle"
        raise Problem(503, "Service Unavailable", message, Retry_After="1")
    return answer({"status": "ready"})


async def metrics(_: web.Request, desk: ApiContext) -> web.Response:
    """Return the exposition."""
    return web.Response(body=desk.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(_: web.Request, desk: ApiContext) -> web.Response:
    """Return the description of this interface."""
    return web.Response(text=desk.description, content_type="application/json")


async def status(_: web.Request, desk: ApiContext) -> web.Response:
    """Return the catalog and every gateway."""
    return answer((await desk.operations.status()).document())


async def gateways(request: web.Request, desk: ApiContext) -> web.Response:
    """Return a page of gateways; the cursor is the last name."""
    limit, cursor = _limit(request), request.query.get("cursor", "")
    rest = [g for g in await desk.operations.gateways() if g.name > cursor]
    page = GatewayPage(items=rest[:limit], next=rest[limit - 1].name if len(rest) > limit else None)
    return answer(page.document())


async def gateway(request: web.Request, desk: ApiContext) -> web.Response:
    """Return one gateway."""
    return answer((await desk.operations.gateway(request.match_info[NAME])).document())


async def plan(request: web.Request, desk: ApiContext) -> web.Response:
    """Return a fresh plan."""
    plans = await desk.operations.plan(request.match_info[NAME])
    return web.Response(text=plan_json(plans), content_type="application/json")


async def reconcile(request: web.Request, desk: ApiContext) -> web.Response:
    """Mark a gateway dirty."""
    name = request.match_info[NAME]
    await desk.operations.reconcile(name, _actor(request))
    return answer({"status": "accepted", "gateway": name}, 202)


async def suspend(request: web.Request, desk: ApiContext) -> web.Response:
    """Stop the cycles of a gateway."""
    name = request.match_info[NAME]
    await desk.operations.suspend(name, _actor(request), await _reason(request))
    return answer((await desk.operations.gateway(name)).document())


async def resume(request: web.Request, desk: ApiContext) -> web.Response:
    """Start them again."""
    name = request.match_info[NAME]
    await desk.operations.resume(name, _actor(request))
    return answer((await desk.operations.gateway(name)).document())


async def audit(request: web.Request, desk: ApiContext) -> web.Response:
    """Return a page of the audit trail; the cursor is the last id."""
    limit = _limit(request)
    cursor = request.query.get("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise Problem(400, "Bad Request", "cursor is not one that a page ended with")
    entries = await desk.operations.audit(
        request.query.get("gateway"), limit + 1, int(cursor) if cursor else None
    )
    page = entries[:limit]
    more = str(page[-1].id) if len(entries) > limit else None
    return answer(
        AuditPage(items=[AuditEntryView.of(entry) for entry in page], next=more).document()
    )


async def webhook(request: web.Request, desk: ApiContext) -> web.Response:
    """Check the signature while the body arrives, and have the catalog read again."""
    from stoa_gitops.control import webhooks

    if desk.credentials.webhook_secret is None:
        raise Problem(
            404,
            "Not Found",
            "no webhook is taken: STOA_GIT_WEBHOOK_SECRET is not set, nor its _FILE",
        )
    check = webhooks.verification(request.headers, desk.credentials.webhook_secret, desk.clock())
    size = 0
    if check is not None:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > webhooks.MAX_BODY:
                desk.metrics.webhook("refused")
                raise Problem(
                    413, "Content Too Large", "a delivery has 25 MiB at most", closes=True
                )
            check.update(chunk)
    if check is None or not check.is_right():
        desk.metrics.webhook("refused")
        message = "the delivery carries no signature that its secret makes: compare the secrets"
        raise Problem(401, "Unauthorized", message, closes=True, WWW_Authenticate="Signature")
    if not desk.deliveries.is_new(webhooks.delivery_id(request.headers)):
        desk.metrics.webhook("duplicate")
        return answer({"status": "duplicate"}, 202)
    desk.metrics.webhook("accepted")
    desk.operations.look_again("webhook")
    return answer({"status": "accepted"}, 202)


def _limit(request: web.Request) -> int:
    given = request.query.get("limit", str(DEFAULT_LIMIT))
    is_number = given.isascii() and given.isdecimal() and len(given) < 5
    if not is_number or not 1 <= int(given) <= MAX_LIMIT:
        raise Problem(400, "Bad Request", f"limit is a number from 1 to {MAX_LIMIT}")
    return int(given)


async def _reason(request: web.Request) -> str:
    """Return the reason of the body, empty where none is sent."""
    from pydantic import ValidationError

    from stoa_gitops.control.bodies import Suspension

    raw = await request.read()
    if not raw:
        return ""
    try:
        return Suspension.model_validate_json(raw).reason
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in found["loc"]) or "the body"
        raise Problem(400, "Bad Request", f"{place}: {found['msg']}") from None


def _actor(request: web.Request) -> str:
    return f"control from {request.remote or 'nowhere'}"
