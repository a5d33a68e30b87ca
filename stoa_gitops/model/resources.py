"""Desired objects, actual objects, and the two states that a plan compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.routing import RoutePattern
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, SecretRights


@dataclass(frozen=True, slots=True, order=True)
class SourceRef:
    """Where a value came from: path in the catalog, line and column from 1, commit if known."""

    path: str
    line: int = 1
    column: int = 1
    commit: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def full(self) -> str:
        """`path:line:column`."""
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that shows that a route works: path with query, status, Host if needed.

    headers  those that the route asks for
    """

    path: str
    expect: int = 200
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class PlaceHint(NamedTuple):
    """What a catalog says about the place of one route: who may have it, and who may share it.

    is_granted  the operator gives the place to the route's tenant
    delegates   `*`, `<tenant>` or `<tenant>/<api>` that may take requests of the route
    """

    is_granted: bool = False
    delegates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanHints:
    """How a plan treats a resource; never sent to a gateway.

    requires       capability names that the gateway must have: policy types and features
    on_unsupported what to do when it has them not: fail (skip the API, too), warn or skip
    guarded_api    the API that must not go live without this object, if `on_unsupported` is fail
    depends_on     keys that must be applied first
    broken         those of them that a mistake in the catalog hides: what was last applied of them
                   stays, and so does what this object has of them
    protected      deletion is refused (`gostoa.dev/protect`)
    moved_from     the key that this object had before it was renamed
    ignore_fields  dotted paths that are left to the gateway
    probes         calls that prove the routes of an API after it was written
    places         one for each route, in the order of the spec; empty where there is nothing to say
    subscribers    (plan, tenant or `*`): other tenants whose applications an API takes
    """

    requires: tuple[str, ...] = ()
    on_unsupported: str = "fail"
    guarded_api: Key | None = None
    depends_on: tuple[Key, ...] = ()
    broken: tuple[Key, ...] = ()
    protected: bool = False
    moved_from: Key | None = None
    ignore_fields: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    places: tuple[PlaceHint, ...] = ()
    subscribers: tuple[tuple[str, str], ...] = ()


# Shared by all resources without hints: there may be 30,000 of them.
PLAIN = PlanHints()


@dataclass(frozen=True, slots=True)
class Resource:
    """A desired object of one gateway: identity, canonical spec, origin, hints for the planner."""

    key: Key
    spec: Spec
    source: SourceRef
    hints: PlanHints = PLAIN


@dataclass(frozen=True, slots=True)
class Observed:
    """An actual object in canonical form; `gateway_id` is the vendor's own id.

    `managed` objects have a proof of ownership: a mark, or an entry of the inventory. `owner` is
    the other catalog whose mark a foreign one carries, empty where that cannot be told.
    """

    key: Key
    spec: Spec
    gateway_id: str
    managed: bool = True
    owner: str = ""


class CatalogFiles(Protocol):
    """The files of a revision, for what is too large to be part of a spec."""

    def read(self, path: str) -> bytes:
        """Return the bytes of one file; blocking. Raises KeyError or CatalogError."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What one revision of one catalog asks of one gateway.

    `rights` says which secrets the tenants may use that have these resources.
    `may_be_empty` are tenants that may lose all of their objects without a person's force.
    `files` has the documents beside APIs; None for a state that was made without a catalog.
    """

    gateway: str
    owner: str
    revision: str
    resources: Mapping[Key, Resource] = field(default_factory=dict)
    rights: SecretRights = DEFAULT_RIGHTS
    may_be_empty: frozenset[str] = frozenset()
    files: CatalogFiles | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ForeignRoute:
    """A route on a gateway that is not ours; `key` is that of the object that shows it, if any.

    `owner` is the other catalog whose mark it carries, empty where that cannot be told.
    """

    name: str
    pattern: RoutePattern
    key: Key | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ActualState:
    """What one gateway reported; with an `error` it is unknown, not empty.

    `retry_after` is in seconds, where the gateway asked for a pause. If the gateway can tell that
    nothing has changed, `objects` is the identical tuple of the observation before. `routes` are
    all foreign routes, also those that no object expresses.
    """

    gateway: str
    observed_at: datetime
    objects: tuple[Observed, ...] = ()
    error: str | None = None
    error_reason: str | None = None
    retry_after: float = 0.0
    routes: tuple[ForeignRoute, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the gateway was read to the end."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """What was last applied under a key: the canonical desired spec, and HMACs of secrets by path.

    `gateway_id` is the vendor's id, `base_url` not part of it: the inventory keeps one set per base
    URL. `protected` is recorded because the document that says so is gone when a deletion is
    planned.
    """

    key: Key
    spec: Spec
    gateway_id: str
    revision: str
    secret_hmacs: Mapping[str, str] = field(default_factory=dict)
    adopted: bool = False
    protected: bool = False
