"""What each policy of an API that decides about requests did about one of them. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from stoa_proxy.core.api import Api
from stoa_proxy.core.exchange import RequestContext, RequestRecord
from stoa_proxy.core.policy import Policy, PolicyLabel, Wrap
from stoa_proxy.pipeline.shown import microseconds, milliseconds

# APIs whose policies are named without asking again.
_MOST_KNOWN: Final = 512
_CIRCUIT_OPEN: Final = "circuit-open"

CompileApi = Callable[[str, Wrap], Api]
"""Returns an API of the table with its policies replaced (`Store.compile_wrapped`)."""


class PolicyVerdicts:
    """Tells, for requests that have ended, what their policies decided and how long that took."""

    def __init__(self, compile_api: CompileApi) -> None:
        self._compile_api = compile_api
        self._labels: dict[str, tuple[Api, tuple[PolicyLabel, ...]]] = {}

    def shown(self, context: RequestContext, record: RequestRecord) -> list[dict[str, object]]:
        """Return JSON values, in the order in which the policies run."""
        api = context.api
        is_refused = False
        shown: list[dict[str, object]] = []
        for label, policy in zip(self._names(api), api.policies, strict=False):
            if policy in api.request_filters:
                verdict = "not reached" if is_refused else "passed"
            elif policy in api.upstream_peers:
                verdict = _verdict_of_peer(policy, context, record)
            else:
                continue
            if policy is record.refused_by:
                verdict, is_refused = "refused", True
            asked = _seconds_of(policy, context.policy_seconds)
            waited = _seconds_of(policy, record.waits)
            took = None if asked is None and waited is None else (asked or 0.0) + (waited or 0.0)
            shown.append(
                {
                    "type": label.type,
                    "id": label.id,
                    "name": label.name,
                    "verdict": verdict,
                    "duration_us": None if took is None else microseconds(took),
                    "waited_ms": None if waited is None else milliseconds(waited),
                }
            )
        return shown

    def _names(self, api: Api) -> tuple[PolicyLabel, ...]:
        known = self._labels.get(api.id)
        if known is not None and known[0] is api:
            return known[1]
        compiled = self._compile_api(api.id, _Named)
        names = tuple(one.label for one in compiled.policies if isinstance(one, _Named))
        if len(self._labels) >= _MOST_KNOWN:
            self._labels.clear()
        self._labels[api.id] = api, names
        return names


class _Named(Policy):
    """The name of a policy in its place, as `Wrap` makes it."""

    __slots__ = ("label",)

    def __init__(self, label: PolicyLabel, policy: Policy) -> None:
        self.label = label


def _seconds_of(policy: Policy, noted: Sequence[tuple[Policy, float]]) -> float | None:
    """Return how long a policy took together; None for one of which nothing is noted."""
    found = [seconds for one, seconds in noted if one is policy]
    return sum(found) if found else None


def _verdict_of_peer(policy: Policy, context: RequestContext, record: RequestRecord) -> str:
    """Return what a policy said of the backend, which it may not have been asked about."""
    if _CIRCUIT_OPEN in (record.failure, context.fallback_reason):
        return "unavailable"
    return "passed" if any(one is policy for one, _ in context.policy_seconds) else "not reached"
