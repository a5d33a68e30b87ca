"""Webhooks of Git servers: a signed delivery has the catalog read again at once."""

from __future__ import annotations

from typing import Final

from stoa_gitops.control import webhooks
from stoa_gitops.control.auth import Access
from stoa_gitops.control.bodies import AcceptedView, NoQuery
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.route import ApiRequest, route

WEBHOOK_SECONDS: Final = 30.0
"""A Git server may send 25 MB; GitHub itself gives up on a delivery after 10 s."""


@route(
    "POST",
    "/v1/webhooks/git",
    "webhook",
    "A Git server has news: the catalog is read again at once",
    response=AcceptedView,
    success=202,
    failures=(404,),
    access=Access.SIGNATURE,
    seconds=WEBHOOK_SECONDS,
    max_body=webhooks.MAX_BODY,
)
async def take_delivery(request: ApiRequest[NoQuery, None]) -> AcceptedView:
    """Check the signature while the body arrives, and request a reading of the catalog."""
    context = request.context
    await _check_signature(request)
    if not context.deliveries.is_new(webhooks.delivery_id(request.raw.headers)):
        context.metrics.count_webhook("duplicate")
        return AcceptedView(status="duplicate")
    context.metrics.count_webhook("accepted")
    context.operations.request_catalog_reload("webhook")
    return AcceptedView(status="accepted")


async def _check_signature(request: ApiRequest[NoQuery, None]) -> None:
    context = request.context
    secret = context.credentials.webhook_secret
    if secret is None:
        raise Problem(
            404,
            "Not Found",
            "no webhook is taken: STOA_GIT_WEBHOOK_SECRET is not set, nor its _FILE",
        )
    check = webhooks.verification(request.raw.headers, secret, context.clock())
    size = 0
    if check is not None:
        async for chunk in request.raw.content.iter_any():
            size += len(chunk)
            # Content-Length was checked before; a chunked body tells no length.
            if size > webhooks.MAX_BODY:
                context.metrics.count_webhook("refused")
                raise Problem(
                    413, "Content Too Large", "a delivery has 25 MiB at most", closes=True
                )
            check.update(chunk)
    if check is None or not check.is_right():
        context.metrics.count_webhook("refused")
        message = "the delivery carries no signature that its secret makes: compare the secrets"
        raise Problem(401, "Unauthorized", message, closes=True, WWW_Authenticate="Signature")
