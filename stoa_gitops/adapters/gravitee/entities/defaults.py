"""What Gravitee's server fills in, rewrites and forgets, as data for the comparison. Pure.

Seen on 4.10.8 and 4.12.12 (contract gravitee.md C.3 and R.7). What a
plugin fills into its configuration is the default of its own schema, which the gateway is asked
for.
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

PLAN_CARRIED: Final = (
    "description", "characteristics", "excludedGroups", "tags", "generalConditionsHrid",
)  # fmt: skip
"""Likewise of a plan (seen on 4.10.8); comments on requests for access are lost with the Automation
API, which has no field for them."""

PLAN_CARRIED_BY_V2: Final = (
    "characteristics", "excludedGroups", "tags", "generalConditions", "commentRequired",
    "commentMessage",
)  # fmt: skip
"""Likewise, beside the description, where PUT of the management API v2 writes plans."""

SERVER_METADATA: Final = "email-support"
"""Entry of `metadata` that the server adds itself."""

FILLED_IN: Final[Mapping[str, Any]] = {
    "qos": "AUTO", "overrideAccess": None, "requestValidation": None, "weight": 1,
    "reporterMetricsEnabled": True, "maxAge": -1, "id": None, "description": None,
    # Rewritten where the organization limits how long APIs may log.
    "logging.condition": None,
}  # fmt: skip
"""Fields that the server adds to a definition, outside of plugins' configurations, or that change
nothing for requests: with the value that it gives them, None for any. A name may say its parent."""

SECURITIES: Final[Mapping[str, str]] = {"API_KEY": "api-key", "JWT": "jwt", "OAUTH2": "oauth2"}
"""Kind of security of a plan -> the policy whose configuration it has."""

FAILOVER: Final[Mapping[str, Any]] = {
    "enabled": False, "maxRetries": 2, "slowCallDuration": 2000, "openStateDuration": 10000,
    "maxFailures": 5, "perSubscription": True,
}  # fmt: skip

HTTP: Final[Mapping[str, int]] = {
    "connectTimeout": 3000, "readTimeout": 10000, "idleTimeout": 60000,
    "maxConcurrentConnections": 20,
}  # fmt: skip
"""Of an endpoint group's `sharedConfiguration.http`; `idleTimeout` is 0 up to 4.11. In ms."""
