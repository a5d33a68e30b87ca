"""Values for tests of the reconciler: a gateway, a catalog, results of cycles."""

from __future__ import annotations

from datetime import UTC, datetime

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Report, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef
from stoa_gitops.reconcile.cycle import CycleResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BILLING = Key("api", "acme", "billing")
KONG = GatewayInstance("kong", "memory", "dev", "memory://kong", SourceRef("gateways/kong.yaml"))


def resource(key: Key = BILLING, spec: JsonObject | None = None) -> Resource:
    source = SourceRef(f"tenants/{key.tenant}/{key.kind}s/{key.name}.yaml")
    return Resource(key, Spec.of(spec or {"displayName": key.name}), source)


def catalog(*resources: Resource, revision: str = "main@1") -> Catalog:
    desired = DesiredState("kong", "default", revision, {one.key: one for one in resources})
    return Catalog("default", revision, None, (KONG,), {"kong": desired}, ("acme",), 2)


def plan(*changes: Change, error: str | None = None) -> Plan:
    return Plan("kong", "memory", "main@1", changes, complete=error is None, error=error)


def worked(*statuses: Status, error: str | None = None) -> CycleResult:
    """The result of a cycle with one outcome for each status, or of one that found no gateway."""
    changes = [Change(Action.CREATE, BILLING, resource()) for _ in statuses]
    outcomes = tuple(Outcome(c, s, message="no") for c, s in zip(changes, statuses, strict=True))
    report = Report(plan(*changes, error=error), outcomes, error)
    reason = "GatewayUnreachable" if error else ""
    return CycleResult(report, is_ok=report.is_converged, reason=reason)
