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
from stoa_proxy.admin.changes import Changes, names_of, place_of
from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body, read_json
from stoa_proxy.admin.object_list import ObjectList
from stoa_proxy.admin.saved_table import withheld_policy
from stoa_proxy.admin.store import Store, TableSource
from stoa_proxy.control_plane.known_lines import KnownLines, Name
from stoa_proxy.errors import BodyRefused, ControlPlaneFailed, ObjectRefused
from stoa_proxy.foundation.breather import Breather, clear, let_go

_log = logging.getLogger("stoa_proxy.control_plane")

Values = Mapping[str, object]
"""A line: its objects by their kinds."""

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
    known: Mapping[bytes, Name]
    kinds: tuple[str, ...] = KINDS
    taken: KnownLines = field(default_factory=KnownLines)
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
        refusals = tuple(self.refusals)
        for _ in range(_BUILDS):
            version = self.store.version
            draft, gone = await self._make_draft(refusals)
            if self.store.version == version:
                is_whole = not self.refusals
                source = None if etag is None else TableSource(etag, generation, is_whole)
                remains = self.store.adopt(draft, source)
                self.version = self.store.version
                await self._forget_contradicting(Breather())
                # Views are of no more use, and 30,000 that go at once take 15 ms.
                await clear(self._changed)
                await clear(self._kept)
                if self.changes_count + gone >= _MANY:
                    await let_go(remains)
                return
            await self._drop(draft)
        raise ControlPlaneFailed("the admin API changes the table at the same time")

    async def _make_draft(self, refusals: tuple[Refusal, ...]) -> tuple[Store, int]:
        """Return a changed copy of the store, and how many objects went for it.

        `refusals` are those of before. What keeps its place is replaced there, which is a quarter
        less work than to remove it first. Where objects contradict each other it is removed first,
        too, so that their order alone decides, whatever was there.
        """
        draft, breather = self._begin_draft(refusals), Breather()
        try:
            gone, stayed = await self._remove(draft, breather, is_all=False)
            await self._put(draft, breather, self._put_part if stayed else self._put_what_can_be)
        except ObjectRefused:
            await self._drop(draft)
            draft = self._begin_draft(refusals)
            gone, _ = await self._remove(draft, breather, is_all=True)
            await self._put(draft, breather, self._put_what_can_be)
        return draft, gone

    def _begin_draft(self, refusals: tuple[Refusal, ...]) -> Store:
        self.refusals = list(refusals)
        self._contradicting.clear()
        return self.store.copy()

    async def _drop(self, draft: Store) -> None:
        if self.changes_count >= _MANY:
            await let_go(draft.parts())

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
        if _list(self.store, kind).get(item_id) != ObjectList.serialise(view):
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
        elif name[1] in _list(self.store, kind):
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

    async def _remove(self, draft: Store, breather: Breather, *, is_all: bool) -> tuple[int, int]:
        """Remove what is to go, and of what changes whatever could stand in the way of others.

        That is what leaves its place, or with `is_all` everything but policies. Returns how many
        objects went, and how many of those that change stay where they are.
        """
        count = stayed = 0
        for kind in self.kinds:
            gone: list[Any] = []
            for item_id in _list(draft, kind):
                name = (kind, item_id)
                if name in self._changed and not is_all and not self._is_moved(draft, name):
                    stayed += 1
                elif (kind != "policies" and name in self._changed) or not self._has(name):
                    gone.append(item_id)
                    count += 1
                if len(gone) == _OBJECTS:
                    draft.change(Changes(**{_WITHOUT[kind]: tuple(gone)}))
                    gone.clear()
                await breather.rest()
            if gone:
                draft.change(Changes(**{_WITHOUT[kind]: tuple(gone)}))
        return count, stayed

    def _is_moved(self, draft: Store, name: Name) -> bool:
        """Whether an object that changes leaves a place that another one may take."""
        kind, item_id = name
        new: Any = self._changed[name][0]
        if kind == "apis":
            return place_of(draft.table.routes[item_id]) != place_of(new)
        if kind == "consumers":
            return names_of(draft.table.consumers[item_id]) != names_of(new)
        return False

    async def _put(
        self, draft: Store, breather: Breather, put: Callable[[Store, list[Name]], None]
    ) -> None:
        """Add what is new or changed, API by API so that each is compiled once."""
        by_api: dict[str, list[Name]] = {}
        for name, (item, _) in self._changed.items():
            await breather.rest()
            by_api.setdefault(getattr(item, "api_id", ""), []).append(name)
        part: list[Name] = []
        for group in by_api.values():
            part += group
            while len(part) >= _OBJECTS:
                put(draft, part[:_OBJECTS])
                del part[:_OBJECTS]
                await breather.rest()
        if part:
            put(draft, part)
        await clear(by_api)

    def _put_part(self, draft: Store, names: list[Name]) -> None:
        draft.change(self._changes(names))

    def _put_what_can_be(self, draft: Store, names: list[Name]) -> None:
        try:
            self._put_part(draft, names)
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


def _list(store: Store, kind: str) -> ObjectList:
    lists = {"apis": store.routes, "policies": store.policies, "consumers": store.consumers}
    return lists[kind]


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
