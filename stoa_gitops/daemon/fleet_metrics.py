"""Figures about the gateways that registered with this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from stoa_gitops.fleet.health import GatewayStatus
from stoa_gitops.fleet.members import Member
from stoa_gitops.reconcile.metrics import Metric, Sample, counter, gauge

MAX_ENVIRONMENTS: Final = 50
"""Environments that have series of their own."""

OTHERS: Final = "(others)"
"""The label of all further ones; no environment has parentheses."""

_RESULTS: Final = ("new", "again", "refused", "failed")


def fleet_metrics(
    members: Iterable[Member],
    heartbeats: int,
    registrations: Counter[tuple[str, ...]],
    transitions: Counter[tuple[str, ...]],
) -> Iterator[Metric]:
    """Yield gateways by status and environment, and what was counted since the start."""
    known = tuple(members)
    shown = _shown_environments(known)
    counts: Counter[tuple[str, str]] = Counter()
    for member in known:
        environment = member.registration.environment
        counts[environment if environment in shown else OTHERS, member.status.value] += 1
    yield gauge(
        "stoa_gitops_gateways",
        "Gateways that registered, by state and environment.",
        [
            Sample(
                float(counts[environment, status.value]),
                (("state", status.value), ("environment", environment)),
            )
            for environment in sorted({environment for environment, _ in counts})
            for status in GatewayStatus
        ],
    )
    yield counter(
        "stoa_gitops_heartbeats_total", "Heartbeats taken.", (), Counter({(): heartbeats})
    )
    results = Counter[tuple[str, ...]]({(result,): registrations[result,] for result in _RESULTS})
    message = "Registrations: of new gateways, of known ones again, refused, not stored."
    yield counter("stoa_gitops_registrations_total", message, ("result",), results)
    yield counter(
        "stoa_gitops_gateway_transitions_total",
        "Changes of the status of registered gateways, by the new one.",
        ("state",),
        transitions,
    )


def _shown_environments(members: Iterable[Member]) -> set[str]:
    """Return the environments with series of their own: those that were there first.

    Whoever has a gateway key names environments as he likes, and must hide none by that.
    """
    first: dict[str, datetime] = {}
    for member in members:
        name, at = member.registration.environment, member.registered_at
        first[name] = min(at, first.get(name, at))
    return set(sorted(first, key=lambda name: (first[name], name))[:MAX_ENVIRONMENTS])
