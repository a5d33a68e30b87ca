"""`mock`: a fixed answer instead of the backend's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.policies.parsing import check_keys, read_header_map

_BODILESS = frozenset({204, 205, 304})


@dataclass(frozen=True, slots=True)
class Mock(Policy):
    """Answers what all policies before it let pass; nothing is sent upstream."""

    answer: Respond

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Answer."""
        return self.answer


def parse_mock(policy_id: str, config: Mapping[str, object]) -> Mock:
    """A Mock from `{status, headers, body}`. Raises ValueError."""
    check_keys(config, ("status", "headers", "body"))
    status = config.get("status", 200)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise ValueError("config.status must be an integer from 200 to 599")
    body = config.get("body", "")
    if not isinstance(body, str):
        raise ValueError("config.body must be a string")
    if body and status in _BODILESS:
        raise ValueError(f"config.body must be empty: an answer {status} has no body")
    headers = read_header_map(config, "headers")
    if body and "content-type" not in {name.lower() for name, _ in headers}:
        headers = (*headers, ("Content-Type", "text/plain; charset=utf-8"))
    try:
        content = body.encode()
    except UnicodeEncodeError:
        raise ValueError("config.body holds a lone surrogate") from None
    return Mock(Respond(status, headers, content))
