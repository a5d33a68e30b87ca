"""Writes applications with their identifiers and links.

A link is the right to call, and POST and PUT of links replace the whole list (contract A.5): what
is sent is what an application may call. The limits of a plan name its applications, so that they
are written before the link that lets one in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.results import ok
from stoa_gitops.adapters.webmethods.api.answers import HalfWritten, created_id
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.links import Link
from stoa_gitops.adapters.webmethods.entities.marks import (
    fingerprint,
    read_credentials,
    read_mark,
    read_subscriptions,
)
from stoa_gitops.adapters.webmethods.entities.parts import ApplicationParts, JsonTree
from stoa_gitops.adapters.webmethods.mapping.access import KEY
from stoa_gitops.adapters.webmethods.mapping.applications import (
    compile_application,
    held_prints,
    linked_apis,
    wanted_links,
)
from stoa_gitops.adapters.webmethods.mapping.rules import refuse_unsupported, stored_spec
from stoa_gitops.adapters.webmethods.node.session import Session
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot, consumers_of
from stoa_gitops.adapters.webmethods.writing.apis import ApiWriter
from stoa_gitops.adapters.webmethods.writing.gates import NameGate
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.errors import ObjectConflict
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret

_OF_SERVER = frozenset(
    {"id", "created", "lastupdated", "owner", "consumingAPIs", "accessTokens", "teams"}
)
"""Fields of an application that a PUT does not change: links and tokens have calls of their own."""


class ConsumerWriter:
    """Writes applications of one gateway, each alone."""

    def __init__(
        self, client: WebMethodsClient, session: Session, apis: ApiWriter, owner: str
    ) -> None:
        self._client, self._session, self._apis, self._owner = client, session, apis, owner
        self._gate = NameGate()
        self._snapshot: Snapshot | None = None
        self._consumers: dict[Key, dict[str, tuple[str, ...]]] = {}
        self._keys: dict[str, str] = {}

    async def write(self, change: PendingChange, snapshot: Snapshot) -> AdapterResult:
        """Write one change of an application. Raises StoaGitopsError."""
        self._begin(snapshot)
        async with self._gate.name(str(change.key)):
            with self._session.written.doubted_unless_done():
                return await self._write(change, snapshot)

    async def _write(self, change: PendingChange, snapshot: Snapshot) -> AdapterResult:
        if change.spec is None:
            await self._delete(change.root, snapshot)
            return ok(change.gateway_id)
        refusal = refuse_unsupported(change.spec, snapshot.info)
        if refusal is not None:
            return refusal
        value = stored_spec(APPLICATION, change.spec.value)
        return await self._put(change, ApplicationParts(change.key, value), snapshot)

    def prepare(
        self, change: PendingChange, snapshot: Snapshot
    ) -> tuple[JsonTree, JsonTree | None]:
        """Return the fields of an application, and what is there; nothing is written.

        Raises StoaGitopsError, ObjectConflict among them.
        """
        self._begin(snapshot)
        assert change.spec is not None
        value = stored_spec(APPLICATION, change.spec.value)
        application = compile_application(ApplicationParts(change.key, value), self._owner)
        held = self._find(change, snapshot)
        known_id = str(held["id"]) if held is not None else str(change.key)
        prints = [fingerprint(value) for value in _keys_of(application)]
        self._take_keys(prints, known_id, snapshot, change.key)
        return application, held

    def _begin(self, snapshot: Snapshot) -> None:
        if self._snapshot is snapshot:
            return
        self._snapshot = snapshot
        self._consumers = consumers_of(snapshot.marked_applications, snapshot.links)
        self._keys = {
            printed: str(tree.get("id"))
            for tree in snapshot.applications
            for printed in _key_prints(tree)
        }

    # applications

    async def _put(
        self, change: PendingChange, parts: ApplicationParts, snapshot: Snapshot
    ) -> AdapterResult:
        application = compile_application(parts, self._owner)
        held = self._find(change, snapshot)
        known_id = str(held["id"]) if held is not None else ""
        prints = [fingerprint(value) for value in _keys_of(application)]
        self._take_keys(prints, known_id or str(parts.key), snapshot, parts.key)
        if held is None:
            what = f"writing application {application['name']}"
            made = await self._client.write("POST", "/applications", what, application)
            application_id, there = created_id(made), frozenset[str]()
        else:
            application_id, there = known_id, linked_apis(held)
            await self._update(application_id, application, held)
        mark = read_mark(application["description"], APPLICATION)
        assert mark is not None
        types = [kind for kind, _ in read_credentials(mark)]
        links = wanted_links(parts.key, types, read_subscriptions(mark), snapshot.links)
        wanted = frozenset(link.api.api_id for link in links)
        self._session.written.application(application_id, application["description"], wanted)
        if there - wanted:
            # What ends comes first: nobody may call without the limits of a plan.
            await self._link(application_id, there & wanted)
            there &= wanted
        await self._subscribe(application_id, links, snapshot)
        if wanted != there:
            await self._link(application_id, wanted)
        tree: Any = reveal(application, [])
        known = {**(held or {}), **tree, "id": application_id, "consumingAPIs": sorted(wanted)}
        self._session.written.wrote_application(application_id, known)
        return ok(application_id)

    async def _update(
        self, application_id: str, application: JsonTree, held: Mapping[str, Any]
    ) -> None:
        """Write the fields that are ours; those that people added go along."""
        if _has(held, application):
            return
        full = await self._client.find_application(application_id) or dict(held)
        kept = {name: item for name, item in full.items() if name not in _OF_SERVER}
        path, what = f"/applications/{application_id}", f"writing application {application['name']}"
        answer = await self._client.write("PUT", path, what, {**kept, **application})
        if answer.get("description") == application["description"]:
            return
        # The mark has fingerprints of the keys: nothing else tells a key that did not change.
        found = await self._client.find_application(application_id) or {}
        if found.get("description") != application["description"]:
            raise HalfWritten(f"{what}: the gateway acknowledged it and stored something else")

    async def _link(self, application_id: str, apis: Iterable[str]) -> None:
        what = f"linking application {application_id}"
        body = {"apiIDs": sorted(apis)}
        await self._client.write("PUT", f"/applications/{application_id}/apis", what, body)

    async def end_rights(
        self, apis: Collection[str], written: Collection[Key], snapshot: Snapshot
    ) -> None:
        """Take APIs from applications of ours that may not call them any more.

        A plan may go while nobody writes its subscribers, for the gateway refuses them: they would
        call without a limit. Those that were written are right. Raises StoaGitopsError.
        """
        for tree, key, is_ours in snapshot.marked_applications:
            there = linked_apis(tree)
            mark = read_mark(tree.get("description"), APPLICATION)
            if not is_ours or mark is None or key in written or there.isdisjoint(apis):
                continue
            types = [kind for kind, _ in read_credentials(mark)]
            links = wanted_links(key, types, read_subscriptions(mark), snapshot.links)
            left = there - ({*apis} - {link.api.api_id for link in links})
            if left != there:
                ident = str(tree["id"])
                async with self._gate.name(str(key)):
                    with self._session.written.doubted_unless_done():
                        await self._link(ident, left)
                known = {**tree, "consumingAPIs": sorted(left)}
                self._session.written.application(ident, str(tree["description"]), left)
                self._session.written.wrote_application(ident, known)

    async def _subscribe(
        self, application_id: str, links: Iterable[Link], snapshot: Snapshot
    ) -> None:
        """Write the limits of plans that the application comes to or leaves."""
        plans: dict[Key, set[str]] = {}
        for link in links:
            if link.plan:
                plans.setdefault(link.api.key, set()).add(link.plan)
        for key in sorted(plans.keys() | self._consumers.keys()):
            before = self._consumers.get(key, {})
            after = _with_member(before, application_id, plans.get(key, set()))
            if after != before:
                self._consumers[key] = after
                await self._apis.rewrite(key, after, snapshot)

    def _find(self, change: PendingChange, snapshot: Snapshot) -> JsonTree | None:
        """Return the application that is there; raises ObjectConflict for a foreign one."""
        by_id = {str(tree.get("id")): tree for tree in snapshot.applications}
        held = by_id.get(change.root) if change.root else snapshot.find_application(change.key)
        if held is None:
            return None
        mark = read_mark(held.get("description"), APPLICATION)
        if (mark is None or mark.owner != self._owner) and not change.adopts:
            whose = f"of the catalog {mark.owner}" if mark else "that no catalog of ours wrote"
            raise ObjectConflict(
                f"{change.key} is an application {whose} on the gateway ({held.get('name')}, "
                f"{held.get('id')}): adopt it"
            )
        return held

    def _take_keys(self, prints: Iterable[str], taker: str, snapshot: Snapshot, key: Key) -> None:
        """Note who has which keys; raises ObjectConflict where another application has one.

        Before anything is sent: applications are written side by side. `taker` is the id of the
        application, or its key while it has none.
        """
        wanted = list(prints)
        for printed in wanted:
            other = self._keys.get(printed, taker)
            if other != taker:
                raise ObjectConflict(_key_taken(other, snapshot, key))
        self._keys |= dict.fromkeys(wanted, taker)

    async def _delete(self, application_id: str, snapshot: Snapshot) -> None:
        """Delete an application of ours; its links and keys go with it."""
        held = next(
            (tree for tree in snapshot.applications if tree.get("id") == application_id), None
        )
        mark = read_mark(held.get("description"), APPLICATION) if held is not None else None
        if held is None or mark is None or mark.owner != self._owner:
            return
        what = f"deleting application {held.get('name')}"
        await self._client.delete("/applications", application_id, what)
        self._session.written.no_application(application_id)
        self._keys = {p: other for p, other in self._keys.items() if other != application_id}
        await self._subscribe(application_id, (), snapshot)


def _key_taken(other: str, snapshot: Snapshot, key: Key) -> str:
    """Say whose a key is, and what to do: an application without a mark may be this very one."""
    for tree, held, _ in snapshot.marked_applications:
        if str(tree.get("id")) != other:
            continue
        what = f"one of its keys is that of the application {tree.get('name')} on the gateway"
        if read_mark(tree.get("description"), APPLICATION) is not None:
            return f"{what} ({held.short}): give each application keys of its own"
        what += f" ({other}), which carries no mark of a catalog"
        if held == key:
            return f"{what}: if it is the same one, adopt {key}; if not, give it another key"
        if held.name == key.name:
            return (
                f"{what}: if it is the same one, set the option `adoptTenant` to {key.tenant} and "
                f"adopt {key}; if not, give it another key"
            )
        return f"{what}: give it its mark back, delete it there, or give one of them another key"
    return f"one of its keys is that of {other}: give each application keys of its own"


def _keys_of(application: Mapping[str, Any]) -> Iterable[str]:
    for one in application["identifiers"]:
        if one["key"] == "apiKey":
            yield from (
                value.reveal() if isinstance(value, Secret) else str(value)
                for value in one["value"]
            )


def _key_prints(tree: Mapping[str, Any]) -> list[str]:
    identifiers = tree.get("identifiers")
    listed = identifiers if isinstance(identifiers, list) else []
    plain = [
        one
        for one in listed
        if isinstance(one, dict) and isinstance(one.get("value") or one.get("swaggerValue"), list)
    ]
    return [printed for sort, printed in held_prints({"identifiers": plain}) if sort == KEY]


def _with_member(
    plans: Mapping[str, tuple[str, ...]], member: str, wanted: set[str]
) -> dict[str, tuple[str, ...]]:
    """Return the subscribers of plans with one application in exactly these."""
    found = {plan: {*members} - {member} for plan, members in plans.items()}
    for plan in wanted:
        found.setdefault(plan, set()).add(member)
    return {plan: tuple(sorted(members)) for plan, members in found.items() if members}


def _has(held: Mapping[str, Any], application: Mapping[str, Any]) -> bool:
    """Whether an application has every field as it is wanted."""
    for name, value in application.items():
        if name == "identifiers":
            continue
        if (held.get(name) or type(value)()) != value:
            return False
    wanted = {
        (one["key"], value.reveal() if isinstance(value, Secret) else str(value))
        for one in application["identifiers"]
        for value in one["value"]
    }
    there = {
        (one.get("key"), str(value))
        for one in held.get("identifiers") or ()
        for value in one.get("value") or one.get("swaggerValue") or ()
    }
    return wanted == there
