"""What was written since the last read: what the next one should show, and what is known till then.

The gateway's lists lag behind its store, and a read finds everything: a plan that read after each
part of it would read as often as it has parts. So what was written is laid over the last snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from stoa_gitops.adapters.webmethods.entities.actions import differences
from stoa_gitops.adapters.webmethods.entities.marks import text_of
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.limits import TEMPLATE

if TYPE_CHECKING:
    from stoa_gitops.adapters.webmethods.node.snapshot import ApiGroup, Snapshot

GONE: Final = None

T = TypeVar("T")


class Expectations:
    """By id: the memory of an API's policy, or the description of an application; None for gone.

    version    another one after each write that was noted
    is_unsure  a write ended in a way that does not tell what the gateway holds now
    """

    def __init__(self) -> None:
        self.version = 0
        self.clear()

    def clear(self) -> None:
        """Expect nothing any more, and know nothing beyond what was read."""
        self.apis: dict[str, tuple[str, bool] | None] = {}
        self._applications: dict[str, tuple[str, frozenset[str]] | None] = {}
        self._aliases: dict[str, JsonTree | None] = {}
        self._url_aliases: dict[str, JsonTree | None] = {}
        self._groups: dict[str, ApiGroup | None] = {}
        self._trees: dict[str, JsonTree | None] = {}
        self._deleted_aliases: set[str] = set()
        self.is_unsure = False

    @property
    def is_pending(self) -> bool:
        """Whether something was written since the last read."""
        return self.is_unsure or bool(
            self.apis or self._applications or self._aliases or self._url_aliases or self._groups
        )

    @property
    def deleted(self) -> set[str]:
        """Ids of what was deleted since the last read."""
        found = {ident for ident, one in self.apis.items() if one is GONE}
        found |= {ident for ident, one in self._applications.items() if one is GONE}
        return found | self._deleted_aliases

    def doubt(self) -> None:
        """Have the gateway read before anything else is written."""
        self.is_unsure = True
        self.version += 1

    @contextmanager
    def doubted_unless_done(self) -> Iterator[None]:
        """Doubt what a write did that does not come to its end."""
        try:
            yield
        except BaseException:
            self.doubt()
            raise

    # what the next read should show

    def api(self, api_id: str, memory: str, *, is_active: bool) -> None:
        """Expect an API with a policy that holds this memory."""
        self.apis[api_id] = memory, is_active
        self.version += 1

    def no_api(self, api_id: str) -> None:
        """Expect that an API is gone."""
        self.apis[api_id] = GONE
        self._groups[api_id] = GONE
        self.version += 1

    def application(self, application_id: str, mark: str, apis: frozenset[str]) -> None:
        """Expect an application with this mark and these links."""
        self._applications[application_id] = mark, apis
        self.version += 1

    def no_application(self, application_id: str) -> None:
        """Expect that an application is gone."""
        self._applications[application_id] = GONE
        self._trees[application_id] = GONE
        self.version += 1

    def alias(self, name: str, alias: JsonTree | None) -> None:
        """Expect an alias, or none of this name."""
        self._aliases[name] = alias
        self.version += 1

    def no_alias(self, name: str, ident: str) -> None:
        """Expect that an alias is gone."""
        self._deleted_aliases.add(ident)
        self.alias(name, None)

    def url_alias(self, name: str, alias: JsonTree | None) -> None:
        """Expect a URL alias, or none of this name."""
        self._url_aliases[name] = alias
        self.version += 1

    # what is known till then

    def wrote_api(self, group: ApiGroup) -> None:
        """Know an API as it was written; what a read alone can tell of it is not in there."""
        self._groups[group.root] = group
        self.version += 1

    def group_of(self, root: str) -> ApiGroup | None:
        """Return an API as it was written since the last read; None where it was not."""
        return self._groups.get(root)

    def wrote_application(self, application_id: str, tree: JsonTree) -> None:
        """Know an application as it was written, keys in clear."""
        self._trees[application_id] = tree
        self.version += 1

    def laid_over(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot with what was written; its items are not for lists."""
        applications = {str(tree.get("id")): tree for tree in snapshot.applications}
        return replace(
            snapshot,
            groups=_laid_over(snapshot.groups, self._groups),
            applications=list(_laid_over(applications, self._trees).values()),
            aliases=_laid_over(snapshot.aliases, self._aliases),
            url_aliases=_laid_over(snapshot.url_aliases, self._url_aliases),
        )

    def are_shown(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot has all that was written."""
        return (
            all(_shows_api(snapshot, *one) for one in self.apis.items())
            and all(
                _shows_actions(snapshot.groups[root], group)
                for root, group in self._groups.items()
                if group is not None and root in snapshot.groups
            )
            and self._shows_applications(snapshot)
            and all((n in snapshot.aliases) == bool(one) for n, one in self._aliases.items())
            and all(
                _path_of(snapshot.url_aliases.get(name)) == _path_of(alias)
                for name, alias in self._url_aliases.items()
            )
        )

    def _shows_applications(self, snapshot: Snapshot) -> bool:
        if not self._applications:
            return True
        held = {str(tree.get("id")): tree for tree in snapshot.applications}
        for application_id, wanted in self._applications.items():
            tree = held.get(application_id)
            if (tree is None) != (wanted is None):
                return False
            if tree is None or wanted is None:
                continue
            links = frozenset(str(one) for one in tree.get("consumingAPIs") or ())
            if str(tree.get("description")) != wanted[0] or links != wanted[1]:
                return False
        return True


def _laid_over(held: Mapping[str, T], written: Mapping[str, T | None]) -> dict[str, T]:
    found = {**held, **written}
    return {name: one for name, one in found.items() if one is not None}


def _shows_api(snapshot: Snapshot, api_id: str, wanted: tuple[str, bool] | None) -> bool:
    group = snapshot.groups.get(api_id)
    if group is None or wanted is None:
        return group is None and wanted is None
    memory = text_of((group.held.policy or {}).get("descriptions"))
    return memory == wanted[0] and group.held.is_active == wanted[1] and not group.held.dangling


def _shows_actions(shown: ApiGroup, written: ApiGroup) -> bool:
    """Whether an API has the actions that were written, and limits with their subscribers: those
    of a plan change while nothing else of the API does.
    """
    if not written.held.is_whole:
        return True
    held = {str(one.get("id")): one for one in shown.held.actions}
    return held.keys() == {str(one["id"]) for one in written.held.actions} and not any(
        any(differences(one["parameters"], held[str(one["id"])].get("parameters"), ""))
        for one in written.held.actions
        if one["templateKey"] == TEMPLATE
    )


def _path_of(alias: Mapping[str, object] | None) -> str | None:
    return None if alias is None else str(alias.get("urlPath") or "").strip("/")
