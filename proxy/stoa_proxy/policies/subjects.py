"""Whom limits and quotas count, and what a response says of them. Shared by types; is none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from sys import intern

from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.policy import PolicyContext
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.foundation.client_network import client_network
from stoa_proxy.policies.parsing import is_token

_BY = ("consumer", "ip", "tenant")


def subject_of(context: PolicyContext, by: str) -> tuple[str, str]:
    """Return the kind of a caller and who it is: the address where nothing else is known."""
    consumer = context.consumer
    if by == "tenant":
        return "tenant", consumer.tenant_id if consumer else context.route.tenant_id
    if by == "consumer" and consumer is not None:
        return "consumer", consumer.id
    if by.startswith("header:"):
        value = context.head.value(by.removeprefix("header:").lower())
        if value is not None:
            # Callers choose the value: its digest bounds what one counter costs.
            raw = value.encode("utf-8", "surrogateescape")
            return "header", hashlib.sha256(raw).hexdigest()
    return "ip", client_network(context.head.client_address)


def names_of(by: str) -> frozenset[str]:
    """Return the header that callers are told apart by, if it is one."""
    header = by.removeprefix("header:")
    return frozenset() if header == by else frozenset({header.lower()})


def note_result(context: PolicyContext, result: LimitResult) -> bool:
    """Note a result for the response; whether it allows the request."""
    shown = context.limit_result
    # The response shows the limit that refuses, or the one with the least left.
    if shown is None or not result.allowed or result.remaining < shown.remaining:
        context.limit_result = result
    return result.allowed


def refuse_excess(result: LimitResult, limit: str) -> Respond:
    """Return the response over a limit: 429 (RFC 6585, 4). `limit` is what it is, for people."""
    # Retry-After is in whole seconds (RFC 9110, 10.2.3), and 0 would invite a storm.
    wait = str(max(1, math.ceil(result.reset)))
    kind = "quota-exceeded" if result.name == "quota" else "rate-limit-exceeded"
    detail = f"The limit is {limit}; try again in {wait} s."
    return problem(429, "Too many requests", detail, [("Retry-After", wait)], kind=kind)


def read_by(config: Mapping[str, object]) -> str:
    """Return whom a config counts. Raises ValueError."""
    value = config.get("by", "consumer")
    if value in _BY:
        return intern(str(value))
    if isinstance(value, str) and value.startswith("header:") and is_token(value[7:]):
        return intern(value)
    raise ValueError("config.by must be 'consumer', 'ip', 'tenant' or 'header:<name>'")
