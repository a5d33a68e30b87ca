"""The assets of one API, and of one application, in an archive. Pure.

What is on the gateway keeps its ids; what is new gets ids that follow from ours, so that a second
import of the same is the same objects. An archive sets the state of an API, too: one that is to be
served says so, for `isActive: false` takes a live one down (contract webmethods.md A.10).
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stoa_gitops.adapters.webmethods.entities.actions import Action
from stoa_gitops.adapters.webmethods.entities.archive import (
    ACTION,
    ALIAS,
    API,
    APPLICATION,
    POLICY,
    Asset,
)
from stoa_gitops.adapters.webmethods.entities.held import HeldApi
from stoa_gitops.adapters.webmethods.entities.marks import Mark, localised, read_mark
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.apis import CompiledApi
from stoa_gitops.adapters.webmethods.mapping.archive_definition import (
    kept_definition,
    server_urls,
)


def derived_id(identifier: str, *parts: object) -> str:
    """Return the id of a part of an object of ours."""
    return str(uuid.uuid5(uuid.UUID(identifier), "/".join(map(str, parts))))


def api_assets(
    compiled: CompiledApi,
    held: HeldApi,
    exported: Mapping[str, JsonTree],
    owner: str,
    *,
    policy_id: str,
    enforcements: Sequence[JsonTree],
    actions: Sequence[tuple[str, Action]],
) -> list[Asset]:
    """Return an API with its policy, actions and new aliases.

    exported      what an export holds of it, by `<kind>.<id>`
    enforcements  stages of the policy, with the ids of `actions`
    """
    identifier = compiled.key.identifier(owner)
    api_id = held.api_id or identifier
    mark = Mark(owner, compiled.key).text
    known = {str(one.get("id")) for one in held.actions}
    policy_base = exported.get(f"{POLICY}.{policy_id}")
    api = Asset(
        API,
        api_id,
        f"{compiled.body['apiName']}[{compiled.body['apiVersion']}]",
        _record(compiled, held, exported.get(f"{API}.{api_id}"), api_id, policy_id),
        (f"{POLICY}.{policy_id}",),
        is_new=not held.record,
    )
    policy = Asset(
        POLICY,
        policy_id,
        f"Policy of {compiled.body['apiName']}",
        _policy(compiled, policy_base, policy_id, enforcements),
        tuple(f"{ACTION}.{action_id}" for action_id, _ in actions),
        api.folder,
        is_new=policy_base is None and not held.record,
    )
    found = [api, policy]
    for action_id, action in actions:
        content = {**action.body(mark, action_id)["policyAction"], "active": False}
        is_new = action_id not in known
        name = f"{action.template} of {compiled.body['apiName']}"
        found.append(Asset(ACTION, action_id, name, content, (), policy.folder, is_new))
    for name, alias in compiled.aliases.items():
        if name not in held.aliases:
            alias_id = derived_id(identifier, "alias", name)
            content = {**alias, "id": alias_id, "owner": "Administrator"}
            found.append(Asset(ALIAS, alias_id, name, content, is_new=True))
    return found


def _record(
    compiled: CompiledApi, held: HeldApi, base: JsonTree | None, api_id: str, policy_id: str
) -> JsonTree:
    body = compiled.body
    fields = {
        "apiName": body["apiName"],
        "apiVersion": body["apiVersion"],
        "apiDescription": body["apiDescription"],
        "isActive": compiled.active,
        "id": api_id,
        **({"maturityState": body["maturityState"]} if "maturityState" in body else {}),
    }
    if base is None:
        start: JsonTree = {
            "maturityState": "Beta", "type": "REST", "owner": "Administrator", "scopes": [],
            "tracingEnabled": False, "publishedPortals": [], "systemVersion": 1,
        }  # fmt: skip
    else:
        start = base
    found = {**start, **fields, "policies": [policy_id]}
    if base is None or not has_definition(compiled, held):
        document = body["apiDefinition"]
        found["apiDefinition"] = kept_definition(document, str(body["apiName"]))
        found["referencedFiles"] = {body["apiName"]: json.dumps(document, ensure_ascii=False)}
        found["nativeEndpoint"] = [
            {
                "uri": url,
                "passSecurityHeaders": True,
                "connectionTimeoutDuration": 0,
                "alias": False,
            }
            for url in server_urls(document)
        ]
    return found


def has_definition(compiled: CompiledApi, held: HeldApi) -> bool:
    """Whether what is there was made of the same document, and nobody changed it since."""
    if "apiDefinition" not in compiled.body:
        return True
    mark = read_mark(held.record.get("apiDescription"))
    wanted = read_mark(compiled.body["apiDescription"])
    return (
        mark is not None
        and wanted is not None
        and mark.words == wanted.words
        and held.definition is not None
        and held.definition.printed == compiled.printed
        and held.definition.is_as_stored(compiled.content)
        and held.definition.title == compiled.body["apiDefinition"]["info"]["title"]
    )


def _policy(
    compiled: CompiledApi,
    base: JsonTree | None,
    policy_id: str,
    enforcements: Sequence[JsonTree],
) -> JsonTree:
    name = f"Default Policy for API {compiled.body['apiName']}"
    return {
        "names": localised(name),
        "scope": {"scopeConditions": []},
        "policyScope": "SERVICE",
        "global": False,
        "active": False,
        "systemPolicy": False,
        **(base or {}),
        "id": policy_id,
        "descriptions": localised(compiled.memory),
        "policyEnforcements": list(enforcements),
    }


def place_actions(
    compiled: CompiledApi, held: HeldApi, shared: Collection[str], owner: str
) -> tuple[list[tuple[str, Action]], tuple[str, ...]]:
    """Return each action with its id, and the ids of actions that no policy has afterwards.

    An action that another policy has, too, is left to that one.
    """
    identifier = compiled.key.identifier(owner)
    left = [one for one in held.actions if str(one.get("id")) not in shared]
    taken = {str(one.get("id")) for one in held.actions} | set(held.strays)
    found: list[tuple[str, Action]] = []
    for action in compiled.actions:
        place = action.stage, action.template
        other = next(
            (one for one in left if (one.get("stage"), one.get("templateKey")) == place), None
        )
        if other is not None:
            left.remove(other)
            found.append((str(other["id"]), action))
            continue
        ids = (derived_id(identifier, "action", *place, number) for number in itertools.count(1))
        action_id = next(one for one in ids if one not in taken)
        taken.add(action_id)
        found.append((action_id, action))
    return found, (*(str(one.get("id")) for one in left), *held.strays)


def application_asset(
    application: Mapping[str, Any], application_id: str, held: JsonTree | None, apis: Sequence[str]
) -> Asset:
    """Return an application with its links; what is not ours of it stays as it is."""
    start: JsonTree = held or {
        "version": "1.0", "owner": "Administrator", "authStrategyIds": [],
    }  # fmt: skip
    content = {**start, **application, "id": application_id, "consumingAPIs": list(apis)}
    return Asset(
        APPLICATION,
        application_id,
        str(application["name"]),
        content,
        is_new=held is None,
    )
