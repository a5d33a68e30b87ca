"""Maps an application to Kong's consumer, credentials, groups and limits, and back. Pure.

A subscription is a group of the consumer; the acl plugin of an API lets its groups in. Of plugins
of one name Kong runs the most specific alone, so the limits of a plan are a plugin of consumer and
service that also contains the API's own limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.kong.entities.entity import (
    ApiParts,
    ApplicationParts,
    Entity,
    JsonTree,
    NodeInfo,
)
from stoa_gitops.adapters.kong.entities.tags import (
    entity_name,
    has_owner_tag,
    is_catalog_name,
    mark_loss,
    owner_tag,
    parse_pairs,
    tag_values,
)
from stoa_gitops.adapters.kong.mapping import closing
from stoa_gitops.adapters.kong.mapping.credentials import (
    Credential,
    credential_entities,
    credential_numbers,
    read_credentials,
    unsafe_keys,
)
from stoa_gitops.adapters.kong.mapping.grouping import (
    ConsumerEntities,
    group_consumer_entities,
)
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.plugins import plugin_entity
from stoa_gitops.adapters.kong.mapping.rate_limiting import UNITS, config_of, limits_of
from stoa_gitops.adapters.kong.mapping.rules import application_losses
from stoa_gitops.adapters.kong.mapping.services import RATES
from stoa_gitops.adapters.kong.mapping.unmapped_fields import (
    MISSING,
    PRESENT,
    Fields,
    UnmappedFields,
    field_differences,
    plugin_differences,
)
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API, APPLICATION, Key

Limits = Mapping[Key, tuple[str, Mapping[str, int]]]
"""API -> id of its service, and the number of requests of each window."""

Ended = Mapping[Key, tuple[str, str]]
"""API without plans -> id of its service, and when the subscription to it ended."""

LIMITED: Final = "stoa-limited"
"""Tag on the group of a subscription whose limits are a plugin of their own."""


def compile_application(
    parts: ApplicationParts,
    apis: Mapping[Key, ApiParts],
    node: NodeInfo,
    owner: str,
    *,
    keeps: bool = False,
) -> tuple[Entity, ...]:
    """Return the entities of an application; `apis` are those that this Kong has.

    With `keeps`, keys that the node holds already are written as they are.

    Raises SecretUnresolved for a credential without a value, Inexpressible for one that Kong cannot
    hold.
    """
    messages = [loss.message for loss in application_losses(parts.value) if not loss.is_partial]
    if messages:
        raise Inexpressible("; ".join(messages))
    limits, ended = dict(_limits(parts, apis)), _ended(parts, apis)
    return tuple(_entities(parts, limits, ended, node, owner, keeps=keeps))


def _ended(parts: ApplicationParts, apis: Mapping[Key, ApiParts]) -> Ended:
    found = {
        Key.parse_name(API, one["api"], parts.key.tenant): one.get("expiresAt", "")
        for one in _subscriptions(parts)
        if one.get("ended")
    }
    return {key: (apis[key].service_id, end) for key, end in found.items() if key in apis}


def _limits(
    parts: ApplicationParts, apis: Mapping[Key, ApiParts]
) -> Iterator[tuple[Key, tuple[str, Mapping[str, int]]]]:
    found: dict[Key, dict[str, int]] = {}
    for subscription in _subscriptions(parts):
        key = Key.parse_name(API, subscription["api"], parts.key.tenant)
        api = apis.get(key)
        value: Any = api.api if api else None
        for plan in value["plans"] if value else ():
            if plan["name"] == subscription.get("plan"):
                # Two plans of one API are one plugin on Kong: the lower numbers hold.
                _lower(found.setdefault(key, {}), _windows(plan))
    for key, windows in found.items():
        if windows:
            _lower(windows, dict(limits_of(apis[key].policies).values()))
            yield key, (apis[key].service_id, windows)


def _windows(plan: Mapping[str, Any]) -> dict[str, int]:
    return {unit: plan[name] for name, unit in RATES.items() if name in plan and unit in UNITS}


def _lower(windows: dict[str, int], others: Mapping[str, int]) -> None:
    for unit, number in others.items():
        windows[unit] = min(number, windows.get(unit, number))


def _entities(
    parts: ApplicationParts,
    limits: Limits,
    ended: Ended,
    node: NodeInfo,
    owner: str,
    *,
    keeps: bool,
) -> list[Entity]:
    # Where nothing can close one API to the application, none is open by its tenant alone, and the
    # consumer itself says why.
    is_let_in = not ended or closing.PLUGIN in node.plugins
    noted = [] if is_let_in else [closing.tag_of(api, end) for api, (_, end) in ended.items()]
    consumer = {
        "id": parts.consumer_id,
        "tags": [owner_tag(owner), *noted],
        "username": entity_name(parts.key),
    }
    out = [Entity.of("consumers", consumer)]
    out += credential_entities(parts, node, owner, keeps=keeps)
    out += _groups(parts, limits, owner, is_let_in=is_let_in)
    if is_let_in:
        out += [closing.compile_closed(parts, api, *end, node, owner) for api, end in ended.items()]
    return out + [
        _limit(parts, api, service_id, windows, node, owner)
        for api, (service_id, windows) in limits.items()
    ]


def _groups(
    parts: ApplicationParts, limits: Limits, owner: str, *, is_let_in: bool
) -> Iterator[Entity]:
    # The group of the tenant lets the application into APIs without plans.
    if is_let_in:
        yield _group(parts, parts.key.tenant, [], owner)
    for subscription in _subscriptions(parts):
        if subscription.get("ended"):
            continue
        api = Key.parse_name(API, subscription["api"], parts.key.tenant)
        plan = subscription.get("plan")
        tags = [f"stoa-expires:{subscription['expiresAt']}"] if "expiresAt" in subscription else []
        if api in limits:
            tags.append(LIMITED)
        yield _group(parts, f"{entity_name(api)}.{plan}" if plan else entity_name(api), tags, owner)


def _group(parts: ApplicationParts, group: str, tags: list[str], owner: str) -> Entity:
    tree = {
        "consumer": {"id": parts.consumer_id},
        "group": group,
        "id": parts.key.identifier(owner, f"acl|{group}"),
        "tags": [owner_tag(owner), *tags],
    }
    return Entity.of("acls", tree)


def _limit(
    parts: ApplicationParts,
    api: Key,
    service_id: str,
    windows: Mapping[str, int],
    node: NodeInfo,
    owner: str,
) -> Entity:
    numbers = " ".join(f"{unit}={windows[unit]}" for unit in UNITS if unit in windows)
    tags = [owner_tag(owner), f"stoa-limit:{entity_name(api)} {numbers}"]
    identifier = parts.key.identifier(owner, f"limit|{entity_name(api)}")
    scope = {"consumer": parts.consumer_id, "service": service_id}
    config = config_of(windows, "consumer", node)
    return plugin_entity("rate-limiting", config, identifier, scope, tags, node)


def decompile_application(
    entities: Sequence[Entity], node: NodeInfo, owner: str, key: Key
) -> tuple[ApplicationParts, UnmappedFields]:
    """Return the application that entities stand for, ours or foreign, and its unmapped fields.

    Never raises on content: what cannot be read is an application of which nothing is known but its
    id. Limits are compared with what was written, not with the plans as they are now.
    """

    def unknown(reason: str) -> tuple[ApplicationParts, UnmappedFields]:
        consumers = (entity.id for entity in entities if entity.type == "consumers")
        value: Any = {"credentials": [], "subscriptions": []}
        parts = ApplicationParts(key, next(consumers, key.identifier(owner)), value)
        return parts, {APPLICATION: {UNREADABLE: reason}}

    return read_guarded(str(key), lambda: _decompile(entities, node, owner, key), unknown)


def _decompile(
    entities: Sequence[Entity], node: NodeInfo, owner: str, key: Key
) -> tuple[ApplicationParts, UnmappedFields]:
    found = group_consumer_entities(entities, node, owner)
    consumer = found.consumer or {}
    identifier = consumer.get("id") or key.identifier(owner)
    credentials = read_credentials(found.keys, found.jwts, key, owner)
    value: Any = {
        "credentials": [one.value for one in credentials],
        "subscriptions": _read_subscriptions(found, key),
    }
    numbers = credential_numbers(entities, key, owner)
    parts = ApplicationParts(key, identifier, value, numbers)
    try:
        rebuilt = _entities(parts, _read_limits(found), _read_ended(found), node, owner, keeps=True)
    except Inexpressible as error:
        return parts, {APPLICATION: {UNREADABLE: str(error)}}
    unsafe = {f"credentials.{index}.key": text for index, text in unsafe_keys(credentials)}
    is_same = {entity.text for entity in rebuilt} == {entity.text for entity in entities}
    if is_same and not unsafe:
        return parts, {}
    written = group_consumer_entities(rebuilt, node, owner)
    left = _unmapped_fields(
        found, written, credentials, credential_entities(parts, node, owner, keeps=True)
    )
    left |= unsafe
    if consumer.get("username") != entity_name(key) and has_owner_tag(consumer, owner):
        left["consumer.username"] = consumer.get("username")
    unmarked = mark_loss(consumer, owner, key.identifier(owner))
    if unmarked:
        left["consumer.tags"] = unmarked
    shown = [one.shown for one in credentials]
    return replace(parts, value={**value, "credentials": shown}), {
        APPLICATION: left
    } if left else {}


def _read_ended(found: ConsumerEntities) -> Ended:
    ended: dict[Key, tuple[str, str]] = {}
    for service_id, tree in (("", found.consumer or {}), *found.closed.items()):
        for name, end in closing.read_closed(tree):
            read = read_group(name)
            if read is not None:
                ended[read[0]] = service_id, end
    return ended


def _read_subscriptions(entities: ConsumerEntities, key: Key) -> list[JsonTree]:
    found: list[JsonTree] = [
        {"api": _name_of(api, key), "expiresAt": end, "ended": True}
        for api, (_, end) in _read_ended(entities).items()
    ]
    for acl in entities.acls:
        read = read_group(str(acl["group"]))
        if read is None:
            continue
        api, plan = read
        entry: JsonTree = {"api": _name_of(api, key)}
        if plan:
            entry["plan"] = plan
        expires = next(tag_values(acl, "expires"), "")
        if expires:
            entry["expiresAt"] = expires
        found.append(entry)
    return sorted(found, key=_order)


def _name_of(api: Key, application: Key) -> str:
    return api.name if api.tenant == application.tenant else f"{api.tenant}/{api.name}"


def _order(entry: Mapping[str, str]) -> tuple[str, str, str]:
    return entry["api"], entry.get("plan", ""), entry.get("expiresAt", "")


def read_group(group: str) -> tuple[Key, str] | None:
    """Return API and plan (empty for none) of a subscription's group; None for any other group."""
    names = group.split(".")
    if len(names) not in (2, 3) or not all(map(is_catalog_name, names)):
        return None
    return Key(API, names[0], names[1]), names[2] if len(names) == 3 else ""


def _read_limits(found: ConsumerEntities) -> Limits:
    limits: dict[Key, tuple[str, Mapping[str, int]]] = {}
    for service_id, tree in found.limits.items():
        for text in tag_values(tree, "limit"):
            name, words = parse_pairs(text)
            read = read_group(name)
            windows = {u: int(words[u]) for u in UNITS if words.get(u, "").isdecimal()}
            if read is not None and windows:
                limits[read[0]] = service_id, windows
    return limits


def _unmapped_fields(
    found: ConsumerEntities,
    rebuilt: ConsumerEntities,
    credentials: Sequence[Credential],
    written: Sequence[Entity],
) -> Fields:
    left = field_differences("consumers", found.consumer or {}, rebuilt.consumer or {}, "consumer.")
    for index, (one, entity) in enumerate(zip(credentials, written, strict=True)):
        left |= field_differences(one.entity_type, one.tree, entity.tree, f"credentials.{index}.")
    there, here = ({acl["group"] for acl in side.acls} for side in (found, rebuilt))
    left |= {f"groups.{group}": PRESENT for group in sorted(there - here)}
    left |= {f"groups.{group}": MISSING for group in sorted(here - there)}
    for service_id, tree in found.closed.items():
        written_there = rebuilt.closed.get(service_id)
        differs = plugin_differences(closing.PLUGIN, tree, written_there)
        left |= {f"ended.{service_id}.{field}": item for field, item in differs.items()}
    return left | dict(_unmapped_limits(found, rebuilt))


def _unmapped_limits(
    found: ConsumerEntities, rebuilt: ConsumerEntities
) -> Iterator[tuple[str, Json]]:
    for service_id, tree in found.limits.items():
        name = parse_pairs(next(tag_values(tree, "limit"), service_id))[0]
        left = plugin_differences("rate-limiting", tree, rebuilt.limits.get(service_id))
        yield from ((f"limits.{name}{'.' if field else ''}{field}", v) for field, v in left.items())
    named = {
        parse_pairs(text)[0] for tree in found.limits.values() for text in tag_values(tree, "limit")
    }
    for acl in found.acls:
        read = read_group(acl["group"]) if LIMITED in (acl.get("tags") or ()) else None
        if read is not None and entity_name(read[0]) not in named:
            yield f"limits.{entity_name(read[0])}", MISSING
    for tree in found.plugins:
        yield f"plugins.{tree['name']}", PRESENT


def _subscriptions(parts: ApplicationParts) -> Sequence[Mapping[str, Any]]:
    return cast("Sequence[Mapping[str, Any]]", parts.value["subscriptions"])
