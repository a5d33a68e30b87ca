"""Reports what foreign APIs hold that no document of the catalog can express. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE
from stoa_gitops.adapters.gravitee.mapping.unmapped_fields import HIDDEN, PRESENT
from stoa_gitops.adapters.gravitee.node.foreign_access import list_lost_access
from stoa_gitops.adapters.gravitee.node.snapshot import ApiGroup, Snapshot
from stoa_gitops.model.keys import API
from stoa_gitops.model.unmapped import Unmapped

LOST: Final = "replaced by what the document says when the API is adopted"
KEPT: Final = "left as it is: no document can express it"

_STEP: Final = re.compile(r"(?:plans\..+\.)?flows\.\d+\.([^.]+)")
_LET_IN: Final = frozenset(
    {
        "assign-attributes", "cache", "data-cache", "data-logging-masking", "dynamic-routing",
        "gzip", "html-json", "http-redirect", "json-to-json", "json-xml", "latency", "log",
        "metrics-reporter", "mock", "policy-assign-content", "policy-assign-metrics",
        "policy-dynamic-routing", "policy-override-request-method", "quota", "rate-limit",
        "rest-to-soap", "retry", "spike-arrest", "traffic-shadowing", "transform-headers",
        "transform-queryparams", "url-rewriting", "xml-json", "xslt",
    }
)  # fmt: skip
"""Policies that let everybody in (https://documentation.gravitee.io/apim, Policies): any other is
taken for one that keeps some out.
"""

_HARMLESS: Final = ("endpointGroups.0.name", "endpointGroups.0.endpoints.0.name")


def list_unmapped(snapshot: Snapshot) -> tuple[Unmapped, ...]:
    """Return what no item of `list_*` expresses of the foreign APIs."""
    found = [
        one
        for group in snapshot.named_groups
        if not snapshot.is_own(group.api_id)
        for one in _of_group(group)
    ]
    accesses = snapshot.foreign_accesses
    for key, tree in snapshot.foreign_applications:
        found += list_lost_access(key, tree, accesses)
    return tuple(sorted(found, key=lambda one: one.order))


def _of_group(group: ApiGroup) -> Iterator[Unmapped]:
    if group.foreign is not None and group.foreign.unread:
        what, effect = f"API {group.name}", f"not read: {group.foreign.unread}"
        yield Unmapped(what, "subscriptions", "", effect, group.key, changes=True)
    for holder, fields in group.unmapped.items():
        key = group.key if holder == API else group.key.policy(holder)
        for field, value in fields.items():
            if field == UNREADABLE:
                yield Unmapped(f"API {group.name}", "", "", f"{KEPT}: {value}", group.key)
            elif field not in _HARMLESS:
                shown = "" if value in (PRESENT, HIDDEN) else str(value)
                yield Unmapped(
                    f"API {group.name}", field, shown, LOST, key, True, _keeps_out(field)
                )


def _keeps_out(field: str) -> bool:
    """Whether a field is a step that refuses requests for who sends them, or what they ask."""
    found = _STEP.fullmatch(field)
    return found is not None and found[1] not in _LET_IN
