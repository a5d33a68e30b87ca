"""A trace as the admin API shows it: JSON values, without any credential."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.backend_auth import BasicAuth, ClientCredentials
from stoa_proxy.core.exchange import Echo, Forward, RequestContext
from stoa_proxy.core.match import Target, edit_query, parameter_name
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.policy import PolicyLabel
from stoa_proxy.http.credential_names import names_credential
from stoa_proxy.http.heads import Header, RequestHead
from stoa_proxy.pipeline.shown import milliseconds
from stoa_proxy.pipeline.trace import Call, Step, Trace, context_of

_HIDDEN = "***"
# What is shorter stands in many a text by chance.
_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as the client would get it; `is_cut` where the body has more than is here.

    `source` is who answered: policy, gateway, backend, fallback or echo.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    source: str
    is_cut: bool = False


def trace_view(
    head: RequestHead,
    trace: Trace,
    plan: Forward | Echo | None,
    answer: Answer | None,
    seconds: float,
    *,
    sent: bool,
) -> dict[str, object]:
    """Return the document of one traced request.

    `plan` is what the gateway decided to call, if anything; `answer` is None where it was not sent.
    """
    context = context_of(trace) if plan is None else plan.context
    route = trace.route if context is None else context.route
    return {
        "format_version": "1.0",
        "sent": sent,
        "request": {
            "method": head.method,
            "path": head.target.partition("?")[0],
            "host": head.value("host") or "",
            "client_address": head.client_address,
        },
        "route": None if route is None else _route(route),
        "consumer": None if context is None else _consumer(context.consumer),
        "steps": [_step(step) for step in trace.steps],
        "upstream": None if plan is None else _upstream(plan),
        "calls": [_call(call) for call in trace.calls],
        "fallback": None if context is None else context.fallback_reason,
        "answer": None if answer is None else _answer(answer, context, trace.decided_by),
        "trace": _trace_context(head, sent=sent),
        "milliseconds": milliseconds(seconds),
    }


def _trace_context(head: RequestHead, *, sent: bool) -> dict[str, object] | None:
    """Return the trace that the request belongs to, None while tracing is off."""
    trace = head.trace
    if trace is None:
        return None
    return {
        "trace_id": trace.trace_id,
        "recorded": sent and trace.is_recorded,
        "continued": bool(trace.parent_id),
    }


def _route(route: Route) -> dict[str, object]:
    return {
        "id": route.id,
        "name": route.name,
        "tenant": route.tenant_id,
        "api": route.api_id,
        "path": route.path,
        "hosts": list(route.hosts),
        "methods": sorted(route.methods),
        "headers": {name: list(values) for name, values in route.headers},
        "strip_path": route.strip_path,
        "timeout_seconds": route.timeout,
        "retries": route.retries,
        "backend": _backend(route.backend),
        "fallback": None if route.fallback is None else _backend(route.fallback),
    }


def _backend(upstream: Upstream) -> str:
    """Return an upstream without its query, which may hold a credential."""
    if not isinstance(upstream, Backend):
        return "builtin:echo"
    return shown_target(Target(*upstream.origin, upstream.base_path or "/", ""))


def shown_target(target: Target) -> str:
    """Return the URL of a target without its query."""
    if target.scheme == "builtin":
        return f"builtin:echo{target.path}"
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{target.scheme}://{host}:{target.port}{target.path}"


def _consumer(consumer: Consumer | None) -> dict[str, object] | None:
    if consumer is None:
        return None
    return {"id": consumer.id, "name": consumer.name, "tenant": consumer.tenant_id}


def _policy(label: PolicyLabel) -> dict[str, object]:
    return {"type": label.type, "id": label.id, "name": label.name, "phase": label.phase.title}


def _step(step: Step) -> dict[str, object]:
    return {
        "hook": step.hook,
        "policy": _policy(step.policy),
        "verdict": step.verdict,
        "status": step.status,
        "detail": step.detail,
        "milliseconds": milliseconds(step.seconds),
    }


def _call(call: Call) -> dict[str, object]:
    return {
        "upstream": call.upstream,
        "status": call.status,
        "failure": call.failure or None,
        "milliseconds": milliseconds(call.seconds),
    }


def _upstream(plan: Forward | Echo) -> dict[str, object]:
    return {
        "url": shown_target(plan.target),
        "query": _query(plan.target.query, plan.context),
        "headers": _headers(plan.headers, plan.context),
    }


def _query(raw: str, context: RequestContext) -> str:
    names = {parameter_name(part) for part in raw.split("&")}
    secret = context.secret_query | context.hidden_query
    if isinstance(context.backend, Backend) and context.backend.base_query:
        # What the URL of a backend carries may be a credential under any name.
        secret |= {parameter_name(part) for part in context.backend.base_query.split("&")}
    return edit_query(raw, {one for one in names if one in secret or names_credential(one)}, None)


def _headers(headers: Iterable[Header], context: RequestContext | None) -> list[list[str]]:
    secret = frozenset() if context is None else context.secret_headers | context.hidden_headers
    return [
        [name, _HIDDEN if name.lower() in secret or names_credential(name) else value]
        for name, value in headers
    ]


def _answer(
    answer: Answer, context: RequestContext | None, decided_by: PolicyLabel | None
) -> dict[str, object]:
    content = answer.body
    for secret in _sent_secrets(context):
        content = content.replace(secret, _HIDDEN.encode())
    try:
        body, encoding = content.decode(), "utf-8"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(content).decode(), "base64"
    is_policys = answer.source == "policy" and decided_by is not None
    return {
        "status": answer.status,
        "source": answer.source,
        "policy": _policy(decided_by) if is_policys and decided_by is not None else None,
        "headers": _headers(answer.headers, context),
        "body": body,
        "body_encoding": encoding,
        "body_cut": answer.is_cut,
    }


def _sent_secrets(context: RequestContext | None) -> list[bytes]:
    """Return the credentials that the backend got, for some respond with what they received."""
    auth = None if context is None else context.route.backend_auth
    if context is None or auth is None:
        return []
    if isinstance(auth, ClientCredentials):
        values = [context.notes.get(ClientCredentials)]
    elif isinstance(auth, BasicAuth):
        values = [auth.value, auth.password]
    else:
        values = [auth.value]
    found = [one for one in values if isinstance(one, str) and len(one) >= _SHORTEST_SECRET]
    return [text.encode() for one in found for text in {one, quote(one, safe=""), quote_plus(one)}]
