"""Maps applications to Gravitee's applications, subscriptions and keys, and back. Pure.

A right to call is a subscription of Gravitee. Where every application of a tenant may call an API,
each of them gets one; those that a document names are also kept in the mark of the application.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.gravitee.entities.consumers import (
    ACCEPTED,
    LIVE,
    HeldApi,
    HeldSubscription,
    WantedSubscription,
)
from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.marks import (
    ApplicationMark,
    fingerprint,
    read_application_mark,
)
from stoa_gitops.adapters.gravitee.entities.parts import ApplicationParts, GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.losses import Inexpressible
from stoa_gitops.adapters.gravitee.mapping.plans import CREDENTIALS, OPEN, PlanName
from stoa_gitops.adapters.gravitee.mapping.rules import application_losses
from stoa_gitops.adapters.gravitee.mapping.texts import read_text
from stoa_gitops.adapters.gravitee.mapping.unmapped_fields import HIDDEN, MISSING, PRESENT
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.secret import WITHHELD, Secret

_MARK_LENGTH: Final = 3900
"""Characters of a mark: the column of descriptions holds 4,000 (Gravitee's JDBC schema)."""

Fields = dict[str, Json]


def compile_application(parts: ApplicationParts, owner: str) -> JsonTree:
    """Return an application in the form of the Automation API, secrets in it.

    Raises Inexpressible for what Gravitee cannot hold, SecretUnresolved for a credential without a
    value.
    """
    value: Any = parts.value
    whole = [loss.message for loss in application_losses(value) if not loss.is_partial]
    if whole:
        raise Inexpressible("; ".join(whole))
    for index, credential in enumerate(value["credentials"], 1):
        if any(item is None for item in credential.values()):
            raise SecretUnresolved(
                f"{parts.key}: credential {index} ({credential['type']}) leads nowhere"
            )
    mark = _mark_of(parts, owner).text
    if len(mark) > _MARK_LENGTH:
        raise Inexpressible(
            f"its credentials and subscriptions take {len(mark)} characters of a description, of "
            f"which Gravitee keeps {_MARK_LENGTH}"
        )
    client = client_id(parts)
    # Without a type the Automation API calls the settings incomplete.
    app = {"type": "stoa", **({"clientId": Secret(client)} if client else {})}
    return {
        "hrid": hrid_of(parts.key),
        "name": value["displayName"],
        "description": mark,
        "settings": {"app": app},
        "notifyMembers": False,
    }


def client_id(parts: ApplicationParts) -> str:
    """Return the client id of an application's tokens; empty for none."""
    value: Any = parts.value
    found = (one["clientId"] for one in value["credentials"] if one["type"] == "jwt")
    return next((one.reveal() if isinstance(one, Secret) else str(one) for one in found), "")


def api_keys(parts: ApplicationParts) -> list[str]:
    """Return the keys of an application, each once."""
    value: Any = parts.value
    found = (one["key"] for one in value["credentials"] if one["type"] == "api_key")
    return list(dict.fromkeys(one.reveal() if isinstance(one, Secret) else one for one in found))


def _mark_of(parts: ApplicationParts, owner: str) -> ApplicationMark:
    value: Any = parts.value
    credentials = []
    for one in value["credentials"]:
        secret = one["key"] if one["type"] == "api_key" else one["clientId"]
        text = secret.reveal() if isinstance(secret, Secret) else str(secret)
        credentials.append((str(one["type"]), fingerprint(text)))
    return ApplicationMark(owner, parts.key, tuple(credentials), tuple(value["subscriptions"]))


def wanted_subscriptions(
    key: Key,
    credential_types: Iterable[str],
    subscriptions: Iterable[Mapping[str, Any]],
    apis: Mapping[Key, HeldApi],
) -> list[WantedSubscription]:
    """Return the subscriptions of Gravitee that an application needs, by API and plan."""
    known = set(credential_types)
    named: set[Key] = set()
    found: list[WantedSubscription] = []
    for one in subscriptions:
        api_key = Key.parse_name(API, str(one["api"]), key.tenant)
        named.add(api_key)
        api = apis.get(api_key)
        if api is not None and not one.get("ended"):
            end = str(one.get("expiresAt", ""))
            found += _of_plan(api, str(one.get("plan", "")), known, end)
    for api_key, api in apis.items():
        is_open_to_tenant = api_key.tenant == key.tenant and not api.is_subscribed
        if is_open_to_tenant and api_key not in named and not api.has_plans:
            found += _of_plan(api, "", known, "")
    # Twice the same right: the one that lasts longer counts.
    by_plan: dict[str, WantedSubscription] = {}
    for wanted in sorted(found, key=lambda one: (one.label, bool(one.ending_at), one.ending_at)):
        held = by_plan.get(wanted.plan_id)
        if held is None or (held.ending_at and held.ending_at < wanted.ending_at):
            by_plan[wanted.plan_id] = wanted
    return list(by_plan.values())


def _of_plan(api: HeldApi, plan: str, known: set[str], end: str) -> Iterator[WantedSubscription]:
    for plan_id, (name, security) in api.plans.items():
        if name == plan and security != OPEN and CREDENTIALS[security] in known:
            hrid = PlanName(name, security).hrid
            yield WantedSubscription(api, plan_id, hrid, security, end)


def decompile_application(
    tree: Mapping[str, Any],
    info: GatewayInfo,
    apis: Mapping[Key, HeldApi],
    held: Iterable[tuple[HeldApi, HeldSubscription]],
    key: Key,
) -> tuple[ApplicationParts, Fields]:
    """Return the application that Gravitee's stands for, ours or foreign, and its unmapped fields.

    `held` are its subscriptions. Never raises on content.
    """
    del info

    def unknown(reason: str) -> tuple[ApplicationParts, Fields]:
        value: Any = {"displayName": "", "credentials": [], "subscriptions": []}
        parts = ApplicationParts(key, value, str(tree.get("id") or ""))
        return parts, {UNREADABLE: reason}

    return read_guarded(str(key), partial(_decompile, tree, apis, list(held), key), unknown)


def _decompile(
    tree: Mapping[str, Any],
    apis: Mapping[Key, HeldApi],
    held: list[tuple[HeldApi, HeldSubscription]],
    key: Key,
) -> tuple[ApplicationParts, Fields]:
    mark = read_application_mark(tree.get("description"))
    client = _held_client(tree)
    if mark is None:
        value: Any = {
            "displayName": read_text(tree.get("name")),
            "credentials": list(_foreign_credentials(client, held)),
            "subscriptions": list(_foreign_subscriptions(held, key)),
        }
        return ApplicationParts(key, value, str(tree.get("id") or "")), {}
    types = [kind for kind, _ in mark.credentials]
    value = {
        "displayName": read_text(tree.get("name")),
        "credentials": [_shown(kind) for kind in types],
        "subscriptions": [dict(one) for one in mark.subscriptions],
    }
    parts = ApplicationParts(key, value, str(tree.get("id") or ""))
    left: Fields = {}
    for index, (kind, printed) in enumerate(mark.credentials):
        if kind == "jwt" and printed != fingerprint(client):
            left[f"credentials.{index}.clientId"] = HIDDEN
    wanted = wanted_subscriptions(key, types, mark.subscriptions, apis)
    keys = frozenset(printed for kind, printed in mark.credentials if kind == "api_key")
    left |= dict(_subscription_differences(wanted, held, keys))
    return parts, left


def _held_client(tree: Mapping[str, Any]) -> str:
    app = (tree.get("settings") or {}).get("app") or {}
    return str(app.get("client_id") or app.get("clientId") or "")


def _shown(kind: str) -> JsonTree:
    return {"type": kind, "key" if kind == "api_key" else "clientId": WITHHELD}


def _subscription_differences(
    wanted: list[WantedSubscription],
    held: list[tuple[HeldApi, HeldSubscription]],
    keys: frozenset[str],
) -> Iterator[tuple[str, Json]]:
    live = {one.plan_id: one for _, one in held if one.status in LIVE}
    for one in wanted:
        at = f"subscriptions.{one.label}"
        there = live.pop(one.plan_id, None)
        if there is None:
            yield at, MISSING
        elif there.status != ACCEPTED:
            yield f"{at}.status", there.status
        elif not is_same_time(one.ending_at, there.ending_at):
            yield f"{at}.endingAt", there.ending_at or MISSING
        elif CREDENTIALS[one.security] == "api_key" and there.prints != keys:
            yield f"{at}.keys", HIDDEN
    names = {plan: api for api, one in held for plan in (one.plan_id,)}
    for plan_id in live:
        api = names[plan_id]
        plan = api.plans.get(plan_id, ("", ""))[0] or plan_id
        yield f"subscriptions.{api.key.short}.{plan}", PRESENT


def is_same_time(one: str, other: str) -> bool:
    """Whether two times of RFC 3339 are the same moment; empty is none."""
    if not one or not other:
        return one == other
    try:
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except ValueError:
        return False


def _foreign_credentials(
    client: str, held: list[tuple[HeldApi, HeldSubscription]]
) -> Iterator[JsonTree]:
    live = [(api, one) for api, one in held if one.status == ACCEPTED]
    kinds = {CREDENTIALS.get(api.plans.get(one.plan_id, ("", ""))[1]) for api, one in live}
    prints = {printed for _, one in live for printed in one.prints}
    # Its keys may not have been read.
    for _ in range(max(len(prints), 1) if "api_key" in kinds else 0):
        yield _shown("api_key")
    if client:
        yield _shown("jwt")


def _foreign_subscriptions(
    held: list[tuple[HeldApi, HeldSubscription]], key: Key
) -> list[JsonTree]:
    found: dict[tuple[str, str], JsonTree] = {}
    for api, one in held:
        plan, _ = api.plans.get(one.plan_id, ("", ""))
        name = api.key.name if api.key.tenant == key.tenant else api.key.short
        if one.status == ACCEPTED:
            entry: JsonTree = {"api": name, **({"plan": plan} if plan else {})}
            if one.ending_at:
                entry["expiresAt"] = one.ending_at
            found[name, plan] = entry
    return [found[at] for at in sorted(found)]
