"""The form of a policy type's mapping: everything that Kong's adapter must know of the type. Pure.

Each module of `policies` exports one `MAPPING`; capabilities, losses, projection, what is written,
what is read back and who answers for a plugin are derived from these values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.grouping import ApiEntities
from stoa_gitops.adapters.kong.mapping.losses import number_loss
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.losses import Loss

Config = Mapping[str, Any]
"""The canonical config of a policy, or the config of a plugin as Kong takes it."""

PluginConfigs = dict[str, tuple[Mapping[str, Any], list[str]]]
"""Name of a plugin -> its config, and tags beside the owner's."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What a policy is read from.

    entities  those of the API, by role, without server defaults
    owner     the catalog; what others wrote is read without secrets
    auth      the backend's credential, which shares a plugin with `headers`
    """

    entities: ApiEntities
    owner: str
    auth: Config | None = None


def no_plugins(config: Config, policies: Mapping[str, Config], node: NodeInfo) -> PluginConfigs:
    """Compile a type that is no plugin but stands on the service or an upstream."""
    return {}


def keep_config(config: Config) -> JsonTree:
    """Return all of a config: Kong stores every field of it."""
    return dict(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginMapping:
    """How one policy type of the catalog is written on Kong, and read back.

    policy_type      the type's name in the catalog
    plugins          plugins that it is written as; empty for what stands on service or upstream
    read             entities -> canonical config, None where they hold no policy of this type
    losses           what Kong does not do of a config; decided before any call
    compile          (config, configs of all policies of the API, node) -> plugins; a plugin that
                     several types share is compiled from all of them, equal from each
    stored           what of a config comes back from Kong: the form in which specs are compared
    node_losses      what a node of some version does not do besides
    needs            further plugins that the node must have enabled
    identifies       tells who calls, so that an `acl` plugin must say who is let in
    shared_rank      types that share a plugin: drift in its other fields goes to the lowest rank
    write_service    put what the type says into the service of its API
    compile_upstream make the upstream that the type needs: (parts of the API, config, owner)
    restore_backend  fields of the backend that `write_service` replaced, as the service tells them
    route_methods    methods that the routes of its API take for it, besides their own
    whole_fields     plugin fields that the canonical form represents completely, in any spelling
    secret_fields    plugin fields whose values are not shown as drift
    """

    policy_type: str
    plugins: tuple[str, ...] = ()
    read: Callable[[ReadContext], JsonTree | None]
    losses: Callable[[Config], Iterator[Loss]]
    compile: Callable[[Config, Mapping[str, Config], NodeInfo], PluginConfigs] = no_plugins
    stored: Callable[[Config], JsonTree] = keep_config
    node_losses: Callable[[Config, NodeInfo], Iterator[Loss]] | None = None
    needs: tuple[str, ...] = ()
    identifies: bool = False
    shared_rank: int = 0
    write_service: Callable[[JsonTree, Config, ApiParts], None] | None = None
    compile_upstream: Callable[[ApiParts, Config, str], Entity] | None = None
    restore_backend: Callable[[JsonTree], Mapping[str, Any]] | None = None
    route_methods: tuple[str, ...] = ()
    whole_fields: frozenset[str] = frozenset()
    secret_fields: frozenset[str] = frozenset()


def single_plugin(
    policy_type: str,
    plugin: str,
    *,
    write: Callable[[Config, NodeInfo], JsonTree],
    read: Callable[[Config], JsonTree],
    **others: Any,
) -> PluginMapping:
    """Return the mapping of a type that is one plugin of its own.

    `write` turns the canonical config into the plugin's, `read` the other way; `others` are further
    fields of PluginMapping.
    """

    def compile_one(config: Config, _: Mapping[str, Config], node: NodeInfo) -> PluginConfigs:
        return {plugin: (write(config, node), [])}

    def read_one(context: ReadContext) -> JsonTree | None:
        tree = context.entities.plugins.get(plugin)
        return None if tree is None else read(tree.get("config", {}))

    return PluginMapping(
        policy_type=policy_type,
        plugins=(plugin,),
        compile=compile_one,
        read=read_one,
        **others,
    )


def whole_seconds(duration: str, what: str, field: str) -> Iterator[Loss]:
    """Yield the loss of a duration that is no whole number of seconds, or too long for Kong."""
    seconds, rest = divmod(duration_ms(duration), 1000)
    if rest:
        yield Loss(f"{what} of {duration}: Kong counts whole seconds there", at=("config", field))
    loss = number_loss(seconds, f"the seconds of {what}", field)
    if loss is not None:
        yield loss


def read_seconds(value: float) -> str:
    """Return a number of seconds as a canonical duration; raises ValueError for one below 0."""
    return canonical_milliseconds(round(value * 1000))
