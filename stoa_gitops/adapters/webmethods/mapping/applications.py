"""Maps applications to webMethods' applications with identifiers and links, and back. Pure.

A right to call is a link of the application to the API. It has no end of its own: one that is over
is a link less.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.webmethods.entities.actions import HIDDEN, MISSING, PRESENT
from stoa_gitops.adapters.webmethods.entities.links import Link, LinkedApi
from stoa_gitops.adapters.webmethods.entities.marks import (
    Mark,
    application_words,
    fingerprint,
    read_credentials,
    read_mark,
    read_subscriptions,
)
from stoa_gitops.adapters.webmethods.entities.parts import ApplicationParts, JsonTree
from stoa_gitops.adapters.webmethods.mapping.access import IDENTIFICATION, KEY, TOKEN
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.adapters.webmethods.mapping.rules import application_losses
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.secret import WITHHELD, Secret

_NAME: Final = "stoa-gitops"
"""Name of our identifiers, for people."""

_FIELDS: Final[Mapping[str, str]] = {KEY: "key", TOKEN: "clientId"}
"""Type of credential -> the field with its secret."""

_RESET: Final[Mapping[str, Any]] = {
    "isSuspended": False, "siteURLs": [], "jsOrigins": [], "authStrategyIds": [],
}  # fmt: skip
"""Fields of an application of ours that somebody may have set by hand, with what they should be."""

Fields = dict[str, Json]


def compile_application(parts: ApplicationParts, owner: str) -> JsonTree:
    """Return the fields of an application that are ours, secrets in it.

    Raises Inexpressible for what webMethods cannot hold, SecretUnresolved for a credential without
    a value.
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
    return {
        "name": value["displayName"],
        "description": _mark_of(parts, owner).text,
        "contactEmails": [value["owner"]] if value.get("owner") else [],
        "identifiers": list(_identifiers(value["credentials"])),
        **_RESET,
    }


def _identifiers(credentials: Iterable[Mapping[str, Any]]) -> Iterator[JsonTree]:
    by_type: dict[str, list[Secret]] = {}
    for one in credentials:
        text = _text(one[_FIELDS[one["type"]]])
        wanted = Secret(text if one["type"] == KEY else claims_of(text))
        if wanted not in by_type.setdefault(one["type"], []):
            by_type[one["type"]].append(wanted)
    for sort, values in by_type.items():
        yield {"key": IDENTIFICATION[sort], "name": _NAME, "value": values}


def claims_of(client: str) -> str:
    """Return the claims by which a token of a client is known (`azp` of OpenID Connect)."""
    return json.dumps({"azp": client}, separators=(",", ":"))


def _text(secret: object) -> str:
    return secret.reveal() if isinstance(secret, Secret) else str(secret)


def _mark_of(parts: ApplicationParts, owner: str) -> Mark:
    value: Any = parts.value
    credentials = []
    for one in value["credentials"]:
        text = _text(one[_FIELDS[one["type"]]])
        printed = fingerprint(text if one["type"] == KEY else claims_of(text))
        credentials.append((str(one["type"]), printed))
    words = application_words(credentials, list(value["subscriptions"]))
    return Mark(owner, parts.key, words)


def wanted_links(
    key: Key,
    credential_types: Iterable[str],
    subscriptions: Iterable[Mapping[str, Any]],
    apis: Mapping[Key, LinkedApi],
) -> list[Link]:
    """Return the links that an application needs, one for each API and plan."""
    known = set(credential_types)
    named: set[Key] = set()
    found: dict[tuple[Key, str], Link] = {}
    for one in subscriptions:
        api_key = Key.parse_name(API, str(one["api"]), key.tenant)
        named.add(api_key)
        api, plan = apis.get(api_key), str(one.get("plan", ""))
        if api is None or one.get("ended") or not _fits(api, plan, known):
            continue
        found[api_key, plan] = Link(api, plan)
    for api_key, api in apis.items():
        is_open = api_key.tenant == key.tenant and not api.is_subscribed and not api.plans
        if is_open and api.credentials and api_key not in named and _fits(api, "", known):
            found[api_key, ""] = Link(api)
    return [found[at] for at in sorted(found)]


def _fits(api: LinkedApi, plan: str, known: set[str]) -> bool:
    """Whether a subscription gives access: a plan that is gone, or no key for it, gives none."""
    if api.plans and plan not in api.plans:
        return False
    return not api.credentials or not known.isdisjoint(api.credentials)


def decompile_application(
    tree: Mapping[str, Any], key: Key, apis: Mapping[Key, LinkedApi]
) -> tuple[ApplicationParts, Fields]:
    """Return the application that webMethods' stands for, ours or foreign, and its unmapped fields.

    Never raises on content.
    """

    def unknown(reason: str) -> tuple[ApplicationParts, Fields]:
        value: Any = {"displayName": "", "credentials": [], "subscriptions": []}
        return ApplicationParts(key, value, str(tree.get("id") or "")), {UNREADABLE: reason}

    return read_guarded(str(key), partial(_decompile, tree, key, apis), unknown)


def _decompile(
    tree: Mapping[str, Any], key: Key, apis: Mapping[Key, LinkedApi]
) -> tuple[ApplicationParts, Fields]:
    mark = read_mark(tree.get("description"), APPLICATION)
    application_id = str(tree.get("id") or "")
    emails = tree.get("contactEmails") or []
    linked = linked_apis(tree)
    if mark is None:
        credentials = [_shown(kind) for kind, _ in sorted(held_prints(tree))]
        subscriptions = list(_foreign_subscriptions(linked, key, apis))
    else:
        credentials = [_shown(kind) for kind, _ in read_credentials(mark)]
        subscriptions = read_subscriptions(mark)
    value: Any = {
        "displayName": str(tree.get("name") or ""),
        "credentials": credentials,
        "subscriptions": subscriptions,
        **({"owner": str(emails[0])} if emails else {}),
    }
    parts = ApplicationParts(key, value, application_id)
    if mark is None:
        return parts, {}
    left: Fields = dict(_identifier_differences(mark, tree))
    types = [kind for kind, _ in read_credentials(mark)]
    wanted = {one.api.api_id: one.api for one in wanted_links(key, types, subscriptions, apis)}
    for api_id, api in wanted.items():
        if api_id not in linked:
            left[f"apis.{api.key.short}"] = MISSING
    names = {api.api_id: api.key.short for api in apis.values()}
    for api_id in linked - wanted.keys():
        left[f"apis.{names.get(api_id, api_id)}"] = PRESENT
    for field, reset in _RESET.items():
        if (tree.get(field) or reset) != reset:
            left[field] = PRESENT
    if len(emails) > 1:
        left["contactEmails"] = PRESENT
    return parts, left


def linked_apis(tree: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the APIs that an application is linked to."""
    found = tree.get("consumingAPIs")
    return frozenset(
        str(one.get("id") or one.get("apiId") or "") if isinstance(one, Mapping) else str(one)
        for one in (found if isinstance(found, list) else ())
    )


def held_prints(tree: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return kind and fingerprint of each identifier that a credential of the catalog can be."""
    kinds = {name: sort for sort, name in IDENTIFICATION.items()}
    found = set()
    for one in tree.get("identifiers") or ():
        sort = kinds.get(str(one.get("key")))
        for value in one.get("value") or one.get("swaggerValue") or ():
            if sort is not None:
                found.add((sort, fingerprint(str(value))))
    return found


def _identifier_differences(mark: Mark, tree: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    wanted, held = read_credentials(mark), held_prints(tree)
    for index, (kind, printed) in enumerate(wanted):
        if (kind, printed) not in held:
            yield f"credentials.{index}.{_FIELDS.get(kind, kind)}", HIDDEN
    if len(held - set(wanted)):
        yield "identifiers", PRESENT
    known = set(IDENTIFICATION.values())
    for one in tree.get("identifiers") or ():
        if one.get("key") not in known and (one.get("value") or one.get("swaggerValue")):
            yield f"identifiers.{one.get('key')}", PRESENT


def _shown(kind: str) -> JsonTree:
    return {"type": kind, _FIELDS[kind]: WITHHELD}


def _foreign_subscriptions(
    linked: frozenset[str], key: Key, apis: Mapping[Key, LinkedApi]
) -> Iterator[JsonTree]:
    for api_key, api in sorted(apis.items()):
        if api.api_id in linked:
            name = api_key.name if api_key.tenant == key.tenant else api_key.short
            yield {"api": name}
