"""What every gateway adapter is: eighteen methods, a description of itself, and `apply`.

The methods are STOA's documented adapter interface: three for the life cycle, three each for APIs,
policies and consumers, six extended ones. They return an `AdapterResult` and never raise, except
`list_*`: an empty list that means "I could not read" has deleted people's gateways, so a failed list
raises `GatewayError`. Only the driver calls adapters. docs/writing-an-adapter.md shows how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from stoa_gitops.errors import Retry
from stoa_gitops.model.canonical import SECRET_FIELD, Json, JsonObject
from stoa_gitops.model.changes import Change
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.secret import Secret
from stoa_gitops.model.unmapped import Unmapped

Value: TypeAlias = "Json | Secret | Sequence[Value] | Mapping[str, Value]"
"""A canonical tree in which each secret reference is replaced by the Secret it leads to.

A reference that does not resolve is `None` in its place, where the mapper has a use for that (a fallback)."""

WITHHELD: Final[JsonObject] = {SECRET_FIELD: ""}
"""What `list_*` reports, and `Rules.project` puts, where a gateway holds a secret that it does not show.

Both sides are then equal there; whether the secret itself moved is told by its HMAC in the inventory."""


def withheld(value: Value) -> Json:
    """Return a copy in which every secret, resolved or a reference, is WITHHELD."""
    if isinstance(value, Secret):
        return WITHHELD
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(value.get(SECRET_FIELD), str):
            return WITHHELD
        return {name: withheld(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [withheld(item) for item in value]
    return value  # type: ignore[return-value]  # what is left are the leaves of JSON


@dataclass(frozen=True, slots=True)
class AdapterResult:
    """The result of one adapter method; the four first fields are STOA's, `warnings` is ours.

    `data` of a failure carries `reason` (a name of errors.py) and `retry` (a value of errors.Retry),
    `status` where an HTTP answer said no, and `retry_after` (seconds) where the gateway named a time;
    `warnings` reach the recap and the status of the gateway.
    """

    success: bool
    resource_id: str | None = None
    data: JsonObject | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The name of what went wrong, empty on success."""
        return str((self.data or {}).get("reason", "" if self.success else "GatewayError"))

    @property
    def retry(self) -> Retry:
        """Whether and when trying again makes sense."""
        return Retry((self.data or {}).get("retry", Retry.NEVER.value))

    @property
    def retry_after(self) -> float:
        """The seconds for which a failing gateway asked for patience, 0 where it named none."""
        named = (self.data or {}).get("retry_after")
        return float(named) if isinstance(named, (int, float)) and not self.success else 0.0


def method_not_supported(gateway_type: str) -> AdapterResult:
    """Return the answer that STOA documents for a method a gateway does not have."""
    return AdapterResult(
        success=False,
        data={"reason": "Unsupported", "retry": Retry.NEVER.value},
        error=f"Not supported by {gateway_type}",
    )


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One object to write: identity, our id for it, the vendor's id if known, and the values.

    key         kind, tenant and name
    identifier  UUIDv5 of (owner, kind, tenant, name)
    gateway_id  the vendor's id from an earlier write or observation
    owner       name of the catalog
    value       canonical form (docs/canonical-forms.md) with secrets resolved

    `gateway_id` is the vendor's id, None where nobody looked, and empty where somebody looked and the
    object was not there: an adapter then need not search for remains of an earlier one.
    """

    key: Key
    identifier: str
    owner: str
    value: Mapping[str, Value]
    gateway_id: str | None = None


class Granularity(Enum):
    """The smallest unit a vendor can write."""

    RESOURCE = "resource"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Capability:
    """One declared ability. `depends` marks one that only the running gateway can tell."""

    supported: bool
    reason: str = ""
    depends: bool = False


Capabilities: TypeAlias = Mapping[str, Capability]
"""By name: `api`, `policy:<type>`, `application`, `credential:<type>`, `plans`, `hosts`, `strip_path:false`, `timeout`,
`retries`, `fallback`, `backend_auth:header`, `backend_auth:query`, `multiple_routes`, `builtin_echo`, `inactive`,
`auth_server`, `strategy`, `scope`, `alias`, `config`, `archive`. A name that is not declared is unsupported."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How specs of this vendor compare: pure, given to the planner.

    project   reduce a canonical desired spec to what the vendor can hold, its defaults filled in; the same form
              that `list_*` reports. None: everything is held as it was given, secrets withheld.
    losses    what of a canonical spec the vendor cannot express beside what capabilities say; None: nothing.
    """

    project: Callable[[str, JsonObject], JsonObject] | None = None
    losses: Callable[[str, JsonObject], tuple[Loss, ...]] | None = None

    def held(self, kind: str, spec: JsonObject) -> JsonObject:
        """Return the form of a desired spec in which `list_*` would report it."""
        if self.project is not None:
            return self.project(kind, spec)
        return {name: withheld(item) for name, item in spec.items()}


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What a folder under `adapters/` exports as ADAPTER.

    render    what an object becomes on the wire, without asking a gateway: for `render` and snapshot tests. Secrets
              in the ObjectSpec hold their reference as value then. None shows the canonical form
    reserved  paths that a gateway of this make serves itself, on every host, so that no API can have them; one that
              ends in `/*` means everything below, too
    render_whole  likewise, what all objects of a gateway become together, where it is written as one document
    read_export   reads a file of this vendor instead of asking a gateway: its bytes, its name for messages, the
              gateway it would go to, and the owner; raises UsageError with file:line. None: there is no such file
    public    False for types that a catalog cannot name: the one in memory and the template
    """

    name: str
    types: tuple[str, ...]
    factory: Callable[[Connection], GatewayAdapter]
    capabilities: Capabilities
    granularity: Granularity = Granularity.RESOURCE
    rules: Rules = field(default_factory=Rules)
    versions: str = ""
    title: str = ""
    reserved: tuple[str, ...] = ()
    public: bool = True
    render: Callable[[ObjectSpec], Mapping[str, Value]] | None = None
    render_whole: Callable[[Sequence[ObjectSpec], GatewayInstance], Mapping[str, Value]] | None = (
        None
    )
    read_export: Callable[[bytes, str, GatewayInstance, str], VendorExport] | None = None


@dataclass(frozen=True, slots=True)
class VendorExport:
    """What a vendor's file holds: items as of `list_*`, and what they do not say.

    Where a secret of an item stands as a reference in the file, the item has `{"$secret": "env:NAME"}` for it.
    """

    items: tuple[dict[str, Any], ...]
    remnants: tuple[Unmapped, ...] = ()


class InProcessAdmin(Protocol):
    """The admin API of a gateway in this process, asked without a network."""

    async def __call__(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, /
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        """Answer with status, headers (names in lower case) and body; others have their turn between its pieces."""
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """What an adapter needs to reach one gateway, secrets resolved. `owner` is the catalog's name.

    credentials  by role: `username`, `password`, `token`, `value`
    tls          PEM texts by role: `ca`, `cert`, `key`
    inside       the gateway itself, where it is in this process
    """

    instance: GatewayInstance
    base_url: str
    owner: str
    credentials: Mapping[str, Secret] = field(default_factory=dict)
    tls: Mapping[str, Secret] = field(default_factory=dict)
    inside: InProcessAdmin | None = field(default=None, repr=False)


class GatewayAdapter(ABC):
    """The contract; see the module's docstring for who raises what.

    Every method may be called twice with the same arguments and then has the effect of one call.
    """

    # life cycle

    @abstractmethod
    async def health_check(self) -> AdapterResult:
        """Tell whether the gateway answers; `data` may carry `version` and `extensions`."""

    @abstractmethod
    async def connect(self) -> None:
        """Open what is kept between calls; does no network I/O that could fail."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close it; may be called without `connect`."""

    # APIs

    @abstractmethod
    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Create or update an API with its routes."""

    @abstractmethod
    async def delete_api(self, api_id: str) -> AdapterResult:
        """Remove an API by the `gateway_id` that `list_apis` reported; gone already is success."""

    @abstractmethod
    async def list_apis(self) -> list[dict[str, Any]]:
        """Read all APIs, ours and foreign, as `observed()` makes them; raises GatewayError."""

    # policies

    @abstractmethod
    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Create or update a policy of one API."""

    @abstractmethod
    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy by its `gateway_id`; gone already is success."""

    @abstractmethod
    async def list_policies(self) -> list[dict[str, Any]]:
        """Read all policies; raises GatewayError."""

    # consumers

    @abstractmethod
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Create or update a consumer with credentials and subscriptions."""

    @abstractmethod
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Remove a consumer by its `gateway_id`; gone already is success."""

    @abstractmethod
    async def list_applications(self) -> list[dict[str, Any]]:
        """Read all consumers; raises GatewayError."""

    # extended

    async def upsert_auth_server(self, auth_spec: ObjectSpec) -> AdapterResult:
        """Configure an OIDC provider."""
        return method_not_supported(self.title)

    async def upsert_strategy(self, strategy_spec: ObjectSpec) -> AdapterResult:
        """Set an authentication strategy."""
        return method_not_supported(self.title)

    async def upsert_scope(self, scope_spec: ObjectSpec) -> AdapterResult:
        """Define an OAuth scope."""
        return method_not_supported(self.title)

    async def upsert_alias(self, alias_spec: ObjectSpec) -> AdapterResult:
        """Configure an endpoint alias."""
        return method_not_supported(self.title)

    async def apply_config(self, config_spec: ObjectSpec) -> AdapterResult:
        """Apply gateway-wide configuration."""
        return method_not_supported(self.title)

    async def export_archive(self) -> AdapterResult:
        """Export a backup of the gateway."""
        return method_not_supported(self.title)

    # beside the eighteen

    async def look(self, kind: str) -> Sequence[dict[str, Any]]:
        """Return what `list_*` answers about APIs, policies or applications; raises GatewayError.

        It may be held from look to look, so an adapter that can tell that nothing moved returns the very object of the
        last time, in a form that takes little memory.
        """
        methods = {API: self.list_apis, POLICY: self.list_policies}
        return await methods.get(kind, self.list_applications)()

    async def list_remnants(self) -> tuple[Unmapped, ...]:
        """Tell what of foreign objects no item of `list_*` says, as of the last look; raises GatewayError."""
        return ()

    title: str = "this gateway"
    """The vendor's name, for `Not supported by <gateway>`."""

    granularity: Granularity = Granularity.RESOURCE
    """The smallest unit that this gateway, as it runs, can write."""

    notes: tuple[str, ...] = ()
    """What people see beside the name of the gateway: how it is written, what was chosen for it."""

    def capabilities(self) -> Capabilities | None:
        """Return what the running gateway can do, known after `health_check`; None: as declared."""
        return None

    def rules(self) -> Rules | None:
        """Return how specs compare on the running gateway; None: as declared."""
        return None

    def apply(self, writes: Sequence[Write], pace: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes, in their order, and yield one outcome for each.

        By default this walks the methods above. A document adapter overrides it and writes once.
        """
        from stoa_gitops.adapter_sdk.apply_each import apply_each

        return apply_each(self, writes, pace)


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """How hard to press a gateway: writes at the same time, and seconds until one is given up."""

    concurrency: int = 8
    write_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Write:
    """One change with its desired side resolved; `spec` is None for a deletion."""

    change: Change
    spec: ObjectSpec | None


def observed(key: Key, spec: JsonObject, gateway_id: str, *, managed: bool) -> dict[str, Any]:
    """Return one item of a `list_*` answer."""
    return {
        "kind": key.kind,
        "tenant": key.tenant,
        "name": key.name,
        "gateway_id": gateway_id,
        "managed": managed,
        "spec": spec,
    }
