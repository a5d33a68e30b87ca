"""Tells who may call foreign APIs, and what of that no document of an application says. Pure.

Read for documents alone: no plan needs it, and it takes calls for each API and each key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.consumers import (
    ACCEPTED,
    PAUSED,
    PENDING,
    HeldApi,
    HeldSubscription,
)
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.plans import CREDENTIALS, OPEN, read_plan_name
from stoa_gitops.model.keys import Key
from stoa_gitops.model.unmapped import Unmapped

_PUBLISHED: Final = "PUBLISHED"
_ENDS: Final = "it ends when the application is adopted"
_STATES: Final[Mapping[str, str]] = {
    PENDING: f"not written, for nobody accepted it yet: {_ENDS}",
    PAUSED: f"not written, for it is paused, and a document has no word for that: {_ENDS}",
}
_TOKENS: Final = (
    "its plan asks for tokens, and no document says whose: write a policy jwt at the API before "
    "the two are adopted"
)
_KEYS: Final = (
    "each of its subscriptions has keys of its own: in a document every key of an application "
    "opens all of its subscriptions"
)


@dataclass(frozen=True, slots=True)
class ForeignAccess:
    """Who may call a foreign API.

    api     the API with the plans that a document can name, and all subscriptions
    others  plan id -> why no document names that plan
    unread  what was not read, because it would have taken too many calls; empty for nothing
    """

    api: HeldApi
    others: Mapping[str, str]
    unread: str = ""


def foreign_access(
    key: Key,
    api_id: str,
    plans: Sequence[JsonTree],
    subscriptions: Sequence[HeldSubscription],
    unread: str,
) -> ForeignAccess:
    """Return who may call a foreign API; any content is possible."""
    named: dict[str, tuple[str, str]] = {}
    others: dict[str, str] = {}
    for plan in plans:
        ident, name = str(plan.get("id")), read_plan_name(plan)
        shown = f"the plan {plan.get('name')}"
        if name is None:
            others[ident] = f"{shown} asks for credentials that no document has"
        elif plan.get("status") != _PUBLISHED:
            others[ident] = f"{shown} is {str(plan.get('status')).lower()}"
        elif name.security != OPEN:
            named[ident] = name.plan, name.security
    held = HeldApi(key, api_id, "", named, subscriptions=tuple(subscriptions))
    return ForeignAccess(held, others, unread)


def list_lost_access(
    application: Key, tree: Mapping[str, Any], accesses: Sequence[ForeignAccess]
) -> Iterator[Unmapped]:
    """Yield what of a foreign application's rights no document says, or says otherwise."""
    what, ident = f"application {tree.get('name')}", str(tree.get("id") or "")
    prints: set[frozenset[str]] = set()
    for access in accesses:
        api = access.api
        for one in api.subscriptions:
            if one.application_id != ident:
                continue
            plan, security = api.plans.get(one.plan_id, ("", ""))
            field = f"subscriptions.{api.key.short}{f'.{plan}' if plan else ''}"
            if one.status != ACCEPTED:
                effect = _STATES.get(one.status, f"not written: {_ENDS}")
                yield Unmapped(what, field, one.status, effect, application, changes=True)
            elif not security:
                reason = access.others.get(one.plan_id, "its plan is gone")
                effect = f"not written, for {reason}: {_ENDS}"
                yield Unmapped(what, field, "", effect, application, changes=True)
            elif CREDENTIALS[security] == "jwt":
                yield Unmapped(what, field, "", _TOKENS, application, changes=True)
            elif one.prints:
                prints.add(one.prints)
    if len(prints) > 1:
        yield Unmapped(what, "keys", "", _KEYS, application, changes=True)
