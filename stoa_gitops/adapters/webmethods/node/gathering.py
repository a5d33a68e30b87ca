"""Puts together what a search found: the policy, actions and aliases of each API. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from stoa_gitops.adapters.webmethods.api.answers import trees_in
from stoa_gitops.adapters.webmethods.api.client import TYPES
from stoa_gitops.adapters.webmethods.entities.actions import STAGES
from stoa_gitops.adapters.webmethods.entities.held import HeldApi, HeldDefinition
from stoa_gitops.adapters.webmethods.entities.marks import Mark, read_mark, text_of
from stoa_gitops.adapters.webmethods.entities.names import runtime_path
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.backends import ROUTE
from stoa_gitops.adapters.webmethods.node.snapshot import (
    ApiGroup,
    Snapshot,
    build_group,
    consumers_of,
    owner_and_key,
)
from stoa_gitops.errors import GatewayBusy

_LAST: Final = len(STAGES)

Listed: TypeAlias = "Mapping[str, list[JsonTree]]"
"""What a search lists, by the types of `api.client.TYPES`."""


@dataclass(frozen=True)
class Gathered:
    """Everything that a search found, by id or name."""

    records: dict[str, JsonTree]
    policies: dict[str, JsonTree]
    actions: dict[str, JsonTree]
    aliases: dict[str, JsonTree]
    url_aliases: dict[str, JsonTree]
    applications: list[JsonTree]
    marked_aliases: dict[tuple[str, str], dict[str, JsonTree]] = field(default_factory=dict)
    marked_actions: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()


def listed_in(found: Mapping[str, Any]) -> Listed:
    """Return what a search found, by type.

    Raises GatewayMalformed where a kind is missing, GatewayBusy where one object is there twice.
    """
    listed = {kind: trees_in(found, kind) for kind in TYPES}
    for kind, trees in listed.items():
        _refuse_doubled(kind, trees)
    return listed


def gather(listed: Listed) -> Gathered:
    """Sort what a search found."""
    policies = _by(listed["policy"], "id")
    actions = _by(listed["policy_action"], "id")
    aliases = _by(listed["alias"], "name")
    uses: dict[str, int] = {}
    for policy in policies.values():
        for _, action_id in enforced(policy):
            uses[action_id] = uses.get(action_id, 0) + 1
    marked_aliases: dict[tuple[str, str], dict[str, JsonTree]] = {}
    for name, alias in aliases.items():
        mark = read_mark(alias.get("description"))
        if mark is not None and mark.key.tenant:
            marked_aliases.setdefault(_owner_of(mark), {})[name] = alias
    strays: dict[tuple[str, str], list[str]] = {}
    for action_id, action in actions.items():
        if action_id not in uses:
            mark = read_mark(text_of(action.get("descriptions")))
            if mark is not None:
                strays.setdefault(_owner_of(mark), []).append(action_id)
    return Gathered(
        _by(listed["api"], "id"),
        policies,
        actions,
        aliases,
        {str(one.get("alias")).strip("/"): one for one in listed["url_alias"]},
        # Without the tokens that some builds add; keys among the identifiers are compared only.
        [{n: v for n, v in one.items() if n != "accessTokens"}
         for one in listed["application"]],
        marked_aliases,
        strays,
        frozenset(action_id for action_id, count in uses.items() if count > 1),
    )  # fmt: skip


def _refuse_doubled(kind: str, trees: Sequence[JsonTree]) -> None:
    """Raise GatewayBusy for a list that has an id twice: another object may be missing in it."""
    seen: set[str] = set()
    for tree in trees:
        ident = tree.get("id")
        if isinstance(ident, str) and ident:
            if ident in seen:
                raise GatewayBusy(
                    f"the search lists the {kind} {ident} twice, so that another one may be "
                    "missing: it is read again"
                )
            seen.add(ident)


def _owner_of(mark: Mark) -> tuple[str, str]:
    return mark.owner, mark.key.short


def _by(trees: Sequence[JsonTree], name: str) -> dict[str, JsonTree]:
    return {
        one[name] if isinstance(one.get(name), str) else str(one.get("id") or index): one
        for index, one in enumerate(trees)
    }


def enforced(policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield stage and id of each action of a policy, in the order in which requests meet them."""
    stages = policy.get("policyEnforcements")
    found = [one for one in (stages if isinstance(stages, list) else ()) if isinstance(one, dict)]
    for stage in sorted(found, key=_position):
        placed = stage.get("enforcements")
        for one in placed if isinstance(placed, list) else ():
            if isinstance(one, dict) and isinstance(one.get("enforcementObjectId"), str):
                yield str(stage.get("stageKey")), one["enforcementObjectId"]


def _position(stage: Mapping[str, Any]) -> int:
    key = stage.get("stageKey")
    return STAGES.index(key) if key in STAGES else _LAST


def policy_id_of(record: Mapping[str, Any]) -> str:
    """Return the id of an API's own policy; empty where it says none."""
    listed = record.get("policies")
    first = listed[0] if isinstance(listed, list) and listed else ""
    return str(first.get("id") or "") if isinstance(first, dict) else str(first)


def held_actions(
    policy: Mapping[str, Any], actions: Mapping[str, JsonTree]
) -> tuple[tuple[JsonTree, ...], tuple[str, ...]]:
    """Return the actions of a policy, each with its `stage`, and the ids of those not there."""
    found, dangling = [], []
    for stage, action_id in enforced(policy):
        if action_id in actions:
            found.append({**actions[action_id], "stage": stage})
        else:
            dangling.append(action_id)
    return tuple(found), tuple(dangling)


def snapshot_of(
    gathered: Gathered,
    definitions: Mapping[str, HeldDefinition],
    info: GatewayInfo,
    owner: str,
    before: Snapshot | None,
) -> Snapshot:
    """Return the snapshot; groups of which nothing changed are the identical ones of before."""
    known = before.groups if before is not None and before.info == info else {}
    by_api, by_path = _url_aliases(gathered)
    groups: dict[str, ApiGroup] = {}
    for api_id, record in gathered.records.items():
        held = _held(gathered, record, definitions.get(api_id), info, by_api, by_path)
        groups[api_id] = _group(held, info, owner, known.get(api_id))
    for held in _leftovers(gathered, groups):
        group = build_group(held, info, owner)
        groups[group.root] = _group(held, info, owner, known.get(group.root))
    snapshot = _snapshot(gathered, groups, info, owner)
    consumers = consumers_of(snapshot.marked_applications, snapshot.links)
    changed = {
        root: build_group(group.held, info, owner, consumers.get(group.key, {}))
        for root, group in groups.items()
        if snapshot.is_own(root) and group.consumers != consumers.get(group.key, {})
    }
    if changed:
        snapshot = _snapshot(gathered, {**groups, **changed}, info, owner)
    if before is not None and _is_same(before, snapshot):
        return before
    return snapshot


def _snapshot(
    gathered: Gathered, groups: Mapping[str, ApiGroup], info: GatewayInfo, owner: str
) -> Snapshot:
    return Snapshot(
        info,
        owner,
        groups,
        gathered.applications,
        gathered.aliases,
        gathered.url_aliases,
        gathered.shared,
    )


def _is_same(before: Snapshot, after: Snapshot) -> bool:
    return (
        before.info == after.info
        and before.applications == after.applications
        and before.aliases == after.aliases
        and before.url_aliases == after.url_aliases
        and before.groups == after.groups
    )


def _group(held: HeldApi, info: GatewayInfo, owner: str, known: ApiGroup | None) -> ApiGroup:
    if known is not None and known.held == held:
        return known
    return build_group(held, info, owner)


def _url_aliases(
    gathered: Gathered,
) -> tuple[dict[str, list[JsonTree]], dict[str, list[JsonTree]]]:
    by_api: dict[str, list[JsonTree]] = {}
    by_path: dict[str, list[JsonTree]] = {}
    for alias in gathered.url_aliases.values():
        api_id = alias.get("apiId")
        if isinstance(api_id, str) and api_id:
            by_api.setdefault(api_id, []).append(alias)
        else:
            by_path.setdefault(str(alias.get("urlPath") or "").strip("/"), []).append(alias)
    return by_api, by_path


def _held(
    gathered: Gathered,
    record: JsonTree,
    definition: HeldDefinition | None,
    info: GatewayInfo,
    by_api: Mapping[str, list[JsonTree]],
    by_path: Mapping[str, list[JsonTree]],
) -> HeldApi:
    api_id = str(record.get("id") or "")
    policy = gathered.policies.get(policy_id_of(record))
    actions, dangling = held_actions(policy or {}, gathered.actions)
    path = runtime_path(str(record.get("apiName")), str(record.get("apiVersion")))
    leading = [*by_api.get(api_id, ()), *by_path.get(path, ())]
    held = HeldApi(record, policy, actions, {}, tuple(leading), definition, dangling)
    owner, key = owner_and_key(held, info)
    if owner:
        return replace(
            held,
            aliases=gathered.marked_aliases.get((owner, key.short), {}),
            strays=tuple(gathered.marked_actions.get((owner, key.short), ())),
        )
    return replace(held, aliases=dict(_named_aliases(gathered, held)))


def _named_aliases(gathered: Gathered, held: HeldApi) -> Iterator[tuple[str, JsonTree]]:
    """Yield the aliases that the routing of a foreign API names."""
    text = str((held.action(ROUTE) or {}).get("parameters"))
    for part in text.split("${")[1:]:
        name = part.partition("}")[0]
        if name in gathered.aliases:
            yield name, gathered.aliases[name]


def _leftovers(gathered: Gathered, groups: Mapping[str, ApiGroup]) -> Iterator[HeldApi]:
    """Yield what a deletion that stopped half way left: aliases without their API."""
    whole = {(group.owner, group.key.short) for group in groups.values() if group.held.record}
    for (owner, short), aliases in gathered.marked_aliases.items():
        if (owner, short) not in whole:
            strays = tuple(gathered.marked_actions.get((owner, short), ()))
            yield HeldApi({}, aliases=aliases, strays=strays)
