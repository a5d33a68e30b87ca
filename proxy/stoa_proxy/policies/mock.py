"""`mock`: a fixed response instead of the backend's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stoa_proxy.core.policy import Phase, Policy, PolicyContext, PolicyType, always_public
from stoa_proxy.core.policy_states import OutcomeCounts
from stoa_proxy.core.problems import Respond
from stoa_proxy.policies.parsing import check_header_bounds, check_keys, read_header_map

# RFC 9110, 15.3.5, 15.3.6, 15.4.5: these end with their head.
_BODILESS = frozenset({204, 205, 304})


class MockResponses(OutcomeCounts):
    """Responses of `mock`, by the first digit of their status."""

    metric = "stoa_mock_responses_total"
    text = "Responses of `mock`, by the first digit of their status."
    label = "status"
    outcomes = ("2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True, slots=True)
class Mock(Policy):
    """Responds to whatever the policies before it let pass; nothing is sent upstream."""

    response: Respond

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Respond."""
        context.states.of(MockResponses).counts[f"{self.response.status // 100}xx"] += 1
        return self.response


def parse_mock(policy_id: str, config: Mapping[str, object]) -> Mock:
    """Return a Mock for `{status, headers, body}`. Raises ValueError."""
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
    check_header_bounds(headers, (), "config.headers")
    if body and "content-type" not in {name.lower() for name, _ in headers}:
        headers = (*headers, ("Content-Type", "text/plain; charset=utf-8"))
    try:
        content = body.encode()
    except UnicodeEncodeError:
        raise ValueError("config.body holds a lone surrogate") from None
    return Mock(Respond(status, headers, content))


POLICY = PolicyType(
    "mock",
    Phase.RESPONSE,
    parse_mock,
    '`{"status"?: 200..599 = 200, "headers"?: {name: value}, "body"?: string}`; a body is '
    "`text/plain` unless a header says otherwise",
    is_single=True,
    is_public=always_public,
    states=(MockResponses,),
)
