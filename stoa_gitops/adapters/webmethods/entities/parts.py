"""The parts that webMethods' objects are compiled from, and what the gateway is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Value

JsonTree: TypeAlias = "dict[str, Any]"
"""A JSON object under construction or as it was read."""

UNMAPPED: Final = "webmethods"
"""Field of a listed object for what the gateway holds beyond its canonical form; null for nothing.
"""

Consumers: TypeAlias = "Mapping[str, tuple[str, ...]]"
"""Plan of an API -> ids of the applications that subscribe to it, sorted."""


@dataclass(frozen=True, slots=True)
class ApiParts:
    """One API with its policies.

    api       canonical form as webMethods stores it; None while only policies are written
    policies  config by policy type
    api_id    GUID on the gateway; empty before the first write
    """

    key: Key
    api: Mapping[str, Value] | None
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    api_id: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationParts:
    """One application in the canonical form, as webMethods stores it."""

    key: Key
    value: Mapping[str, Value]
    application_id: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of `GatewayInstance.spec.options` for webMethods.

    key_header      header in which the gateway takes keys (extended setting `apiKeyHeader`)
    protocols       over which APIs are reached, as `entryProtocolPolicy` names them
    depth           segments of a path below an API that are served where no document lists them
    maturity        `maturityState` of APIs; empty: as people of the gateway have it
    tenant          tenant of foreign objects, for `adopt`
    deep_every      each how many observations definitions are read, too
    objects         objects of the whole gateway by kind and name, as the document has them
    """

    key_header: str = "x-Gateway-APIKey"
    protocols: tuple[str, ...] = ("http", "https")
    depth: int = 6
    maturity: str = ""
    tenant: str = "default"
    deep_every: int = 10
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """A running API Gateway.

    version              for people: `10.15.0.0`
    serves_below_aliases `watt.server.url.alias.partialMatching`: paths below a URL alias are
                         served; None where nobody said
    templates            of policy actions, each with the parameters that it needs; empty where the
                         gateway lists none
    """

    version: str = ""
    serves_below_aliases: bool | None = None
    options: Options = field(default_factory=Options)
    templates: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
