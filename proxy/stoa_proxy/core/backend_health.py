"""Which of several backends are well: what checks say (active), and what requests say (passive).

A backend is taken for well until something else is known. State belongs to what it is about and
not to a table: that of checks to a tenant, a backend and its check, that of requests to an API and
a backend. So it outlives a swap, and no tenant's requests decide for another one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.balancing import ActiveCheck, PassiveCheck
from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.errors import NO_RESPONSE, UpstreamFailed
from stoa_proxy.foundation.clock import Clock

# Of one tenant's APIs and backends that have failed; the one that did longest ago is forgotten, and
# is well. Those of one tenant displace nothing of others.
_MAX_FAILING: Final = 4096
# Not `denied` and `busy`: the gateway itself refused, so nothing was learnt of the backend. One
# whose credential is not here is as good as failing.
_FAILURES: Final = NO_RESPONSE | {"timeout", "credential-unresolved"}


def is_failure(outcome: UpstreamFailed | int | None) -> bool | None:
    """Whether an attempt says that its backend fails: no response or a 5xx; None: nothing."""
    if isinstance(outcome, int):
        return outcome >= 500
    if outcome is None or outcome.reason not in _FAILURES:
        return None
    return True


class Owner(NamedTuple):
    """An API, whose requests eject backends for it alone."""

    tenant: str
    api_id: str


class Probed(NamedTuple):
    """What is checked, how and for whom: one loop, however many routes have it."""

    tenant: str
    backend: Backend
    check: ActiveCheck

    @property
    def name(self) -> str:
        """The same text in all processes of a gateway."""
        check = [*self.check._replace(statuses=frozenset()), sorted(self.check.statuses)]
        tls = self.backend.tls
        return repr((self.tenant, self.backend.url, None if tls is None else tls.name, check))


class SharedVerdict(NamedTuple):
    """What the checks of one backend say, for another process that does not check it."""

    name: str
    is_healthy: bool
    trouble: str


@dataclass(slots=True)
class _Verdict:
    """What the checks of one backend say; `row` are results in a row against it."""

    is_healthy: bool = True
    row: int = 0
    trouble: str = ""


@dataclass(slots=True)
class _Failing:
    """A backend that failed: so often in a row; ejected `until` then."""

    failures: int = 0
    until: float = 0.0


class HealthFigures(NamedTuple):
    """What is known of a backend of an API."""

    is_healthy: bool
    trouble: str
    failures: int
    ejected_seconds: float


class BackendHealth(PolicyState):
    """The health of all backends that share a route with others."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._verdicts: dict[Probed, _Verdict] = {}
        self._sick: set[Probed] = set()
        self._failing: dict[str, OrderedDict[tuple[str, Backend], _Failing]] = {}
        self._checks = {"healthy": 0, "unhealthy": 0}
        self._ejections = 0
        # Told what checks say where that is news.
        self.on_verdict: Callable[[SharedVerdict], None] | None = None

    def families(self) -> Iterable[MetricFamily]:
        """Return what checks and requests found, with series that do not grow with backends."""
        return [
            MetricFamily(
                "gauge",
                "stoa_backends_checked",
                "Backends with health checks, by what the checks say.",
                self._count_verdicts,
                "max",
            ),
            MetricFamily(
                "counter",
                "stoa_backend_checks_total",
                "Health checks of backends, by their result.",
                lambda: [({"result": name}, count) for name, count in self._checks.items()],
            ),
            MetricFamily(
                "gauge",
                "stoa_backends_ejected",
                "Backends that get no requests for a while, as they failed.",
                self._count_ejected,
                "max",
            ),
            MetricFamily(
                "counter",
                "stoa_backend_ejections_total",
                "How often a backend was ejected, as it failed.",
                lambda: self._ejections,
            ),
        ]

    @property
    def is_calm(self) -> bool:
        """Whether nothing is known against any backend."""
        return not self._sick and not self._failing

    def is_well(self, owner: Owner, probed: Probed | None, backend: Backend) -> bool:
        """Whether nothing is known against a backend; `probed` is how it is checked, if it is."""
        if self._sick and probed is not None and probed in self._sick:
            return False
        if not self._failing:
            return True  # nearly always
        failing = self._find(owner, backend)
        return failing is None or failing.until <= self.clock.monotonic()

    def note_outcome(
        self,
        owner: Owner,
        backend: Backend,
        check: PassiveCheck,
        outcome: UpstreamFailed | int | None,
    ) -> None:
        """Count how an attempt ended; a backend that failed so often in a row is ejected.

        When that time is over, the next failure ejects it again, and a success forgets all.
        """
        failed = is_failure(outcome)
        if not check.failures or failed is None or (not failed and not self._failing):
            return
        key = (owner.api_id, backend)
        of_tenant = self._failing.get(owner.tenant)
        if not failed:
            if of_tenant is not None and of_tenant.pop(key, None) is not None and not of_tenant:
                del self._failing[owner.tenant]
            return
        if of_tenant is None:
            of_tenant = self._failing[owner.tenant] = OrderedDict()
        failing = of_tenant.get(key)
        if failing is None:
            failing = of_tenant[key] = _Failing()
            if len(of_tenant) > _MAX_FAILING:
                of_tenant.popitem(last=False)
        of_tenant.move_to_end(key)
        failing.failures += 1
        now = self.clock.monotonic()
        # One that was sent before the ejection says nothing new.
        if failing.failures >= check.failures and failing.until <= now:
            failing.until = now + check.eject_seconds
            self._ejections += 1

    def note_check(self, probed: Probed, trouble: str) -> bool:
        """Count the result of a check, good without `trouble`; return whether the verdict changed.

        Only what was `watch`ed counts: a check may end after its backend has gone.
        """
        verdict = self._verdicts.get(probed)
        if verdict is None:
            return False
        is_good, before = not trouble, (verdict.is_healthy, verdict.trouble)
        self._checks["healthy" if is_good else "unhealthy"] += 1
        verdict.trouble = trouble
        if is_good is verdict.is_healthy:
            verdict.row = 0
        else:
            verdict.row += 1
            if verdict.row >= (probed.check.healthy if is_good else probed.check.unhealthy):
                self._set(probed, verdict, is_healthy=is_good)
        if self.on_verdict is not None and before != (verdict.is_healthy, trouble):
            self.on_verdict(SharedVerdict(probed.name, verdict.is_healthy, trouble))
        return verdict.is_healthy is not before[0]

    def take_verdicts(self, verdicts: Iterable[SharedVerdict]) -> None:
        """Take over what another process found by its checks, of what is `watch`ed here."""
        named = {one.name: one for one in verdicts}
        for probed, verdict in self._verdicts.items() if named else ():
            found = named.get(probed.name)
            if found is not None:
                verdict.trouble = found.trouble
                self._set(probed, verdict, is_healthy=found.is_healthy)

    def verdicts(self) -> list[SharedVerdict]:
        """Return what there is against backends."""
        return [
            SharedVerdict(probed.name, verdict.is_healthy, verdict.trouble)
            for probed, verdict in self._verdicts.items()
            if verdict.trouble or not verdict.is_healthy
        ]

    def _set(self, probed: Probed, verdict: _Verdict, *, is_healthy: bool) -> None:
        verdict.is_healthy, verdict.row = is_healthy, 0
        if is_healthy:
            self._sick.discard(probed)
        else:
            self._sick.add(probed)

    def watch(self, wanted: Collection[Probed]) -> None:
        """Keep verdicts of these from now on, and forget all others."""
        for gone in [probed for probed in self._verdicts if probed not in wanted]:
            del self._verdicts[gone]
            self._sick.discard(gone)
        for probed in wanted:
            self._verdicts.setdefault(probed, _Verdict())

    def figures(self, owner: Owner, probed: Probed | None, backend: Backend) -> HealthFigures:
        """Return what is known of a backend of an API."""
        verdict = self._verdicts.get(probed) if probed is not None else None
        failing = self._find(owner, backend) or _Failing()
        return HealthFigures(
            verdict is None or verdict.is_healthy,
            "" if verdict is None else verdict.trouble,
            failing.failures,
            max(0.0, failing.until - self.clock.monotonic()),
        )

    def _count_verdicts(self) -> Iterator[tuple[dict[str, str], float]]:
        yield {"health": "healthy"}, len(self._verdicts) - len(self._sick)
        yield {"health": "unhealthy"}, len(self._sick)

    def _count_ejected(self) -> float:
        now = self.clock.monotonic()
        return sum(
            failing.until > now
            for of_tenant in self._failing.values()
            for failing in of_tenant.values()
        )

    def _find(self, owner: Owner, backend: Backend) -> _Failing | None:
        of_tenant = self._failing.get(owner.tenant)
        return None if of_tenant is None else of_tenant.get((owner.api_id, backend))
