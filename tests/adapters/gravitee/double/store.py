"""What a Gravitee holds: APIs, plans, subscriptions, keys, applications; its clock and ids."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Tree = dict[str, Any]


def name_uuid(text: str) -> str:
    return str(uuid.UUID(bytes=hashlib.md5(text.encode()).digest(), version=3))


@dataclass
class Plan:
    """A plan; `spec` in the form of the Automation API."""

    id: str
    spec: Tree
    order: int = 0
    created: str = ""
    updated: str = ""
    published: str = ""
    cross_id: str = ""

    @property
    def security(self) -> str:
        return str(self.spec["security"]["type"])


@dataclass
class Api:
    """An API; `spec` as it is stored, without plans."""

    id: str
    spec: Tree
    hrid: str | None = None
    cross_id: str | None = None
    origin: str = "MANAGEMENT"
    account: str = "admin"
    created: str = ""
    updated: str = ""
    deployed: str = ""
    live: Tree | None = None
    plans: list[Plan] = field(default_factory=list)
    encrypted: set[str] = field(default_factory=set)
    deployments: int = 0


@dataclass
class ApiKey:
    id: str
    key: str
    created: str
    updated: str
    revoked_at: str = ""
    expire_at: str = ""

    @property
    def is_revoked(self) -> bool:
        return bool(self.revoked_at)


@dataclass
class Subscription:
    id: str
    api_id: str
    plan_id: str
    application_id: str
    status: str
    origin: str
    created: str
    updated: str
    started: str
    hrid: str | None = None
    ending: str = ""
    metadata: Tree = field(default_factory=dict)
    message: str = ""
    keys: list[ApiKey] = field(default_factory=list)


@dataclass
class Application:
    id: str
    spec: Tree
    hrid: str | None = None
    origin: str = "MANAGEMENT"
    status: str = "ACTIVE"
    created: int = 0
    updated: int = 0


class Store:
    """Everything; every write moves the clock on, so that time stamps differ."""

    def __init__(self) -> None:
        self.apis: dict[str, Api] = {}
        self.applications: dict[str, Application] = {}
        self.subscriptions: dict[str, Subscription] = {}
        # Keys of erased subscriptions of 4.10.8 come back with them.
        self.erased_keys: dict[str, list[ApiKey]] = {}
        self.allows_custom_keys = True
        self._ticks = itertools.count(1)
        self._ids = itertools.count(1)

    def now(self) -> str:
        moment = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(milliseconds=next(self._ticks))
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def millis(self) -> int:
        return 1_795_000_000_000 + next(self._ticks)

    def new_id(self) -> str:
        return str(uuid.UUID(int=(4 << 76) | (8 << 60) | next(self._ids) << 80 | 7))

    def new_key(self, value: str = "") -> ApiKey:
        now = self.now()
        return ApiKey(self.new_id(), value or f"generated-{self.new_id()}", now, now)

    def subscriptions_of(self, api_id: str) -> list[Subscription]:
        return [one for one in self.subscriptions.values() if one.api_id == api_id]

    def is_key_taken(self, key: str, api_id: str, application: str, but: str) -> bool:
        """Whether a key cannot be given: another application has or had it, or another
        subscription of the same API, also where it was revoked (ApiKeyServiceImpl.canCreate)."""
        return any(
            held.key == key
            for one in self.subscriptions.values()
            if one.id != but and (one.application_id != application or one.api_id == api_id)
            for held in one.keys
        )
