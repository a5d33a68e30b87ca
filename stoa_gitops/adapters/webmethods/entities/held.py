"""An API as the gateway holds it: its record, policy, actions and aliases together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stoa_gitops.adapters.webmethods.entities.marks import read_memory, text_of
from stoa_gitops.adapters.webmethods.entities.names import path_of_alias, runtime_path
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree


@dataclass(frozen=True, slots=True)
class HeldDefinition:
    """What is known of an API's definition, which lists do not show.

    sign        `lastModified` of the record when it was read
    title       empty where it has none
    operations  (path, method) of each that is served
    printed     print of the operations
    content     print of all else in it: texts, parameters, bodies, schemas; empty where it has none
    """

    sign: str
    title: str
    operations: frozenset[tuple[str, str]]
    printed: str
    content: str = ""

    def is_as_stored(self, content: str) -> bool:
        """Whether it is as the gateway stored it with this print, as far as is known."""
        return not content or self.content in ("", content)


@dataclass(frozen=True, slots=True)
class HeldApi:
    """One API of the gateway, ours or foreign; an empty record where only aliases are left.

    actions      in the order in which requests meet them, each with its `stage`
    aliases      by name: those that carry the mark of the API, or that its routing names
    url_aliases  those that lead to it
    dangling     ids in the policy of actions that are not there
    strays       ids of actions of ours that no policy has
    is_whole     policy and actions are as a write left them, and not as a list shows them, which
                 leaves fields out and lags behind
    """

    record: JsonTree
    policy: JsonTree | None = None
    actions: tuple[JsonTree, ...] = ()
    aliases: Mapping[str, JsonTree] = field(default_factory=dict)
    url_aliases: tuple[JsonTree, ...] = ()
    definition: HeldDefinition | None = None
    dangling: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    is_whole: bool = False

    @property
    def api_id(self) -> str:
        """The GUID; empty where the API itself is gone."""
        return str(self.record.get("id") or "")

    @property
    def is_active(self) -> bool:
        """Whether it is served."""
        return self.record.get("isActive") is True

    @property
    def name(self) -> str:
        """`apiName`."""
        return str(self.record.get("apiName") or "")

    @property
    def runtime_path(self) -> str:
        """The path that the gateway gives it itself, whatever URL aliases there are."""
        version = str(self.record.get("apiVersion") or "")
        return path_of_alias(runtime_path(self.name, version))

    @property
    def paths(self) -> frozenset[str]:
        """The paths of its URL aliases."""
        return frozenset(path_of_alias(str(one.get("alias") or "")) for one in self.url_aliases)

    def action(self, template: str) -> Mapping[str, Any] | None:
        """Return the first action of a template."""
        return next((one for one in self.actions if one.get("templateKey") == template), None)


def remembered_content(held: HeldApi) -> str:
    """Return the print of the definition as the gateway stored it; empty where nobody saw it."""
    memory = read_memory(text_of((held.policy or {}).get("descriptions")))
    return str((memory or {}).get("content") or "")


def remembered_operations(held: HeldApi) -> str:
    """Return the print of the operations that an API of ours should have, as its memory has it."""
    memory = read_memory(text_of((held.policy or {}).get("descriptions")))
    return str((memory or {}).get("operations") or "")
