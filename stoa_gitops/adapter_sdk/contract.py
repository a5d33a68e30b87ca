"""The contract of gateway adapters: eighteen documented methods and `apply`.

The methods are STOA's documented adapter interface: three for the life cycle, three each for APIs,
policies and consumers, six extended ones. They return an `AdapterResult` and never raise, except
`list_*`: an empty list that means "I could not read" would delete people's gateways, so a failed
list raises `GatewayError`. Only drivers/ calls adapters. docs/writing-an-adapter.md shows how to
add one.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NotRequired, TypeAlias, TypedDict

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Granularity, Rules
from stoa_gitops.errors import CatalogError, DocumentUnreadable, Retry
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.kinds import ALIAS, AUTH_SERVER, CONFIG, GLOBAL_POLICY, SCOPE, STRATEGY
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import AppliedRecord, CatalogFiles, ForeignRoute, Resource
from stoa_gitops.model.secret import Value
from stoa_gitops.model.unmapped import Unmapped


@dataclass(frozen=True, slots=True)
class AdapterResult:
    """The result of one adapter method; the first four fields are STOA's, `warnings` is ours.

    `data` of a failure carries `reason` (a name of errors.py) and `retry` (a value of
    errors.Retry), `status` where the gateway answered with an HTTP error, and `retry_after`
    (seconds) where it named a time. `warnings` are shown in the recap and in the status.
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
        """Whether and when a retry makes sense."""
        return Retry((self.data or {}).get("retry", Retry.NEVER.value))

    @property
    def retry_after(self) -> float:
        """Seconds for which a failing gateway asked to wait; 0 where it named none."""
        named = (self.data or {}).get("retry_after")
        return float(named) if isinstance(named, (int, float)) and not self.success else 0.0


def method_not_supported(gateway_type: str) -> AdapterResult:
    """Return the result that STOA documents for a method that a gateway does not have."""
    return AdapterResult(
        success=False,
        data={"reason": "Unsupported", "retry": Retry.NEVER.value},
        error=f"Not supported by {gateway_type}",
    )


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One object to write.

    key         kind, tenant and name
    identifier  our id for it: UUIDv5 of (owner, kind, tenant, name)
    owner       name of the catalog
    value       canonical form (docs/canonical-forms.md), secrets resolved
    gateway_id  the vendor's id as observed; empty if the object was looked for and absent, so that
                an adapter need not search for leftovers of an earlier one; None if nobody looked
    files       the catalog's files; None where nobody has them
    """

    key: Key
    identifier: str
    owner: str
    value: Mapping[str, Value]
    gateway_id: str | None = None
    files: CatalogFiles | None = field(default=None, compare=False, repr=False)

    def read_document(self, name: str) -> bytes:
        """Return the bytes of the document that `value[name]` names: `openapi` or `wsdl`.

        Blocking, up to 20 MB: call it in a thread. Raises KeyError where the field is absent,
        DocumentUnreadable where the file is gone, or is not the one that the spec was made of.
        """
        named = self.value[name]
        if not isinstance(named, Mapping):
            raise TypeError(f"{name} names no document")
        path, expected = str(named["path"]), named["sha256"]
        data: bytes | None = None
        if self.files is not None:
            try:
                data = self.files.read(path)
            except (KeyError, CatalogError):
                data = None
        if data is None or hashlib.sha256(data).hexdigest() != expected:
            raise DocumentUnreadable(
                f"{path} is not in the catalog as {self.key} names it: it changed meanwhile, or "
                "the document of the API is broken; it is tried again with the next revision"
            )
        return data


class ListItem(TypedDict):
    """One object in the result of `list_*`.

    managed  True if the object carries our ownership mark
    spec     canonical form as the gateway holds it; secrets are WITHHELD
    owner    the other catalog whose mark it carries, where that can be told
    """

    kind: str
    tenant: str
    name: str
    gateway_id: str
    managed: bool
    spec: JsonObject
    owner: NotRequired[str]


def list_item(
    key: Key, spec: JsonObject, gateway_id: str, *, managed: bool, owner: str = ""
) -> ListItem:
    """Return one item of the result of `list_*`; `owner` is that of a foreign object, if known."""
    item: ListItem = {
        "kind": key.kind,
        "tenant": key.tenant,
        "name": key.name,
        "gateway_id": gateway_id,
        "managed": managed,
        "spec": spec,
    }
    if owner and not managed:
        item["owner"] = owner
    return item


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Concurrent writes to one gateway, and seconds until one of them counts as failed."""

    # Half of the connections of a client (http/transport.py Limits), so that reads find one.
    concurrency: int = 8
    write_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Write:
    """One change with its desired side resolved; `spec` is None for a deletion."""

    change: Change
    spec: ObjectSpec | None


List: TypeAlias = Callable[[], Awaitable[Sequence[ListItem]]]
Upsert: TypeAlias = Callable[[ObjectSpec], Awaitable[AdapterResult]]
Delete: TypeAlias = Callable[[str], Awaitable[AdapterResult]]


@dataclass(frozen=True, slots=True)
class Methods:
    """The methods of an adapter for one kind of object; None where it has none.

    A kind with `list` is observed and read back after writes, one with `delete` can be pruned.
    """

    upsert: Upsert
    delete: Delete | None = None
    list: List | None = None


class GatewayAdapter(ABC):
    """The contract; the docstring of this module says which methods raise.

    Every method may be called twice with the same arguments and then has the effect of one call.
    Adapters of gateways that are written object by object derive from `ResourceAdapter`
    (apply_each.py), which implements `apply`.

        adapter = info_for("kong").factory(connection)
        await adapter.connect()
        result = await adapter.sync_api(spec, "acme")
        if not result.success:
            print(result.reason, result.error)
        items = await adapter.list_apis()  # raises GatewayError
    """

    title: str = "this gateway"
    """The vendor's name, for `Not supported by <gateway>`."""

    granularity: Granularity = Granularity.RESOURCE
    """The smallest unit that this gateway, as it runs, can write."""

    archive_suffix: str = ""
    """Of the file that `export_archive` writes, such as `.zip`; empty where it is a document."""

    imports_archives: bool = False
    """Whether `apply_archive` writes a whole plan as one archive."""

    notes: tuple[str, ...] = ()
    """Shown to people beside the gateway's name: how it is written, what was chosen for it."""

    # life cycle

    @abstractmethod
    async def health_check(self) -> AdapterResult:
        """Check that the gateway responds; `data` may carry `version` and `extensions`."""

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
        """Delete an API by the `gateway_id` that `list_apis` reported; absent is success."""

    @abstractmethod
    async def list_apis(self) -> list[ListItem]:
        """Return all APIs, managed and foreign, built by `list_item()`; raises GatewayError."""

    # policies

    @abstractmethod
    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Create or update a policy of one API."""

    @abstractmethod
    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Delete a policy by its `gateway_id`; absent is success."""

    @abstractmethod
    async def list_policies(self) -> list[ListItem]:
        """Return all policies; raises GatewayError."""

    # consumers

    @abstractmethod
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Create or update a consumer with credentials and subscriptions."""

    @abstractmethod
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Delete a consumer by its `gateway_id`; absent is success."""

    @abstractmethod
    async def list_applications(self) -> list[ListItem]:
        """Return all consumers; raises GatewayError."""

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

    async def export_archive(self, target: BinaryIO | None = None) -> AdapterResult:
        """Export a backup of the gateway.

        A backup that is a document is `data`. One that is a file of the vendor's is written to
        `target` as it comes in, which is left as it is on failure; `data` is about it then, with
        `file` for what sort of file it is. Without a target such a backup is checked and dropped.
        """
        return method_not_supported(self.title)

    # not among the eighteen: how the driver calls them

    def methods(self) -> Mapping[str, Methods]:
        """Return the methods for each kind of `model.kinds`.

        Extend it (`{**super().methods(), SCOPE: Methods(upsert, delete, list)}`) where the gateway
        can list or delete an extended kind; the documented interface has only `upsert` for those.
        """
        return {
            API: Methods(self._sync_api, self.delete_api, self.list_apis),
            POLICY: Methods(self.upsert_policy, self.delete_policy, self.list_policies),
            APPLICATION: Methods(
                self.provision_application, self.deprovision_application, self.list_applications
            ),
            AUTH_SERVER: Methods(self.upsert_auth_server),
            STRATEGY: Methods(self.upsert_strategy),
            SCOPE: Methods(self.upsert_scope),
            ALIAS: Methods(self.upsert_alias),
            CONFIG: Methods(self.apply_config),
            GLOBAL_POLICY: Methods(self.upsert_global_policy),
        }

    async def upsert_global_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy for many APIs that is one object of the gateway."""
        return method_not_supported(self.title)

    async def _sync_api(self, api_spec: ObjectSpec) -> AdapterResult:
        return await self.sync_api(api_spec, api_spec.key.tenant)

    async def list_cached(self, kind: str) -> Sequence[ListItem]:
        """Return the objects of one kind that `methods` can list; raises GatewayError.

        The driver keeps the result from one observation to the next. An adapter that can tell that
        nothing changed (an ETag) returns the identical object again, packed by `PackedList`: a plan
        of 30,000 unchanged objects then costs nearly nothing (docs/adr/0011).
        """
        list_objects = self.methods()[kind].list
        if list_objects is None:
            raise TypeError(f"{self.title} cannot list {kind}")
        return await list_objects()

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Return what no item of `list_*` expresses of the foreign objects last listed.

        Raises GatewayError.
        """
        return ()

    async def list_routes(self) -> tuple[ForeignRoute, ...] | None:
        """Return the foreign routes last listed; None where the items of `list_apis` show them all.

        The identical tuple while nothing has changed. Raises GatewayError.
        """
        return None

    def capabilities(self) -> Capabilities | None:
        """Return what the running gateway can do, known after `health_check`; None: as declared."""
        return None

    def rules(self) -> Rules | None:
        """Return how specs compare on the running gateway; None: as declared."""
        return None

    def note_keys(self, keys: Collection[Key]) -> None:  # noqa: B027  # most need not know
        """Take note of all objects that the catalog or the store knows, before they are listed.

        For gateways on which people can rename what is ours: an id that was made of a key tells
        which of these it is.
        """

    def note_documents(self) -> None:  # noqa: B027  # most list all that they hold
        """Take note that documents are made of what is listed: that may take further calls."""

    def note_records(self, records: Mapping[Key, AppliedRecord]) -> None:  # noqa: B027  # as above
        """Take note of what was applied, with its ids, before objects are listed.

        For gateways whose lists may miss an object that can be asked for by its id.
        """

    def note_plan(self, changes: Sequence[Change]) -> None:  # noqa: B027  # most need not know
        """Take note of all changes of a plan, before the first of them is written.

        For gateways where one change only fits beside a later one; what is held is not among them.
        """

    def note_waiting(self, resources: Sequence[Resource]) -> None:  # noqa: B027  # as above
        """Take note of what is in quarantine or held, before the first change is written.

        For gateways on which a change takes something away that such an object still needs.
        """

    @abstractmethod
    def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes, in their order, and yield one outcome for each."""

    def apply_archive(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write what comes and changes as one archive, then delete; yield an outcome for each.

        Only for adapters that say `imports_archives`: whoever calls it has asked.
        """
        raise TypeError(f"{self.title} imports no archives")
