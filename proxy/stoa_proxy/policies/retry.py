"""`retry`: which failures and statuses of a backend are tried again, how often and how soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stoa_proxy.core.policy import Phase, Policy, PolicyType, always_public
from stoa_proxy.core.retries import IDEMPOTENT, RetryBudgets, RetryRules
from stoa_proxy.policies.parsing import check_keys, read_positive, read_seconds, read_tokens

_MAX_ATTEMPTS: Final = 10
# What `connect`, `timeout` and `5xx` are: reasons of UpstreamFailed. No response at all, one that
# does not come in time, and one that cannot be read, for which a client would get 502.
_REASONS: Final[Mapping[str, frozenset[str]]] = {
    "connect": frozenset({"unreachable", "tls-failed", "no-answer"}),
    "timeout": frozenset({"timeout"}),
    "5xx": frozenset({"bad-answer"}),
}
_SERVER_ERRORS: Final = frozenset(range(500, 600))
# Pauses double; beyond this a client waits for nothing.
_LONGEST_PAUSE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Retry(Policy):
    """The rules by which requests of its API are tried again; `rules` apply to all its routes."""

    rules: RetryRules

    def retry_rules(self) -> RetryRules:
        """Return the rules."""
        return self.rules


def parse_retry(policy_id: str, config: Mapping[str, object]) -> Retry:
    """Return a Retry for `{attempts, on, backoff, methods}`. Raises ValueError."""
    check_keys(config, ("attempts", "on", "backoff", "methods"))
    attempts = read_positive(config, "attempts")
    if attempts > _MAX_ATTEMPTS:
        raise ValueError(f"config.attempts must be {_MAX_ATTEMPTS} at most")
    reasons, statuses = _read_conditions(config.get("on", ["connect", "timeout"]))
    pause = read_seconds(config, "backoff", "100ms", with_zero=True)
    if pause > _LONGEST_PAUSE:
        raise ValueError(f"config.backoff must be {_LONGEST_PAUSE:g} s at most")
    methods = frozenset(method.upper() for method in read_tokens(config, "methods"))
    return Retry(
        RetryRules(
            attempts - 1,
            reasons,
            statuses,
            first_pause=pause,
            longest_pause=_LONGEST_PAUSE,
            methods=methods or IDEMPOTENT,
        )
    )


def _read_conditions(value: object) -> tuple[frozenset[str], frozenset[int]]:
    if not isinstance(value, list):
        raise ValueError("config.on must be a list of connect, timeout, 5xx and statuses")
    reasons: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    for condition in value:
        text = str(condition)
        if isinstance(condition, bool) or not isinstance(condition, str | int):
            raise ValueError(f"config.on holds {condition!r}")
        if text in _REASONS:
            reasons |= _REASONS[text]
            statuses |= _SERVER_ERRORS if text == "5xx" else frozenset()
        elif text.isascii() and text.isdecimal() and 400 <= int(text) <= 599:
            statuses |= {int(text)}
        else:
            raise ValueError(
                f"config.on holds '{text}', which is none of connect, timeout, 5xx and 400 to 599"
            )
    return reasons, statuses


POLICY = PolicyType(
    "retry",
    Phase.UPSTREAM,
    parse_retry,
    '`{"attempts": 1..10, "on": ["connect"\\|"timeout"\\|"5xx"\\|status] = ["connect", "timeout"], '
    '"backoff": duration = "100ms", "methods"?: []}`; without `methods` the idempotent ones',
    is_single=True,
    is_public=always_public,
    states=(RetryBudgets,),
)
