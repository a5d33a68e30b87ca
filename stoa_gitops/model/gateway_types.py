"""What the catalog must know of a gateway type: facts about the vendor, handed to it as values.

An adapter states them in its `AdapterInfo`; `adapters.registry.gateway_types()` collects them, so
that the catalog can check documents without importing any adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stoa_gitops.model.canonical import JsonObject


@dataclass(frozen=True, slots=True)
class GatewayTypeInfo:
    """Facts about one value of `spec.gatewayType`.

    name                 the value in the document, such as `kong`
    title                the vendor's name in messages; empty is `name`
    options_schema       JSON Schema (draft 2020-12) of `spec.options`, None if the type has none
    has_one_name_space   the gateway knows no tenants, so APIs are called `<tenant>-<name>` and two
                         tenants' APIs can collide by name
    allows_nested_paths  a route may lie below the path of another API
    can_be_embedded      `baseUrl: embedded` is possible: the data plane of this process
    object_options       option -> kind of the objects of the whole gateway that stand there by name
    """

    name: str
    title: str = ""
    # A schema is a tree of dicts and lists, which have no hash; the name identifies the type.
    options_schema: JsonObject | None = field(default=None, hash=False)
    has_one_name_space: bool = False
    allows_nested_paths: bool = True
    can_be_embedded: bool = False
    object_options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        """Name for people."""
        return self.title or self.name


class GatewayTypes:
    """The gateway types of an installation, each described when it is first asked for.

    A catalog names one or two types, and describing one means to import its adapter (Kong's is some
    30 modules), so only messages, pages and schemas that list all of them iterate.

        types = GatewayTypes.of(GatewayTypeInfo("acme"))
        assert types.get("acme") is not None
    """

    def __init__(
        self,
        find: Callable[[str], GatewayTypeInfo | None],
        list_all: Callable[[], Iterable[GatewayTypeInfo]],
    ) -> None:
        self._find = find
        self._list_all = list_all

    @classmethod
    def of(cls, *infos: GatewayTypeInfo) -> GatewayTypes:
        """Return types that are described already."""
        by_name = {info.name: info for info in infos}
        return cls(by_name.get, by_name.values)

    def get(self, name: str) -> GatewayTypeInfo | None:
        """Return the description of a type, None for an unknown one."""
        return self._find(name)

    def __iter__(self) -> Iterator[GatewayTypeInfo]:
        return iter(self._list_all())
