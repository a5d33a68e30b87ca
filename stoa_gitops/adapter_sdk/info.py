"""Description of an adapter (AdapterInfo) and of one connection to a gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Granularity, Rules
from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ListItem, ObjectSpec
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.secret import Secret, Value
from stoa_gitops.model.unmapped import Unmapped


class InProcessAdmin(Protocol):
    """The admin API of a gateway inside this process, called without a network."""

    async def __call__(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, /
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        """Return status, headers (names in lower case) and the body in pieces.

        Yields to other tasks between the pieces of the body.
        """
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """What an adapter needs to reach one gateway, secrets resolved.

    owner        name of the catalog
    credentials  by role: `username`, `password`, `token`, `value`
    tls          PEM texts by role: `ca`, `cert`, `key`
    inside       the admin API itself where the gateway runs in this process; else None
    """

    instance: GatewayInstance
    base_url: str
    owner: str
    credentials: Mapping[str, Secret] = field(default_factory=dict)
    tls: Mapping[str, Secret] = field(default_factory=dict)
    inside: InProcessAdmin | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class VendorExport:
    """Objects in a vendor's export file, as items of `list_*`, and what no item can express.

    Where the file has a reference in place of a secret, the item has `{"$secret": "env:NAME"}`.

    implied  the same with what the file implies and no gateway with its content would list, such as
             who may call what; None where it implies nothing
    """

    items: tuple[ListItem, ...]
    unmapped: tuple[Unmapped, ...] = ()
    implied: VendorExport | None = None


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """The value that a folder under `adapters/` exports as ADAPTER.

    name          name of the folder
    types         gateway types that it serves, as catalogs write them
    factory       builds the adapter of one connection; imports clients only when called
    capabilities  what is known without asking a gateway
    reserved      paths that gateways of these types serve themselves, on every host, so that no API
                  can have them; one that ends in `/*` covers everything below, too
    options_schema       JSON Schema (draft 2020-12) of `spec.options`; None: any options pass
    has_one_name_space   the vendor knows no tenants: APIs are called `<tenant>-<name>` there, so
                         those of two tenants can collide
    allows_nested_paths  a route may lie below the path of another API
    can_be_embedded      `baseUrl: embedded` is possible: our own data plane
    embedded_rules       `rules` of the embedded gateway, which is known without asking it
    object_options       option -> extended kind of the objects that stand there by name: they are
                  planned, applied and pruned like documents
    public        False for types that a catalog cannot name: memory and template
    render        the requests or entities that one object becomes, computed without a gateway; a
                  secret of the ObjectSpec has its reference as value then. None shows the
                  canonical form
    policy_order  the policies of an API in the order in which the gateway runs them, from its spec
                  and those of its policies; None: the vendor decides it
    render_whole  likewise for all objects of a gateway that is written as one document
    read_export   reads an export file of the vendor: its bytes, its name for messages, the gateway
                  it would go to, and the owner; raises UsageError with file:line. None: the vendor
                  has no such file
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
    options_schema: JsonObject | None = None
    has_one_name_space: bool = False
    allows_nested_paths: bool = True
    can_be_embedded: bool = False
    object_options: Mapping[str, str] = field(default_factory=dict)
    embedded_rules: Rules = field(default_factory=Rules)
    public: bool = True
    render: Callable[[ObjectSpec], Mapping[str, Value]] | None = None
    render_whole: Callable[[Sequence[ObjectSpec], GatewayInstance], Mapping[str, Value]] | None = (
        None
    )
    policy_order: Callable[[ObjectSpec, Sequence[ObjectSpec]], Mapping[str, Value]] | None = None
    read_export: Callable[[bytes, str, GatewayInstance, str], VendorExport] | None = None

    def rules_of(self, instance: GatewayInstance) -> Rules:
        """Return how specs compare on a gateway, as far as that is known without asking it."""
        return self.embedded_rules if instance.is_embedded else self.rules


def read_options_schema(module_file: str) -> JsonObject:
    """Return `options_schema.json` beside a module (its `__file__`), for AdapterInfo."""
    path = Path(module_file).with_name("options_schema.json")
    schema: JsonObject = json.loads(path.read_text(encoding="utf-8"))
    return schema
