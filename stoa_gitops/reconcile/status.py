"""In-process registry of what is known of each gateway: conditions, last report and figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from stoa_gitops.errors import StoaGitopsError, reason_of
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus, transition
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.plan import Plan
from stoa_gitops.reconcile import conditions
from stoa_gitops.reconcile.counters import Counters
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.metrics import Metric, Sample, by_gateway, gauge
from stoa_gitops.reconcile.suspension import SUSPENDED

_GETS_NOT_ALL: Final = frozenset({ConditionReason.NEVER_ASKS, ConditionReason.NOT_TAKEN})


@dataclass
class StatusRegistry:
    """Used in the thread of the event loop only; others get views made from it.

    queue_ages  returns how many seconds the oldest mark of each dirty gateway has waited
    content     returns a short hash of the catalog's files, empty where nothing was read
    changed     is set, and replaced by a new event, at each change
    """

    clock: Callable[[], datetime]
    queue_ages: Callable[[], Mapping[str, float]] = dict
    content: Callable[[], str] = str
    catalog: Catalog | None = None
    gateways: tuple[GatewayInstance, ...] = ()
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    counters: Counters = field(default_factory=Counters)
    _by_name: dict[str, GatewayInstance] = field(default_factory=dict)
    _readings: int = 0
    _has_reconciled_all: bool = False
    _has_served_embedded: bool = False
    _cycles: dict[str, int] = field(default_factory=dict)
    _reports: dict[str, Report] = field(default_factory=dict)
    _conditions: dict[str, dict[str, Condition]] = field(default_factory=dict)
    _unsaved: dict[str, dict[str, Condition]] = field(default_factory=dict)

    def publish_catalog(self, catalog: Catalog, gateways: tuple[GatewayInstance, ...]) -> None:
        """Set the catalog in force, and which of its gateways this process reconciles."""
        self._take(catalog, gateways)
        self._readings += 1
        self.counters.readings["invalid" if catalog.errors else "ok",] += 1
        condition = conditions.catalog_condition(catalog, self._readings, self.clock())
        self._set(conditions.CATALOG, condition)
        self._notify()

    def publish_gateways(self, catalog: Catalog, gateways: tuple[GatewayInstance, ...]) -> None:
        """Set the catalog with other gateways: one registered, and nothing was read anew."""
        self._take(catalog, gateways)
        self._notify()

    def _take(self, catalog: Catalog, gateways: tuple[GatewayInstance, ...]) -> None:
        self.catalog, self.gateways = catalog, gateways
        # A fleet is a thousand of them, and each cycle and each heartbeat looks for one.
        self._by_name = {instance.name: instance for instance in gateways}

    def find(self, gateway: str) -> GatewayInstance | None:
        """Return a gateway that this process reconciles."""
        return self._by_name.get(gateway)

    def publish_unreadable(self, error: StoaGitopsError) -> None:
        """Record that the catalog could not be read at all; the last one stays in force."""
        self._readings += 1
        self.counters.readings["unreadable",] += 1
        condition = conditions.unreadable_condition(
            error.reason, str(error), self._readings, self.clock()
        )
        self._set(conditions.CATALOG, condition)
        self._notify()

    def add_result(self, gateway: str, result: CycleResult, seconds: float = 0.0) -> None:
        """Record the result of a cycle that took `seconds`, unless its gateway left the catalog."""
        if self._has_left(gateway):
            return
        self._has_served_embedded |= result.report.plan.complete and self._is_embedded(gateway)
        self._cycles[gateway] = self._cycles.get(gateway, 0) + 1
        self._reports[gateway] = result.report
        self.counters.count_cycle(gateway, result.report, seconds, is_ok=result.is_ok)
        for condition in conditions.cycle_conditions(result, self._cycles[gateway], self.clock()):
            self._set(gateway, condition)
        self._notify()

    def add_failure(self, plan: Plan, error: Exception, seconds: float = 0.0) -> None:
        """Record a cycle that failed on our side: the store, a listener, an internal error.

        `plan` is an incomplete one with the message. Other conditions of the gateway stay.
        """
        gateway, message = plan.gateway, plan.error or ""
        if self._has_left(gateway):
            return
        self._cycles[gateway] = self._cycles.get(gateway, 0) + 1
        self._reports[gateway] = report = Report(plan, error=message)
        self.counters.count_cycle(gateway, report, seconds, is_ok=False)
        number, now = self._cycles[gateway], self.clock()
        self._set(gateway, conditions.failure_condition(reason_of(error), message, number, now))
        self._notify()

    def set_condition(self, gateway: str, condition: Condition) -> None:
        """Set a condition that changed outside of a cycle: a gateway was suspended or resumed."""
        self._set(gateway, replace(condition, observed_generation=self.cycles(gateway)))
        self._notify()

    def restore_conditions(self, subject: str, stored: Iterable[Condition]) -> None:
        """Add the stored conditions of a gateway or of the catalog; newer ones here stay."""
        there = self._conditions.setdefault(subject, {})
        for condition in stored:
            there.setdefault(condition.type, condition)

    def take_unsaved(self) -> dict[str, tuple[Condition, ...]]:
        """Return the conditions that changed since the last call and are to be stored, by subject.

        `Suspended` is stored by `suspension` alone, so that a cycle never undoes what a person did.
        """
        taken, self._unsaved = self._unsaved, {}
        return {subject: tuple(moved.values()) for subject, moved in taken.items()}

    def keep_unsaved(self, subject: str, moved: Iterable[Condition]) -> None:
        """Keep conditions that could not be stored for the next call, unless they changed since."""
        unsaved = self._unsaved.setdefault(subject, {})
        for condition in moved:
            unsaved.setdefault(condition.type, condition)

    def remove_gateway(self, gateway: str) -> None:
        """Drop a gateway that the catalog no longer has."""
        for mapping in (self._cycles, self._reports, self._conditions, self._unsaved):
            mapping.pop(gateway, None)
        self.counters.remove_gateway(gateway)

    def cycles(self, gateway: str) -> int:
        """Return the number of cycles of a gateway."""
        return self._cycles.get(gateway, 0)

    def report(self, gateway: str) -> Report | None:
        """Return the report of a gateway's last cycle."""
        return self._reports.get(gateway)

    def conditions(self, subject: str) -> tuple[Condition, ...]:
        """Return the conditions of a gateway, or of `conditions.CATALOG`, sorted by type."""
        by_type = self._conditions.get(subject, {})
        return tuple(by_type[kind] for kind in sorted(by_type))

    def has_reconciled_all(self) -> bool:
        """Whether every gateway of the catalog had its first cycle, now or at any time before."""
        # Once true it stays: a gateway that is added later, and may not answer for minutes, must
        # not make the process unready.
        self._has_reconciled_all = self._has_reconciled_all or (
            self.catalog is not None
            and all(gateway.name in self._reports for gateway in self.gateways)
        )
        return self._has_reconciled_all

    def has_served_embedded(self) -> bool:
        """Whether the embedded gateway was once read and planned; independent of others."""
        return self._has_served_embedded

    def is_in_sync(self, but_for: Collection[str] = ()) -> bool:
        """Whether every gateway is as the catalog says since its last cycle, and says so itself.

        One that fetches nothing, or says that it did not take what it fetched, is not. Those of
        `but_for` are left out: they do not run.
        """
        return all(
            (report := self._reports.get(gateway.name)) is not None
            and report.is_converged
            and not self._lacks_something(gateway.name)
            for gateway in self.gateways
            if gateway.name not in but_for
        )

    def _lacks_something(self, gateway: str) -> bool:
        return any(one.reason in _GETS_NOT_ALL for one in self.conditions(gateway))

    def metrics(self) -> Iterator[Metric]:
        """Yield every figure, as values; names begin with `stoa_gitops_`."""
        yield from self.counters.metrics()
        names = {gateway.name for gateway in self.gateways}
        yield gauge(
            "stoa_gitops_queue_age_seconds",
            "How long the oldest mark of a gateway has waited.",
            by_gateway({name: age for name, age in self.queue_ages().items() if name in names}),
        )
        yield gauge(
            "stoa_gitops_condition",
            "Conditions: 1 True, 0 False, -1 Unknown.",
            (
                Sample(
                    _VALUES[condition.status],
                    (("gateway", gateway.name), ("type", condition.type)),
                )
                for gateway in self.gateways
                for condition in self.conditions(gateway.name)
            ),
        )
        yield from self._catalog_metrics()

    def _catalog_metrics(self) -> Iterator[Metric]:
        catalog = self.catalog
        if catalog is None:
            return
        # The revision of a folder is always `working tree`; the hash shows that it changed.
        content = self.content() if catalog.commit is None else ""
        label = f"{catalog.revision}@{content}" if content else catalog.revision
        revision = Sample(1, (("revision", label),))
        yield gauge("stoa_gitops_catalog_info", "The revision of the catalog in force.", [revision])
        for name, count in (
            ("documents", catalog.documents),
            ("errors", len(catalog.errors)),
            ("warnings", len(catalog.warnings)),
        ):
            text = f"{name.capitalize()} of the catalog in force."
            yield gauge(f"stoa_gitops_catalog_{name}", text, [Sample(count)])
        ready = self._conditions.get(conditions.CATALOG, {}).get(conditions.CATALOG_READY)
        if ready is not None:
            text = "1 when the last reading of the catalog found it valid, 0 otherwise."
            yield gauge("stoa_gitops_catalog_ready", text, [Sample(_VALUES[ready.status])])

    def _has_left(self, gateway: str) -> bool:
        return self.catalog is not None and gateway not in self._by_name

    def _is_embedded(self, gateway: str) -> bool:
        instance = self.find(gateway)
        return instance is not None and instance.is_embedded

    def _notify(self) -> None:
        """Wake everybody who waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def _set(self, subject: str, new: Condition) -> None:
        by_type = self._conditions.setdefault(subject, {})
        old = by_type.get(new.type)
        by_type[new.type] = moved = transition(old, new)
        is_same = old is not None and _comparable(old) == _comparable(new)
        if not is_same and new.type != SUSPENDED:
            self._unsaved.setdefault(subject, {})[new.type] = moved


_VALUES = {ConditionStatus.TRUE: 1.0, ConditionStatus.FALSE: 0.0, ConditionStatus.UNKNOWN: -1.0}


def _comparable(condition: Condition) -> tuple[ConditionStatus, str, str]:
    return condition.status, condition.reason, condition.message
