"""Ends the subscriptions of applications to which the API's tenant no longer consents. Pure.

Whether such a right ends must not depend on the application's own document, which another tenant
writes: it may be broken, protected, held back, or leave the field to the gateway. So what the
gateway has loses the right first, as it was applied last, and follows its document afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from stoa_gitops.foundation.frozen_sets import frozen
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import AppliedRecord, Observed, PlanHints, Resource, SourceRef
from stoa_gitops.planning.ended_places import ENDED_PLACE
from stoa_gitops.planning.subscriptions import subscribed_keys

# A cheap test on canonical bytes: only an API of another tenant is written with a slash.
_ACROSS: Final = re.compile(rb'"api":"[^"/]+/')

ENDED: Final = "ends what the API's tenant does not consent to"
"""Part of the reason of a change, and of outputs."""

_LAST: Final = "(last applied"


class Consents:
    """Who may subscribe to which plans, by what is desired of all APIs of a gateway.

    An API that is not there, or whose document is broken, takes no consent back.
    """

    def __init__(self, apis: Mapping[Key, Resource]) -> None:
        self._apis = apis

    def refuse_any(self, spec: Spec, application: Key) -> bool:
        """Whether an application has a subscription that its API does not take."""
        if _ACROSS.search(spec.raw) is None:
            return False
        return any(
            self._refuses(item, api, application)
            for item, api in subscribed_keys(spec.value, application)
        )

    def permitted(self, spec: Spec, application: Key) -> Spec:
        """Return a spec without the subscriptions that are refused."""
        tree = spec.value
        kept = [
            item
            for item, api in subscribed_keys(tree, application)
            if not self._refuses(item, api, application)
        ]
        return Spec.of({**tree, "subscriptions": kept})

    def _refuses(self, item: JsonObject, key: Key, application: Key) -> bool:
        api = self._apis.get(key)
        if api is None or key.kind != API or key.tenant == application.tenant:
            return False
        plan = str(item.get("plan", ""))
        takers = api.hints.subscribers
        return (plan, application.tenant) not in takers and (plan, "*") not in takers


def with_ended_rights(
    wanted: Mapping[Key, Resource],
    managed: Mapping[Key, Observed],
    last: Mapping[Key, AppliedRecord],
    consents: Consents,
) -> tuple[Mapping[Key, Resource], frozenset[Key]]:
    """Return what is wanted without refused subscriptions, and which objects lose some now.

    The identical mapping where nothing is refused.
    """
    found: dict[Key, Resource] = {}
    for key, seen in managed.items():
        if key.kind == APPLICATION and consents.refuse_any(seen.spec, key):
            found[key] = _without_rights(key, wanted.get(key), seen, last.get(key), consents)
    ending = frozen(found)
    for key, resource in wanted.items():
        if key.kind != APPLICATION or key in found:
            continue
        if consents.refuse_any(resource.spec, key):
            found[key] = replace(resource, spec=consents.permitted(resource.spec, key))
    return ({**wanted, **found} if found else wanted), ending


def _without_rights(
    key: Key,
    resource: Resource | None,
    seen: Observed,
    record: AppliedRecord | None,
    consents: Consents,
) -> Resource:
    """Return what is on the gateway without what is refused, whatever the document asks."""
    if record is not None:
        source = SourceRef(f"{_LAST} at {record.revision})")
        spec, hints = record.spec, PlanHints(protected=record.protected)
    elif resource is not None:
        hints = replace(resource.hints, ignore_fields=())
        source, spec = resource.source, resource.spec
    else:
        # What a gateway shows of credentials is a mask, and a mask is not written.
        source, hints = SourceRef(f"{_LAST}, nothing is known of it)"), PlanHints()
        spec = Spec.of({**seen.spec.value, "credentials": []})
    return Resource(key, consents.permitted(spec, key), source, hints)


def has_ended_rights(plan: Plan) -> bool:
    """Whether applying a plan ends rights: the objects follow their documents in the next one."""
    return any(change.reason.startswith((ENDED, ENDED_PLACE)) for change in plan.changes)
