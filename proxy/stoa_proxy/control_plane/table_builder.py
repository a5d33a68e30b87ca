"""Builds the next table beside the one that serves, a little at a time, and swaps it in at once."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_proxy.admin.batch import KINDS, Parse, Refusals, reasons_of
from stoa_proxy.admin.changes import Changes
from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body, read_json
from stoa_proxy.admin.object_list import ObjectList
from stoa_proxy.admin.saved_table import withheld_policy
from stoa_proxy.admin.store import Store, TableSource
from stoa_proxy.errors import BodyRefused, ControlPlaneFailed, ObjectRefused
from stoa_proxy.foundation.breather import Breather, clear, let_go

_log = logging.getLogger("stoa_proxy.control_plane")

Name = tuple[str, str]
"""Kind and id of an object."""

Values = Mapping[str, object]
"""A line: its objects by their kinds."""

Known = dict[bytes, Name]
"""What was taken from which line, by a keyed hash: such a line changes nothing."""

# Changed at a time: 1 to 2 ms.
_OBJECTS = 5
# What is freed in one go where fewer objects changed or went: under 1 ms.
_MANY = 500
# How often the table may change under a build before it is left for the next time.
_BUILDS = 3
# Nobody can make up two lines of one hash without it.
_HASH_KEY: Final = secrets.token_bytes(16)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object of a document that is not taken, and why."""

    kind: str
    id: str
    reason: str


@dataclass
class TableBuilder:
    """Collects the objects of one document, then changes a store to hold exactly these.

    `kinds` are those that the document speaks of; objects of the others stay. `known` is `taken` of
    the build before, if the store still has its `version`. A builder builds once; `changes_count`
    are the new and changed objects of that.

    A route that cannot be read stays as it was, one that was not there is left out; a consumer is
    left out, for nobody knows its rights; a policy goes on to refuse. `refusals` names them all.
    """

    store: Store
    parsers: Mapping[str, Parse]
    known: Known
    kinds: tuple[str, ...] = KINDS
    taken: dict[bytes, Name] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    changes_count: int = 0
    version: tuple[str, str, str] | None = None
    _kept: set[Name] = field(default_factory=set)
    _changed: dict[Name, tuple[Any, View]] = field(default_factory=dict)
    _contradicting: set[Name] = field(default_factory=set)

    def add_line(self, line: bytes, parse: Callable[[bytes], Values] | None = None) -> None:
        """Take one line of a document; `parse` returns kinds and objects where it is another form.

        Raises ControlPlaneFailed for what is no JSON, and where an API would be open.
        """
        digest = hash_line(line)
        name = self.known.get(digest)
        if name is not None and not self._has(name):
            self.taken[digest] = name
            self._kept.add(name)
            return
        values = (parse or _read_line)(line)
        for kind, body in values.items():
            if not isinstance(body, dict):
                self._refuse(kind, "", "no object")
            elif kind not in self.kinds:
                self._refuse(*_name_of(kind, body), "no kind of object that this gateway knows")
            elif body.get("keep") is True:
                self._keep(kind, body)
            elif self.add(kind, body) and len(values) == 1:
                self.taken[digest] = (kind, str(body["id"]))

    def add(self, kind: str, values: Mapping[str, object]) -> bool:
        """Take one object; False when it is refused. Raises ControlPlaneFailed as `add_line`."""
        name = _name_of(kind, values)
        if self._has(name):
            self._refuse(*name, "is named twice")
            return False
        try:
            item, view = self.parsers[kind](Body(values))
            if self._is_here(name, item, view):
                self._kept.add(name)
            else:
                self._changed[name] = (item, view)
            return True
        except Refusals as error:
            self._refuse(*name, "; ".join(reasons_of(error)))
        except Exception:  # noqa: BLE001 - the boundary: one object must not hold up the others
            _log.exception("unexpected error in an object of the control plane's table")
            self._refuse(*name, "unexpected error")
        if kind == "policies":
            self._withhold(name, values)
        elif kind == "apis" and name[1] in self.store.table.routes:
            self._kept.add(name)
        return False

    async def build(self, etag: str | None, generation: int) -> None:
        """Change the store, as one change; `etag` None is a document that has none.

        Raises ControlPlaneFailed if others keep changing the store.
        """
        self.changes_count = len(self._changed)
        for _ in range(_BUILDS):
            version, refusals = self.store.version, list(self.refusals)
            self._contradicting.clear()
            draft = self.store.copy()
            breather = Breather()
            gone = await self._remove(draft, breather)
            await self._put(draft, breather)
            if self.store.version == version:
                is_whole = not self.refusals
                source = None if etag is None else TableSource(etag, generation, is_whole)
                remains = self.store.adopt(draft, source)
                self.version = self.store.version
                await self._forget_contradicting(breather)
                # Views are of no more use, and 30,000 that go at once take 15 ms.
                await clear(self._changed)
                await clear(self._kept)
                if self.changes_count + gone >= _MANY:
                    await let_go(remains)
                return
            self.refusals = refusals
        raise ControlPlaneFailed("the admin API changes the table at the same time")

    async def _forget_contradicting(self, breather: Breather) -> None:
        """Take lines of what is not there for unknown the next time."""
        lines: list[bytes] = []
        if self._contradicting:
            for digest, name in self.taken.items():
                if name in self._contradicting:
                    lines.append(digest)
                await breather.rest()
        for digest in lines:
            del self.taken[digest]

    def _is_here(self, name: Name, item: object, view: View) -> bool:
        """Whether the store has this very object, as after a restart from the disk."""
        kind, item_id = name
        if self._list(kind).get(item_id) != ObjectList.serialise(view):
            return False
        # What the view leaves out: credentials and keys.
        table = self.store.table
        return (
            kind == "policies"
            or item == (table.routes if kind == "apis" else table.consumers)[item_id]
        )

    def _has(self, name: Name) -> bool:
        return name in self._changed or name in self._kept

    def _keep(self, kind: str, values: Mapping[str, object]) -> None:
        """Take over an object as it is here; without one a policy refuses, others are left out."""
        name = _name_of(kind, values)
        if self._has(name):
            self._refuse(*name, "is named twice")
        elif name[1] in self._list(kind):
            self._kept.add(name)
        else:
            self._refuse(*name, "is not here to be kept")
            if kind == "policies":
                self._withhold(name, values)

    def _withhold(self, name: Name, values: Mapping[str, object]) -> None:
        try:
            self._changed[name] = withheld_policy(values)
        except ObjectRefused as error:
            # Which API would be open without it is not known, so nothing of the table is taken.
            raise ControlPlaneFailed(f"a policy cannot be read: {error}") from None

    def _refuse(self, kind: str, item_id: str, reason: str) -> None:
        self.refusals.append(Refusal(kind[:80], item_id[:200], reason[:500]))

    def _list(self, kind: str) -> ObjectList:
        lists = {
            "apis": self.store.routes,
            "policies": self.store.policies,
            "consumers": self.store.consumers,
        }
        return lists[kind]

    async def _remove(self, draft: Store, breather: Breather) -> int:
        """Remove what is to go, and of what changes whatever could stand in the way of others.

        Returns how many objects that are.
        """
        count = 0
        for kind in self.kinds:
            gone: list[Any] = []
            for item_id in self._list(kind):
                name = (kind, item_id)
                is_moved = name in self._changed and kind != "policies"
                if is_moved or not self._has(name):
                    gone.append(item_id)
                    count += 1
                if len(gone) == _OBJECTS:
                    draft.change(Changes(**{_WITHOUT[kind]: tuple(gone)}))
                    gone.clear()
                await breather.rest()
            if gone:
                draft.change(Changes(**{_WITHOUT[kind]: tuple(gone)}))
        return count

    async def _put(self, draft: Store, breather: Breather) -> None:
        """Add what is new or changed, API by API so that each is compiled once."""
        by_api: dict[str, list[Name]] = {}
        for name, (item, _) in self._changed.items():
            await breather.rest()
            by_api.setdefault(getattr(item, "api_id", ""), []).append(name)
        part: list[Name] = []
        for group in by_api.values():
            part += group
            while len(part) >= _OBJECTS:
                self._put_part(draft, part[:_OBJECTS])
                del part[:_OBJECTS]
                await breather.rest()
        if part:
            self._put_part(draft, part)
        await clear(by_api)

    def _put_part(self, draft: Store, names: list[Name]) -> None:
        try:
            draft.change(self._changes(names))
        except ObjectRefused:
            self._put_one_by_one(draft, names)

    def _put_one_by_one(self, draft: Store, names: list[Name]) -> None:
        """Add objects of which some contradict others; these stay as they were, or are left out."""
        for name in names:
            try:
                draft.change(self._changes([name]))
            except ObjectRefused as error:
                self._refuse(*name, str(error))
                self._contradicting.add(name)
                self._put_back(draft, name)

    def _put_back(self, draft: Store, name: Name) -> None:
        kind, item_id = name
        route, view = self.store.table.routes.get(item_id), self.store.routes.get(item_id)
        if kind == "apis" and route is not None and view is not None:
            with suppress(ObjectRefused):
                draft.change(Changes(routes=((route, json.loads(view)),)))

    def _changes(self, names: list[Name]) -> Changes:
        items = {kind: [self._changed[name] for name in names if name[0] == kind] for kind in KINDS}
        return Changes(
            routes=tuple(items["apis"]),
            policies=tuple(items["policies"]),
            consumers=tuple(items["consumers"]),
        )


_WITHOUT = {
    "apis": "without_routes", "policies": "without_policies", "consumers": "without_consumers",
}  # fmt: skip


def _read_line(line: bytes) -> Values:
    try:
        return read_json("application/json", line).values
    except BodyRefused as refused:
        raise ControlPlaneFailed(f"a line cannot be read: {refused.text}") from None


def hash_line(line: bytes) -> bytes:
    """Return by what a line is recognised."""
    return hashlib.blake2b(line, digest_size=12, key=_HASH_KEY).digest()


def _name_of(kind: str, values: Values) -> Name:
    item_id = values.get("id")
    return kind, item_id if isinstance(item_id, str) else ""
