"""In-process registry of what is known of each gateway: conditions, last report and figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from stoa_gitops.errors import StoaGitopsError, reason_of
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.conditions import Condition, ConditionStatus, transition
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.plan import Plan
from stoa_gitops.reconcile import conditions
from stoa_gitops.reconcile.counters import Counters
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.metrics import Metric, Sample, by_gateway, gauge
from stoa_gitops.reconcile.suspension import SUSPENDED


@dataclass
class StatusRegistry:
    """Lives in the loop's thread; everybody else gets views made from it.

    queue_ages gives, by gateway, how many seconds its oldest mark has waited, content a short hash of the
    catalog's files, empty where nothing was read.
    """

    clock: Callable[[], datetime]
    queue_ages: Callable[[], Mapping[str, float]] = dict
    content: Callable[[], str] = str
    catalog: Catalog | None = None
    gateways: tuple[GatewayInstance, ...] = ()
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    counters: Counters = field(default_factory=Counters)
    _readings: int = 0
    _worked: bool = False
    _served: bool = False
    _cycles: dict[str, int] = field(default_factory=dict)
    _reports: dict[str, Report] = field(default_factory=dict)
    _conditions: dict[str, dict[str, Condition]] = field(default_factory=dict)
    _unsaved: dict[str, dict[str, Condition]] = field(default_factory=dict)

    def publish(self, catalog: Catalog, gateways: tuple[GatewayInstance, ...]) -> None:
        """Take in a reading of the catalog, and which of its gateways this process works."""
        self.catalog, self.gateways = catalog, gateways
        self._readings += 1
        self.counters.readings["invalid" if catalog.errors else "ok",] += 1
        condition = conditions.catalog_condition(catalog, self._readings, self.clock())
        self._set(conditions.CATALOG, condition)
        self._moved()

    def unreadable(self, error: StoaGitopsError) -> None:
        """Take in that the catalog could not be read at all; the last one stays in force."""
        self._readings += 1
        self.counters.readings["unreadable",] += 1
        condition = conditions.unreadable_condition(
            error.reason, str(error), self._readings, self.clock()
        )
        self._set(conditions.CATALOG, condition)
        self._moved()

    def note(self, gateway: str, result: CycleResult, seconds: float = 0.0) -> None:
        """Take in the result of a cycle that took so long, unless its gateway has left the catalog meanwhile."""
        if self._has_left(gateway):
            return
        self._served |= result.report.plan.complete and self._is_embedded(gateway)
        self._cycles[gateway] = self._cycles.get(gateway, 0) + 1
        self._reports[gateway] = result.report
        self.counters.cycle(gateway, result.report, seconds, is_well=result.is_well)
        for condition in conditions.cycle_conditions(result, self._cycles[gateway], self.clock()):
            self._set(gateway, condition)
        self._moved()

    def fail(self, plan: Plan, error: Exception, seconds: float = 0.0) -> None:
        """Take in that a cycle could not be brought to its end by us: the store, a listener, a defect.

        `plan` is one that says so. What is known of the gateway itself stays.
        """
        gateway, words = plan.gateway, plan.error or ""
        if self._has_left(gateway):
            return
        self._cycles[gateway] = self._cycles.get(gateway, 0) + 1
        self._reports[gateway] = report = Report(plan, error=words)
        self.counters.cycle(gateway, report, seconds, is_well=False)
        number, now = self._cycles[gateway], self.clock()
        self._set(gateway, conditions.failure_condition(reason_of(error), words, number, now))
        self._moved()

    def take(self, gateway: str, condition: Condition) -> None:
        """Take in a condition that became true outside of a cycle: a person suspended or resumed a gateway."""
        self._set(gateway, replace(condition, observed_generation=self.cycles(gateway)))
        self._moved()

    def restore(self, subject: str, known: Iterable[Condition]) -> None:
        """Take in what the store remembers of a gateway or of the catalog; what is newer here stays."""
        there = self._conditions.setdefault(subject, {})
        for condition in known:
            there.setdefault(condition.type, condition)

    def take_unsaved(self) -> dict[str, tuple[Condition, ...]]:
        """Return, by subject, what moved since the last call and belongs into the store.

        Who suspended a gateway is written by `suspension` alone, so that a cycle never undoes a person.
        """
        taken, self._unsaved = self._unsaved, {}
        return {subject: tuple(moved.values()) for subject, moved in taken.items()}

    def keep_unsaved(self, subject: str, moved: Iterable[Condition]) -> None:
        """Take back what could not be stored; what has moved again since is newer."""
        unsaved = self._unsaved.setdefault(subject, {})
        for condition in moved:
            unsaved.setdefault(condition.type, condition)

    def forget(self, gateway: str) -> None:
        """Drop a gateway that the catalog no longer has."""
        for known in (self._cycles, self._reports, self._conditions, self._unsaved):
            known.pop(gateway, None)
        self.counters.forget(gateway)

    def cycles(self, gateway: str) -> int:
        """Return how many cycles a gateway has had."""
        return self._cycles.get(gateway, 0)

    def report(self, gateway: str) -> Report | None:
        """Return what came of a gateway's last cycle."""
        return self._reports.get(gateway)

    def conditions(self, subject: str) -> tuple[Condition, ...]:
        """Return the conditions of a gateway, or of `conditions.CATALOG`, sorted by type."""
        known = self._conditions.get(subject, {})
        return tuple(known[kind] for kind in sorted(known))

    def has_worked(self) -> bool:
        """Whether every gateway of the catalog had its first cycle, now or at some time before.

        A gateway that is added later, and may not answer for minutes, makes nobody unready.
        """
        self._worked = self._worked or (
            self.catalog is not None
            and all(gateway.name in self._reports for gateway in self.gateways)
        )
        return self._worked

    def has_served(self) -> bool:
        """Whether the embedded gateway was once brought to what the catalog asks, whatever others do."""
        return self._served

    def is_well(self) -> bool:
        """Whether every gateway's last cycle left it as the catalog says."""
        return all(
            (report := self._reports.get(gateway.name)) is not None and report.is_converged
            for gateway in self.gateways
        )

    def metrics(self) -> Iterator[Metric]:
        """Yield every figure, as values; names begin with `stoa_gitops_`."""
        yield from self.counters.metrics()
        names = {gateway.name for gateway in self.gateways}
        yield gauge(
            "stoa_gitops_queue_age_seconds", "How long the oldest mark of a gateway has waited.",
            by_gateway({name: age for name, age in self.queue_ages().items() if name in names}),
        )  # fmt: skip
        yield gauge(
            "stoa_gitops_condition", "Conditions: 1 True, 0 False, -1 Unknown.",
            (
                Sample(_VALUES[condition.status], (("gateway", gateway.name), ("type", condition.type)))
                for gateway in self.gateways
                for condition in self.conditions(gateway.name)
            ),
        )  # fmt: skip
        yield from self._catalog_metrics()

    def _catalog_metrics(self) -> Iterator[Metric]:
        catalog = self.catalog
        if catalog is None:
            return
        # People see `working tree`; a figure has to move when it does.
        content = self.content() if catalog.commit is None else ""
        label = f"{catalog.revision}@{content}" if content else catalog.revision
        revision = Sample(1, (("revision", label),))
        yield gauge("stoa_gitops_catalog_info", "The revision of the catalog in force.", [revision])
        for name, count in (
            ("documents", catalog.documents),
            ("errors", len(catalog.errors)),
            ("warnings", len(catalog.warnings)),
        ):
            words = f"{name.capitalize()} of the catalog in force."
            yield gauge(f"stoa_gitops_catalog_{name}", words, [Sample(count)])
        ready = self._conditions.get(conditions.CATALOG, {}).get(conditions.CATALOG_READY)
        if ready is not None:
            words = "1 when the last reading of the catalog found it valid, 0 otherwise."
            yield gauge("stoa_gitops_catalog_ready", words, [Sample(_VALUES[ready.status])])

    def _has_left(self, gateway: str) -> bool:
        return self.catalog is not None and all(known.name != gateway for known in self.gateways)

    def _is_embedded(self, gateway: str) -> bool:
        return any(known.name == gateway and known.is_embedded for known in self.gateways)

    def _moved(self) -> None:
        """Wake everybody who waits for a change, once."""
        self.changed.set()
        self.changed = asyncio.Event()

    def _set(self, subject: str, new: Condition) -> None:
        known = self._conditions.setdefault(subject, {})
        old = known.get(new.type)
        known[new.type] = moved = transition(old, new)
        is_same = old is not None and _words(old) == _words(new)
        if not is_same and new.type != SUSPENDED:
            self._unsaved.setdefault(subject, {})[new.type] = moved


_VALUES = {ConditionStatus.TRUE: 1.0, ConditionStatus.FALSE: 0.0, ConditionStatus.UNKNOWN: -1.0}


def _words(condition: Condition) -> tuple[ConditionStatus, str, str]:
    return condition.status, condition.reason, condition.message
