"""What Gravitee's server fills in, rewrites and forgets, as data for the comparison. Pure.

Seen on 4.10.8 and 4.12.12 (contract gravitee.md C.3 and R.7). Configurations of plugins are
compared as subsets: what was declared must be there, and what a plugin fills in is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SETS: Final = frozenset(
    {
        "labels", "categories", "tags", "methods", "allowOrigin", "allowHeaders", "allowMethods",
        "exposeHeaders", "whitelistIps", "blacklistIps", "removeHeaders", "requiredScopes",
    }
)  # fmt: skip
"""Lists whose order the server does not keep, or that mean the same in any order."""

LISTS: Final = ("flows", "resources", "listeners", "endpointGroups", "plans")
"""Lists of a definition in which every item is ours: one more is somebody else's."""

CARRIED: Final = (
    "groups", "categories", "members", "pages", "metadata", "tags", "responseTemplates", "labels",
)  # fmt: skip
"""What people of the portal add to an API: a PUT without it would remove it (contract B.3)."""

SERVER_METADATA: Final = "email-support"
"""Entry of `metadata` that the server adds itself."""

FLOW: Final[Mapping[str, Any]] = {
    "subscribe": [], "publish": [], "connect": [], "entrypointConnect": [], "interact": [],
    "tags": [],
}  # fmt: skip
"""Fields that the server adds to a flow; `connect` up to 4.11."""

FAILOVER: Final[Mapping[str, Any]] = {
    "enabled": False, "maxRetries": 2, "slowCallDuration": 2000, "openStateDuration": 10000,
    "maxFailures": 5, "perSubscription": True,
}  # fmt: skip

HTTP: Final[Mapping[str, int]] = {
    "connectTimeout": 3000, "readTimeout": 10000, "idleTimeout": 60000,
    "maxConcurrentConnections": 20,
}  # fmt: skip
"""Of an endpoint group's `sharedConfiguration.http`; `idleTimeout` is 0 up to 4.11. In ms."""
