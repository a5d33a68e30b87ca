"""The list of kinds of objects on gateways: one KindInfo each, from which other lists derive.

A kind is the first part of a `Key`. The catalog's document kinds (`API`, `Tenant`, …) are another
list: one document can become several objects, and some documents become none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from stoa_gitops.model.keys import API, APPLICATION, POLICY

AUTH_SERVER: Final = "auth_server"
SCOPE: Final = "scope"
STRATEGY: Final = "strategy"
ALIAS: Final = "alias"
CONFIG: Final = "config"
GLOBAL_POLICY: Final = "global_policy"


@dataclass(frozen=True, slots=True)
class KindInfo:
    """One kind of object.

    name          as in `Key.kind`
    rank          position in the order of writes; deletions go the other way round
    capability    name of the capability that a gateway needs for it; with `by_type` only the
                  prefix of one per type (`policy:rate_limit`)
    is_extended   True for kinds that the documented adapter interface can only upsert; every
                  adapter lists, upserts and deletes the others
    aliases       other spellings of the name in keys, without `_` and `-`
    """

    name: str
    rank: int
    capability: str
    by_type: bool = False
    is_extended: bool = False
    aliases: tuple[str, ...] = ()


KINDS: Final = (
    KindInfo(AUTH_SERVER, 0, "auth_server", is_extended=True),
    KindInfo(SCOPE, 1, "scope", is_extended=True),
    KindInfo(STRATEGY, 2, "strategy", is_extended=True, aliases=("authstrategy",)),
    KindInfo(POLICY, 3, "policy", by_type=True),
    KindInfo(ALIAS, 4, "alias", is_extended=True),
    KindInfo(API, 5, "api"),
    KindInfo(APPLICATION, 6, "application"),
    KindInfo(CONFIG, 7, "config", is_extended=True, aliases=("gatewayconfig",)),
    KindInfo(GLOBAL_POLICY, 8, "global_policy", is_extended=True),
)
"""In the order of writes: what others need comes first."""

LAST_RANK: Final = 1 + max(info.rank for info in KINDS)
"""Rank of a kind that this version does not know, from an inventory of a later one."""

EXTENDED_CAPABILITIES: Final = tuple(info.capability for info in KINDS if info.is_extended)
"""Capability names of the kinds that most gateways do not have."""


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "")


_BY_PLAIN_NAME: Final = {
    _plain(name): info for info in KINDS for name in (info.name, *info.aliases)
}


@cache  # asked for every change that is sorted; there are about ten spellings of kinds
def kind_info(kind: str) -> KindInfo | None:
    """Return the description of a kind in any spelling; None for an unknown one."""
    return _BY_PLAIN_NAME.get(_plain(kind))
