"""Circuit breakers: a backend that fails is not called for a while, then tried with one request.

`closed` counts failures of the window. `open` refuses until `reset` is over. `half_open` lets one
request through at a time: two that succeed close the breaker, one that fails opens it again (as
STOA gateway 0.9.25, `resilience/circuit_breaker.rs`).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.foundation.clock import Clock

State = Literal["closed", "open", "half_open"]
STATES: Final[tuple[State, ...]] = ("closed", "open", "half_open")

_SUCCESSES: Final = 2
# Failures are counted by tenths of the window, so that 10,000 a second take no more than one.
_PARTS: Final = 10
# The one that was used longest ago is forgotten, and begins closed.
_MAX_BREAKERS: Final = 10_000


class BreakerRules(NamedTuple):
    """`failures` within `window` open it for `reset`; both in seconds."""

    failures: int
    window: float
    reset: float


class BreakerKey(NamedTuple):
    """Which one: that of a policy for a backend's `scheme://host:port`."""

    policy_id: str
    api_id: str
    origin: str


@dataclass(slots=True)
class Breaker:
    """The state of one breaker; times are those of the monotonic clock.

    `probe_until` is when a request that was let through half open counts as lost, if nothing is
    heard of its end before.
    """

    state: State = "closed"
    until: float = 0.0
    probe_until: float = 0.0
    successes: int = 0
    parts: list[int] = field(default_factory=lambda: [0] * _PARTS)
    part: int = 0
    window: float = 0.0
    success_count: int = 0
    failure_count: int = 0
    open_count: int = 0
    rejected_count: int = 0

    @property
    def failures_in_window(self) -> int:
        """Failures of the window, as of the last outcome."""
        return sum(self.parts)

    def failures_at(self, now: float) -> int:
        """Failures of the window, with those forgotten that are older now."""
        gone = int(now * _PARTS / self.window) - self.part if self.window else 0
        ages = range(_PARTS - max(0, gone))
        return sum(self.parts[(self.part - age) % _PARTS] for age in ages)

    def advance(self, rules: BreakerRules, now: float) -> None:
        """Forget the parts of the window that are over."""
        self.window = rules.window
        part = int(now * _PARTS / rules.window)
        gone = part - self.part
        if gone > 0:
            for number in range(min(gone, _PARTS)):
                self.parts[(self.part + 1 + number) % _PARTS] = 0
            self.part = part

    def open(self, rules: BreakerRules, now: float) -> None:
        """Refuse from now on."""
        self.state, self.until = "open", now + rules.reset
        self.open_count += 1
        self.probe_until = 0.0

    def close(self) -> None:
        """Let everything through, and count anew."""
        self.state, self.successes, self.probe_until = "closed", 0, 0.0
        self.parts = [0] * _PARTS


class CircuitBreakers(PolicyState):
    """All breakers of a gateway."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._breakers: OrderedDict[BreakerKey, Breaker] = OrderedDict()
        self._rejected = 0
        self._opened = 0

    def __len__(self) -> int:
        return len(self._breakers)

    def __iter__(self) -> Iterator[tuple[BreakerKey, Breaker]]:
        return iter(self._breakers.items())

    def families(self) -> Iterable[MetricFamily]:
        """Return how many breakers are in which state, and what they did."""
        return [
            MetricFamily(
                "gauge",
                "stoa_circuit_breaker_state",
                "Circuit breakers, by their state.",
                self._count_states,
            ),
            MetricFamily(
                "counter",
                "stoa_circuit_breaker_opened_total",
                "How often a circuit breaker opened.",
                lambda: self._opened,
            ),
            MetricFamily(
                "counter",
                "stoa_circuit_breaker_rejections_total",
                "Requests that a circuit breaker kept from their backend.",
                lambda: self._rejected,
            ),
        ]

    def refuse(self, key: BreakerKey, rules: BreakerRules, probe_seconds: float) -> float | None:
        """Return None to let a request through, else in how many seconds to try again.

        `probe_seconds` is how long a request that is let through half open may take.
        """
        breaker = self._breakers.get(key)
        if breaker is None or breaker.state == "closed":
            return None
        now = self.clock.monotonic()
        if breaker.state == "open" and now >= breaker.until:
            breaker.state, breaker.successes = "half_open", 0
        if breaker.state == "half_open" and now >= breaker.probe_until:
            breaker.probe_until = now + probe_seconds
            return None
        breaker.rejected_count += 1
        self._rejected += 1
        # The sum of a time and a pause, less that time, can be more than the pause.
        if breaker.state == "open":
            return min(breaker.until - now, rules.reset)
        return min(breaker.probe_until - now, probe_seconds)

    def preview(self) -> CircuitBreakers:
        """Return breakers that say what these would say, and change no state."""
        return _BreakerPreview(self.clock, self._breakers)

    def probe_until(self, key: BreakerKey) -> float:
        """Return until when a request is awaited that was let through half open, 0 without one."""
        breaker = self._breakers.get(key)
        return 0.0 if breaker is None or breaker.state != "half_open" else breaker.probe_until

    def release(self, key: BreakerKey, until: float) -> None:
        """Await no longer the request that was awaited `until` then: it ended without an outcome.

        Its client left, or it was not sent.
        """
        if until and self.probe_until(key) == until:
            self._breakers[key].probe_until = 0.0

    def note(self, key: BreakerKey, rules: BreakerRules, *, is_failure: bool | None) -> None:
        """Count an outcome; None is one that tells nothing of the backend."""
        breaker = self._breakers.get(key)
        if breaker is None:
            if not is_failure:
                return  # most backends never fail
            breaker = self._breakers[key] = Breaker()
            if len(self._breakers) > _MAX_BREAKERS:
                self._breakers.popitem(last=False)
        if is_failure is None:
            breaker.probe_until = 0.0
            return
        self._breakers.move_to_end(key)
        now = self.clock.monotonic()
        breaker.advance(rules, now)
        if is_failure:
            breaker.failure_count += 1
            breaker.parts[breaker.part % _PARTS] += 1
            # One that was sent before it opened says nothing new.
            is_due = breaker.state == "closed" and breaker.failures_in_window >= rules.failures
            if is_due or breaker.state == "half_open":
                breaker.open(rules, now)
                self._opened += 1
            return
        breaker.success_count += 1
        if breaker.state == "half_open":
            breaker.probe_until = 0.0
            breaker.successes += 1
            if breaker.successes >= _SUCCESSES:
                breaker.close()

    def _count_states(self) -> list[tuple[dict[str, str], float]]:
        counts = Counter(breaker.state for breaker in self._breakers.values())
        return [({"state": state}, counts[state]) for state in STATES]


class _BreakerPreview(CircuitBreakers):
    def __init__(self, clock: Clock, breakers: OrderedDict[BreakerKey, Breaker]) -> None:
        super().__init__(clock)
        self._breakers = breakers

    def refuse(self, key: BreakerKey, rules: BreakerRules, probe_seconds: float) -> float | None:
        breaker = self._breakers.get(key)
        if breaker is None or breaker.state == "closed":
            return None
        until = breaker.until if breaker.state == "open" else breaker.probe_until
        left = until - self.clock.monotonic()
        return left if left > 0 else None

    def probe_until(self, key: BreakerKey) -> float:
        return 0.0
