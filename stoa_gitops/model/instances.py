"""A registered gateway as the catalog describes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import SecretRef

# The base URL that stands for the data plane inside the reconciler's own process.
EMBEDDED = "embedded"

# The base URL of a gateway that registers itself and says where it is.
REGISTERED = "registered"

_DOCUMENTED_WORDS = {"rate_limiting": "policy:rate_limit", "oidc": "policy:jwt"}
"""Words of STOA's own documentation that stand for capability names."""


def is_listed(words: Collection[str], capability: str) -> bool:
    """Whether the `capabilities` of a document allow a capability; an empty list allows all.

    `rest` allows everything but policies, which are listed one by one.
    """
    if not words or capability in words:
        return True
    if any(_DOCUMENTED_WORDS.get(word) == capability for word in words):
        return True
    return "rest" in words and not capability.startswith("policy:")


class WritePolicy(Enum):
    """What a plan may do on a gateway; the values are those of the document."""

    FULL = "full"
    NO_DELETE = "no-delete"
    CREATE_ONLY = "create-only"
    OBSERVE_ONLY = "observe-only"


@dataclass(frozen=True, slots=True)
class PruneBudget:
    """How many managed objects one plan may delete without force; None is no such limit.

    The percentage counts only on gateways with at least `PERCENT_FROM` managed objects.
    """

    max_count: int | None = None
    max_percent: int | None = 30

    @property
    def is_unbounded(self) -> bool:
        """Whether everything may be deleted: only where a person asked for that, never by YAML."""
        return self.max_count is None and self.max_percent is None


# Of few objects any deletion is a large share: one of three is a third.
PERCENT_FROM = 10


@dataclass(frozen=True, slots=True)
class GatewayAuth:
    """How to authenticate to an admin API: none, basic, bearer or header, with references by role.

    Roles are `username`, `password`, `token`, `value`; `header` is the header's name.
    """

    type: str = "none"
    refs: Mapping[str, SecretRef] = field(default_factory=dict)
    header: str = ""


@dataclass(frozen=True, slots=True)
class GatewayTls:
    """References to PEM material for an admin API."""

    ca: SecretRef | None = None
    cert: SecretRef | None = None
    key: SecretRef | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class RegistrationMatch:
    """Which registered gateways a document is about: those of a type and an environment."""

    gateway_type: str
    environment: str


@dataclass(frozen=True, slots=True)
class DegradedRule:
    """When errors degrade a gateway that sends heartbeats.

    error_rate  share of requests that failed over which it is DEGRADED, from 0 to 1
    window      heartbeats over which the share is formed
    recovery    heartbeats in a row, not over the share, after which it is ONLINE again
    """

    error_rate: float = 0.05
    window: int = 1
    recovery: int = 1


@dataclass(frozen=True, slots=True)
class RegistrationRules:
    """What a document says about gateways that register themselves.

    match         None where the document is about the gateway of its own name alone
    networks      in which the admin API may be that such a gateway names; empty is nowhere
    forget_after  seconds OFFLINE after which a gateway is forgotten
    reload_token  of the admin API of gateways that fetch: they are told when there is something new
    """

    match: RegistrationMatch | None = None
    networks: tuple[str, ...] = ()
    forget_after: float = 7 * 86_400.0
    degraded: DegradedRule = field(default_factory=DegradedRule)
    reload_token: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class GatewayInstance:
    """One gateway. `interval` is in seconds; `tenants` empty means every tenant may use it.

    A document with the base URL `registered` stands for any number of gateways. Each of them is an
    instance of its own, named `<document>/<identity>`, with the id of its registration.
    """

    name: str
    gateway_type: str
    environment: str
    base_url: str
    source: SourceRef
    display_name: str = ""
    public_url: str = ""
    capabilities: tuple[str, ...] = ()
    auth: GatewayAuth = field(default_factory=GatewayAuth)
    tls: GatewayTls | None = None
    policy: WritePolicy = WritePolicy.FULL
    prune: PruneBudget = field(default_factory=PruneBudget)
    interval: float = 60.0
    tenants: tuple[str, ...] = ()
    backends_allow: tuple[str, ...] = ()
    backends_deny: tuple[str, ...] = ()
    wave: int = 0
    suspended: bool = False
    options: JsonObject = field(default_factory=dict)
    registration: RegistrationRules = field(default_factory=RegistrationRules)
    registration_id: str = ""

    @property
    def is_registered(self) -> bool:
        """Whether its address is not its document's, but the one it registered itself with."""
        return self.base_url == REGISTERED or bool(self.registration_id)

    @property
    def is_unbound(self) -> bool:
        """Whether this is a document for registered gateways, and none of them."""
        return self.base_url == REGISTERED and not self.registration_id

    @property
    def is_pulling(self) -> bool:
        """Whether it fetches its configuration: a registered one without credentials for it."""
        return self.is_registered and self.auth.type == "none"

    @property
    def document(self) -> str:
        """The name of its document."""
        return self.name.partition("/")[0]

    @property
    def inventory_url(self) -> str:
        """What the inventory is kept under: the address, or the identity of a registered one.

        A registered gateway that moves to another address is the same one.
        """
        return f"registered:{self.registration_id}" if self.registration_id else self.base_url

    @property
    def is_embedded(self) -> bool:
        """Whether this is the data plane in the reconciler's own process."""
        return self.base_url == EMBEDDED
