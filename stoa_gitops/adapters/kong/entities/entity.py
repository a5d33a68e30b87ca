"""Kong's entities as canonical bytes, and the parts that ours are compiled from. Pure values.

Bytes rather than trees: a gateway of 10,000 APIs has 40,000 entities, and all of them are sent with
each write of a document. Texts hold secrets in clear, as Kong does, so no `repr` shows them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from stoa_gitops.model.canonical import canonical_bytes
from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Value

ENTITY_ORDER: Final = (
    "certificates", "ca_certificates", "vaults", "key_sets", "keys", "snis", "services",
    "upstreams", "targets", "routes",
    "consumers", "keyauth_credentials", "basicauth_credentials", "jwt_secrets",
    "hmacauth_credentials",
    "oauth2_credentials", "acls", "plugins", "filter_chains",
)  # fmt: skip
"""Entity types in the order in which a database accepts them; deletions go the other way.

Kong restricts routes -> services, snis -> certificates and client certificates; plugins,
credentials and targets are deleted with their parents.
"""


# Names in paths differ from those in documents: `/key-auths` lists `keyauth_credentials`.
COLLECTION_PATHS: Final[Mapping[str, str]] = {
    "certificates": "/certificates", "ca_certificates": "/ca_certificates", "vaults": "/vaults",
    "key_sets": "/key-sets", "keys": "/keys", "snis": "/snis", "services": "/services",
    "upstreams": "/upstreams",
    "routes": "/routes", "consumers": "/consumers", "keyauth_credentials": "/key-auths",
    "basicauth_credentials": "/basic-auths", "jwt_secrets": "/jwts",
    "hmacauth_credentials": "/hmac-auths",
    "oauth2_credentials": "/oauth2", "oauth2_tokens": "/oauth2_tokens", "acls": "/acls",
    "plugins": "/plugins",
    "filter_chains": "/filter-chains",
}  # fmt: skip
"""Where each type is listed; targets are listed below their upstream only: `/targets` is a 404."""


JsonTree: TypeAlias = "dict[str, Any]"
"""A JSON object under construction or as it was read: an entity, a config, a canonical value."""


@dataclass(frozen=True, slots=True, repr=False)
class Entity:
    """One entity of Kong: its type as a declarative document names it, its id, and its JSON text.

    Ours are sparse (without nulls, server defaults and timestamps); foreign ones are as they were
    read.
    """

    type: str
    id: str
    text: bytes

    @classmethod
    def of(cls, entity_type: str, tree: Mapping[str, Any]) -> Entity:
        """Return the entity of a tree; one without an `id`, as a plugin's own type may be, has its
        digest as id.
        """
        text = canonical_bytes(tree)
        return cls(entity_type, str(tree.get("id") or hashlib.sha256(text).hexdigest()), text)

    @property
    def tree(self) -> JsonTree:
        """A fresh tree."""
        return cast("JsonTree", json.loads(self.text))

    def __repr__(self) -> str:
        return f"Entity({self.type}/{self.id})"


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What service, routes, upstream and plugins of one API are compiled from.

    api         stored form of the API (rules.stored_spec), a backend credential as Secret; None
                where only policies exist
    policies    policy type -> stored form of its config
    service_id  the UUIDv5 of the API; an adopted service keeps the id that it had
    plugin_ids  name -> id of plugins that keep the id under which they were adopted
    """

    key: Key
    service_id: str
    api: Mapping[str, Value] | None
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plugin_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApplicationParts:
    """What consumer, credentials and groups of one application are compiled from; with secrets.

    credential_numbers  Kong's type and key -> number that the id of a credential on the node has
    """

    key: Key
    consumer_id: str
    value: Mapping[str, Value]
    credential_numbers: Mapping[tuple[str, str], int] = field(
        default_factory=dict, repr=False, compare=False
    )


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of `GatewayInstance.spec.options` for Kong.

    counters        where rate limits count: `local`, `redis`, or `cluster` (with a database only)
    redis           the record that Kong's plugin takes: host, port, database, ssl, ssl_verify,
                    server_name, username, password (a `{vault://…}` reference that the node
                    resolves)
    paths           `segments`: regular expressions that end at the end of a segment; `parameters`:
                    the same, numbered so that there is room for paths with parameters; `prefix`:
                    Kong's prefixes, compared letter by letter
    body_limit      bytes that the node's Admin API takes in one request
    jwt_claim       the claim by which a token names its credential
    tenant          tenant of foreign objects whose name tells none, for `adopt`
    jwt_not_before  `required`: a token needs `nbf`; `ignored`: the claim is not looked at
    """

    counters: str = "local"
    redis: Mapping[str, Any] = field(default_factory=dict)
    paths: str = "segments"
    body_limit: int = 10 * 1024 * 1024  # Kong: nginx_admin_client_max_body_size = 10m
    jwt_claim: str = "iss"
    tenant: str = "default"
    jwt_not_before: str = "required"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A running Kong: version as numbers, enabled plugins, whether it has a database, its router.

    is_imagined       nobody runs it: a document is shown, with a reference in the place of each
                      secret
    settling_seconds  until a write to the database is in force on every worker of every node
    """

    version: tuple[int, int, int]
    plugins: frozenset[str]
    has_database: bool = False
    options: Options = field(default_factory=Options)
    router_flavor: str = "traditional_compatible"
    is_imagined: bool = False
    settling_seconds: float = 0.0

    @property
    def text(self) -> str:
        """`3.9.1`."""
        return ".".join(map(str, self.version))
