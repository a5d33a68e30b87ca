"""What a webMethods API Gateway holds: a graph of records with GUIDs; its clock and index."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.adapters.webmethods.double.answers import Refused, Tree

SYSTEM_POLICY = "GlobalLogInvocationPolicy"
SYSTEM_ACTION = "GlobalLogInvocationPolicyAction"


@dataclass
class Behaviour:
    """What differs between versions and builds; tests change it at will."""

    hot_update: bool  # PUT of an active API works
    created: int  # status of POST /apis and its like
    duplicate_api: int
    duplicate_alias: int
    unknown_part: int  # status for unknown ids of everything but APIs and policies
    reads_swagger_value: bool  # identifiers come back with `swaggerValue`
    bare_strategies: bool = False  # GET /strategies is an array
    # Response schemas with $ref "can crash its parser" (contract A.12).
    crashes_on_response_refs: bool = False
    fails_hot_updates: bool = False  # a hot update that fails leaves the API inactive


BEHAVIOURS = {
    "10.15": lambda: Behaviour(False, 201, 400, 409, 401, reads_swagger_value=False),
    "11": lambda: Behaviour(True, 200, 409, 400, 404, reads_swagger_value=True),
}


class Index:
    """Counts for how many further reads of a list a write is not in it."""

    def __init__(self) -> None:
        self.lag = 0


class Collection:
    """Records by id. `listed` is what the search index knows, `get` what is stored."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._records: dict[str, Tree] = {}
        # What lists still show of a record (None: nothing), and for how many reads.
        self._stale: dict[str, tuple[Tree | None, int]] = {}

    def __iter__(self) -> Iterator[Tree]:
        return iter(list(self._records.values()))

    def __contains__(self, key: object) -> bool:
        return key in self._records

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key: str) -> Tree | None:
        return self._records.get(key)

    def put(self, key: str, record: Tree) -> Tree:
        self.touch(key)
        self._records[key] = record
        return record

    def drop(self, key: str) -> None:
        self.touch(key)
        self._records.pop(key, None)

    def touch(self, key: str) -> None:
        """Say before a change of a record that lists will show the old one for a while."""
        if self._index.lag:
            old, left = self._stale.get(key, (deepcopy(self._records.get(key)), 0))
            self._stale[key] = (old, max(left, self._index.lag))

    def listed(self) -> list[Tree]:
        if not self._stale:
            return list(self._records.values())
        found = []
        for key in [*self._records, *(key for key in self._stale if key not in self._records)]:
            if key not in self._stale:
                found.append(self._records[key])
                continue
            old, left = self._stale.pop(key)
            if old is not None:
                found.append(old)
            if left > 1:
                self._stale[key] = (old, left - 1)
        return found


@dataclass
class Store:
    """Everything; each write moves the clock on by a second, so that time stamps differ."""

    behaviour: Behaviour
    index: Index = field(default_factory=Index)

    def __post_init__(self) -> None:
        names = ("apis", "policies", "actions", "applications", "strategies", "scopes", "aliases",
                 "url_aliases")  # fmt: skip
        self._all = {name: Collection(self.index) for name in names}
        self.apis, self.policies, self.actions = (self._all[name] for name in names[:3])
        self.applications, self.strategies = self._all["applications"], self._all["strategies"]
        self.scopes, self.aliases = self._all["scopes"], self._all["aliases"]
        self.url_aliases = self._all["url_aliases"]
        self.configurations: dict[str, Tree] = {}
        # By API id: the document as it came, and the aliases that were bound at activation.
        self.sources: dict[str, str] = {}
        self.bindings: dict[str, dict[str, str | None]] = {}
        # Ids of new versions by name, oldest first.
        self.versions: dict[str, list[str]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.expiry_changes = 0
        self.quiesced: str | None = None
        self._ticks = itertools.count(1)
        self._ids = itertools.count(1)
        self._add_system_policy()

    def now(self) -> str:
        moment = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=next(self._ticks))
        return moment.strftime("%Y-%m-%d %H:%M:%S GMT")

    def new_id(self) -> str:
        return str(uuid.UUID(int=(4 << 76) | (8 << 60) | next(self._ids) << 80 | 7))

    def record(self, name: str, key: str) -> Tree:
        """Return one record; an unknown id is 401, of parts 401 or 404 by version."""
        found = self._all[name].get(key)
        if found is not None:
            return found
        if name in ("apis", "policies") or self.behaviour.unknown_part == 401:
            raise Refused(401, "User doesn't have permission to manage this API")
        raise Refused(404, f"Unable to find the resource: {key}")

    def _add_system_policy(self) -> None:
        parameters = [{"templateKey": "logGenerationFrequency", "values": ["Always"]}]
        action = {"id": SYSTEM_ACTION, "names": [{"value": "Log Invocation", "locale": "en"}],
                  "descriptions": [], "templateKey": "logInvocation",
                  "parameters": parameters, "active": False}  # fmt: skip
        self.actions.put(SYSTEM_ACTION, action)
        placed = {"enforcementObjectId": SYSTEM_ACTION, "order": "0"}
        policy = {"id": SYSTEM_POLICY, "names": [{"value": "Transaction logging", "locale": "en"}],
                  "descriptions": [], "scope": {"scopeConditions": []},
                  "policyEnforcements": [{"enforcements": [placed], "stageKey": "LMT"}],
                  "policyScope": "GLOBAL", "global": True, "active": False,
                  "systemPolicy": True}  # fmt: skip
        self.policies.put(SYSTEM_POLICY, policy)

    def action_ids(self, policy: Tree) -> list[str]:
        return [
            placed["enforcementObjectId"]
            for stage in policy["policyEnforcements"]
            for placed in stage["enforcements"]
        ]

    def drop_policy(self, policy: Tree) -> None:
        """Delete a policy with every action that it names, also those that others share."""
        for action_id in self.action_ids(policy):
            self.actions.drop(action_id)
        self.policies.drop(policy["id"])

    def consumers_of(self, api_id: str) -> list[Tree]:
        return [app for app in self.applications if api_id in app["consumingAPIs"]]
