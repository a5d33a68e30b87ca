"""Writes one API with the policies that change: looked up, changed, compared, and put once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapter_sdk.results import failure, internal_error, ok
from stoa_gitops.adapters.gravitee.api.client import GraviteeClient
from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.marks import (
    marks_in,
    owner_in,
    read_application_mark,
)
from stoa_gitops.adapters.gravitee.entities.parts import (
    AUTOMATION,
    CLASSIC,
    ApiParts,
    GatewayInfo,
    JsonTree,
)
from stoa_gitops.adapters.gravitee.mapping.apis import compile_api, decompile_api, definition_of
from stoa_gitops.adapters.gravitee.mapping.plans import plan_names, read_plan_name
from stoa_gitops.adapters.gravitee.mapping.rules import refuse_unsupported, stored_spec
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.writing.automation import AutomationWay
from stoa_gitops.adapters.gravitee.writing.classic import ClassicWay
from stoa_gitops.adapters.gravitee.writing.crd import CrdWay
from stoa_gitops.adapters.gravitee.writing.gates import PathGate
from stoa_gitops.adapters.gravitee.writing.interim import InterimStates
from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.adapters.gravitee.writing.schemas import SchemaCheck
from stoa_gitops.adapters.gravitee.writing.ways import Way
from stoa_gitops.errors import GatewayError, ObjectConflict, StoaGitopsError
from stoa_gitops.model.keys import API, POLICY, Key

Results = dict[PendingChange, AdapterResult]


class ApiWriter:
    """Writes APIs of one environment, those with overlapping paths one after another."""

    def __init__(self, client: GraviteeClient, session: Session, owner: str) -> None:
        self._client, self._session, self._owner = client, session, owner
        self._gate = PathGate()
        self.schemas = SchemaCheck()
        self.interim = InterimStates(self._rewrite)

    async def write(
        self, changes: Sequence[PendingChange], *, keeps_plans: bool = False
    ) -> Results:
        """Write the changes of one API and return a result for each. Raises nothing.

        With `keeps_plans` plans that go are left until `interim.retire`, so that applications can
        take their keys to another plan.
        """
        results: Results = {}
        try:
            info = await self._session.gateway_info()
            left = []
            for change in changes:
                refusal = refuse_unsupported(change.spec, info) if change.spec else None
                if refusal is None:
                    left.append(change)
                else:
                    results[change] = refusal
            if left:
                async with self._gate.name(str(left[0].group)):
                    results |= await self._write(left[0].group, left, info, keeps_plans=keeps_plans)
        except StoaGitopsError as error:
            results |= {change: failure(error) for change in changes if change not in results}
        except Exception as error:  # noqa: BLE001  # one API must not end the others
            fault = internal_error(error)
            results |= {change: fault for change in changes if change not in results}
        return results

    async def _rewrite(
        self, key: Key, api_id: str, edit: Callable[[ApiParts], ApiParts]
    ) -> ApiParts | None:
        """Put an API of ours as it is but for `edit`; return what it was, None for none."""
        info = await self._session.gateway_info()
        async with self._gate.name(str(key)):
            held = await self.find(key, api_id, info)
            if held is None:
                return None
            before = self._parts_of(key, held, info)
            after = edit(before)
            async with self._gate.paths(str(key), {*_paths_of(before), *_paths_of(after)}):
                definition = compile_api(after, info, self._owner)
                await self._way_of(held, key, info).put(definition, held)
            self._session.mark_changed(str(held["id"]))
            return before

    async def _write(
        self,
        key: Key,
        changes: Sequence[PendingChange],
        info: GatewayInfo,
        *,
        keeps_plans: bool = False,
    ) -> Results:
        if info.way == CLASSIC and any(change.gateway_id is None for change in changes):
            # Ids are the server's there, so that somebody must look.
            await self._session.read_snapshot()
        held = await self.find(key, next((c.root for c in changes if c.root), ""), info)
        self._check_owner(key, held, changes)
        before = self._parts_of(key, held, info)
        after, definition, results = self._edit(before, changes, info)
        left = [change for change in changes if change not in results]
        if not left:
            return results
        warnings: tuple[str, ...] = ()
        paths = {*_paths_of(before), *_paths_of(after)}
        async with self._gate.paths(str(key), paths):
            if definition is None:
                if held is not None:
                    await self._way_of(held, key, info).delete(held)
                api_id = str((held or {}).get("id") or left[0].root)
            else:
                kept = _left_plans(held) if held is not None and keeps_plans else ()
                is_same = after == before
                api_id, warnings = await self._put(
                    after, definition, held, info, kept, is_same=is_same
                )
        self._session.mark_changed(api_id)
        return results | {change: _done(change, api_id, warnings) for change in left}

    async def find(self, key: Key, root: str, info: GatewayInfo) -> JsonTree | None:
        """Return an API as the gateway holds it now, None where there is none.

        Raises ObjectConflict for one that these credentials may not read: a PUT would take it over.
        """
        computed = info.options.ids.api(hrid_of(key))
        if not root:
            root = await self._known_id(key, info) or computed
        if info.way == AUTOMATION and root == computed:
            state, is_told = await self._find_state(key)
            if state is not None:
                return state if state.get("hrid") else {**state, "hrid": hrid_of(key)}
            if is_told:
                return None
        elif info.way == CLASSIC and root == computed:
            return None
        found, is_hidden = await self._client.find_api(root)
        if is_hidden:
            raise ObjectConflict(
                f"an API of the same id ({root}) belongs to another account, and these credentials "
                "may not read it: give the account the role ADMIN of its organization"
            )
        if found is None:
            return None
        plans = await self._client.list_plans(root)
        return {"hrid": hrid_of(key), **definition_of(found, plans)}

    async def _find_state(self, key: Key) -> tuple[JsonTree | None, bool]:
        """Return an API by its name, and whether that there is none is certain.

        A PUT looks it up in the same way. It is not certain where rights are missing: those have a
        403, and on 4.10.8 a 500 for an API that is not there (contract gravitee.md R.6 a).
        """
        try:
            return await self._client.find_state("apis", hrid_of(key)), True
        except RequestRefused:
            raise
        except GatewayError as error:
            if error.reason not in ("GatewayUnauthorized", "GatewayError"):
                raise
            return None, False

    async def _known_id(self, key: Key, info: GatewayInfo) -> str:
        """Return the id under which an API of ours was listed; empty for none."""
        if info.way == AUTOMATION and self._session.is_unread:
            return ""
        snapshot = await self._session.current_snapshot()
        group = snapshot.find_own(key)
        return group.api_id if group is not None else ""

    def _check_owner(
        self, key: Key, held: JsonTree | None, changes: Sequence[PendingChange]
    ) -> None:
        if held is None:
            return
        owner = owner_in(marks_in(held)) or self._creation_owner(held)
        if owner == self._owner or any(change.adopts for change in changes):
            return
        whose = f"of the catalog {owner}" if owner else "that no catalog of ours wrote"
        raise ObjectConflict(
            f"the name of {key} is taken on the gateway by an API {whose} ({held.get('name')}, "
            f"{held.get('id')}): adopt it, or give one of them another name"
        )

    @staticmethod
    def _creation_owner(held: JsonTree) -> str:
        mark = read_application_mark(held.get("description"))
        return mark.owner if mark is not None else ""

    def _parts_of(self, key: Key, held: JsonTree | None, info: GatewayInfo) -> ApiParts:
        if held is None:
            return ApiParts(key, None)
        is_ours = owner_in(marks_in(held)) == self._owner
        parts, _ = decompile_api(held, info, self._owner, key)
        # Of a foreign API only what is adopted becomes ours.
        return parts if is_ours else ApiParts(key, None, {}, parts.api_id)

    def _edit(
        self, before: ApiParts, changes: Sequence[PendingChange], info: GatewayInfo
    ) -> tuple[ApiParts, JsonTree | None, Results]:
        """Lay changes over an API, and compile it; one that makes it impossible fails alone."""
        after, results = before, Results()
        for change in changes:
            after = _apply(after, change)
        definition, fault = self._compile(after, info)
        if fault is None:
            return after, definition, results
        after, definition = before, None
        for change in changes:
            tried = _apply(after, change)
            compiled, fault = self._compile(tried, info)
            if fault is None:
                after, definition = tried, compiled
            else:
                results[change] = failure(fault)
        return after, definition, results

    def _compile(
        self, parts: ApiParts, info: GatewayInfo
    ) -> tuple[JsonTree | None, StoaGitopsError | None]:
        """Return the definition of an API, None where nothing is left of it; or why it has none."""
        if parts.api is None and not parts.policies:
            return None, None
        try:
            return compile_api(parts, info, self._owner), None
        except StoaGitopsError as error:
            return None, error

    async def _put(
        self,
        after: ApiParts,
        definition: JsonTree,
        held: JsonTree | None,
        info: GatewayInfo,
        kept_plans: Sequence[JsonTree],
        *,
        is_same: bool,
    ) -> tuple[str, tuple[str, ...]]:
        if held is not None and is_same and self._is_current(held, after, info):
            # Each PUT of a started API deploys it anew (contract gravitee.md 0.3).
            return str(held["id"]), ()
        self.schemas.check(definition, info.schemas)
        self.interim.keep_plans(after, definition, kept_plans)
        if held is not None and after.key in self.interim.retiring:
            rest = _without(held, after, info)
            if self._is_current(rest, after, info):
                # All that is left is to remove plans that applications still use.
                return str(held["id"]), ()
        try:
            return await self._way_of(held, after.key, info).put(definition, held)
        except RequestRefused as error:
            raise await self._explained(error, after) from None

    def _is_current(self, held: JsonTree, parts: ApiParts, info: GatewayInfo) -> bool:
        again, left = decompile_api(held, info, self._owner, parts.key)
        return again == parts and not left and owner_in(marks_in(held)) == self._owner

    def _way_of(self, held: Mapping[str, Any] | None, key: Key, info: GatewayInfo) -> Way:
        """Return the way of this gateway; what was made by hand and adopted has one of its own."""
        is_computed = held is None or held.get("id") == info.options.ids.api(hrid_of(key))
        if info.way == CLASSIC or not is_computed:
            return ClassicWay(self._client, info)
        return (AutomationWay if info.way == AUTOMATION else CrdWay)(self._client, info)

    async def _explained(self, error: RequestRefused, parts: ApiParts) -> StoaGitopsError:
        """Return the error of a refused write; a path that is taken is told with its owner."""
        if "already exists" not in str(error) or "Path [" not in str(error):
            return error
        snapshot = await self._session.read_snapshot()
        own = {parts.api_id, self._session_id(parts)}
        for path in _paths_of(parts):
            group = snapshot.find_owner(path, own)
            if group is not None:
                return ObjectConflict(
                    f"the path {path} is taken by the API {group.name} ({group.api_id}"
                    f"{f', {group.key.short}' if group.owner else ''}) on the gateway, which has "
                    "one API at a path and at all above and below it: take another path, or adopt "
                    "that API"
                )
        return ObjectConflict(
            f"{error}: an API that these credentials may not see has one of the paths "
            f"{', '.join(sorted(_paths_of(parts)))}"
        )

    def _session_id(self, parts: ApiParts) -> str:
        info = self._session.info
        return info.options.ids.api(hrid_of(parts.key)) if info is not None else ""


def _apply(parts: ApiParts, change: PendingChange) -> ApiParts:
    if change.key.kind == API:
        if change.spec is None:
            return replace(parts, api=None)
        return replace(parts, api=stored_spec(API, change.spec.value))
    policies = dict(parts.policies)
    if change.spec is None:
        policies.pop(change.key.policy_type, None)
    else:
        spec = stored_spec(POLICY, change.spec.value)
        policies[str(spec["type"])] = spec["config"]
    return replace(parts, policies=policies)


def _left_plans(held: Mapping[str, Any]) -> list[JsonTree]:
    """Return the plans of an API that are in use, in the form in which they are written again."""
    left_out = ("id", "order", "apiId", "crossId", "createdAt", "updatedAt", "publishedAt")
    found = []
    for plan in held.get("plans") or ():
        name = read_plan_name(plan)
        if name is not None and plan.get("status") == "PUBLISHED":
            kept = {field: item for field, item in plan.items() if field not in left_out}
            found.append({"hrid": name.hrid, "type": "API", **kept})
    return found


def _without(held: JsonTree, parts: ApiParts, info: GatewayInfo) -> JsonTree:
    """Return an API as it will be without the plans that its document no longer has."""
    wanted = set(plan_names(parts, info))
    plans = [plan for plan in held.get("plans") or () if read_plan_name(plan) in wanted]
    return {**held, "plans": plans}


def _paths_of(parts: ApiParts) -> set[str]:
    api: Any = parts.api
    return {str(route["path"]) for route in api["routes"]} if api is not None else set()


def _done(change: PendingChange, api_id: str, warnings: tuple[str, ...]) -> AdapterResult:
    if change.spec is None:
        return ok(change.gateway_id)
    is_policy = change.key.kind == POLICY
    name = f"{api_id}/{change.key.policy_type}" if is_policy else api_id
    return ok(name, warnings=() if is_policy else warnings)
