"""What is known of APIs and subscriptions on a gateway where applications are concerned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.model.keys import Key

ACCEPTED: Final = "ACCEPTED"
PENDING: Final = "PENDING"
PAUSED: Final = "PAUSED"
LIVE: Final = frozenset({ACCEPTED, PENDING, PAUSED})
"""States of a subscription that is not over."""


@dataclass(frozen=True, slots=True)
class HeldSubscription:
    """A subscription on the gateway; `prints` are those of its keys that work."""

    id: str
    plan_id: str
    application_id: str
    status: str
    ending_at: str = ""
    prints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HeldApi:
    """An API of ours on the gateway.

    plans          id -> (plan of the catalog, empty for none; kind of security)
    is_subscribed  only subscribers are let in, and not every application of the tenant
    """

    key: Key
    api_id: str
    hrid: str
    plans: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    is_subscribed: bool = False
    subscriptions: tuple[HeldSubscription, ...] = ()

    @property
    def has_plans(self) -> bool:
        """Whether the catalog has plans for it."""
        return any(plan for plan, _ in self.plans.values())


@dataclass(frozen=True, slots=True)
class WantedSubscription:
    """A subscription that an application needs.

    plan_hrid  what the plan is called where ids are computed
    ending_at  RFC 3339, empty for none
    """

    api: HeldApi
    plan_id: str
    plan_hrid: str
    security: str
    ending_at: str = ""

    @property
    def label(self) -> str:
        """`acme/billing.key_gold`, for messages."""
        return f"{self.api.key.short}.{self.plan_hrid}"


def read_subscription(tree: Mapping[str, Any], prints: frozenset[str]) -> HeldSubscription:
    """Return a subscription of the management API v2."""
    return HeldSubscription(
        str(tree["id"]),
        str((tree.get("plan") or {}).get("id") or ""),
        str((tree.get("application") or {}).get("id") or ""),
        str(tree.get("status") or ""),
        str(tree.get("endingAt") or ""),
        prints,
    )
