"""What was written and should show in the next read: the gateway's lists lag behind its store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from stoa_gitops.adapters.webmethods.entities.marks import text_of

if TYPE_CHECKING:
    from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot

GONE: Final = None


class Expectations:
    """By id: the memory of an API's policy, or the description of an application; None for gone."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Expect nothing any more."""
        self.apis: dict[str, tuple[str, bool] | None] = {}
        self._applications: dict[str, tuple[str, frozenset[str]] | None] = {}
        self._aliases: dict[str, bool] = {}
        self._url_aliases: dict[str, str | None] = {}

    @property
    def is_pending(self) -> bool:
        """Whether something was written since the last read."""
        return bool(self.apis or self._applications or self._aliases or self._url_aliases)

    def api(self, api_id: str, memory: str, *, is_active: bool) -> None:
        """Expect an API with a policy that holds this memory."""
        self.apis[api_id] = memory, is_active

    def no_api(self, api_id: str) -> None:
        """Expect that an API is gone."""
        self.apis[api_id] = GONE

    def application(self, application_id: str, mark: str, apis: frozenset[str]) -> None:
        """Expect an application with this mark and these links."""
        self._applications[application_id] = mark, apis

    def no_application(self, application_id: str) -> None:
        """Expect that an application is gone."""
        self._applications[application_id] = GONE

    def alias(self, name: str, *, is_there: bool) -> None:
        """Expect an alias, or none of this name."""
        self._aliases[name] = is_there

    def url_alias(self, alias: str, path: str | None) -> None:
        """Expect a URL alias that leads to a path, or none of this name."""
        self._url_aliases[alias] = path

    def are_shown(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot has all that was written."""
        return (
            all(_shows_api(snapshot, *one) for one in self.apis.items())
            and self._shows_applications(snapshot)
            and all((name in snapshot.aliases) == there for name, there in self._aliases.items())
            and all(
                _path_of(snapshot.url_aliases.get(alias)) == path
                for alias, path in self._url_aliases.items()
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


def _shows_api(snapshot: Snapshot, api_id: str, wanted: tuple[str, bool] | None) -> bool:
    group = snapshot.groups.get(api_id)
    if group is None or wanted is None:
        return group is None and wanted is None
    memory = text_of((group.held.policy or {}).get("descriptions"))
    return memory == wanted[0] and group.held.is_active == wanted[1] and not group.held.dangling


def _path_of(alias: Mapping[str, object] | None) -> str | None:
    return None if alias is None else str(alias.get("urlPath") or "").strip("/")
