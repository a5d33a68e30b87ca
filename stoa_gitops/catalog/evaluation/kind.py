"""Describes a kind of document: everything that the catalog asks about it, as one value.

A module of `catalog/kinds` exports one `DocumentKind` as `KIND`. Kinds that become objects on
gateways and depend on APIs state `apis_of` and `resources` (and `resolve` where references can be
wrong); the core kinds `API`, `Tenant` and `Policy` depend on each other and are resolved by name in
`resolution`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Protocol

from stoa_gitops.catalog.documents.schemas import KindSchema, Schemas
from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.definitions import ApiDefinition
from stoa_gitops.catalog.evaluation.layout import KindLocation, Layout
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.gateway_types import GatewayTypes
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource


class Resolver(Protocol):
    """What a kind may ask about other documents while its references are resolved."""

    def has_api(self, key: Key) -> bool:
        """Whether the catalog has a document of this API, valid or not."""

    def api(self, key: Key) -> ApiDefinition | None:
        """Return an API that is valid in this environment, None where it is not."""

    def suggest(self, name: str, kind: str, tenant: str, what: str) -> str:
        """Return a hint with the names that are most like this one; `what` says what is missing."""

    def report_error(self, code: str, message: str, pointer: Pointer, hint: str) -> None:
        """Report an error at a place of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentKind(KindSchema):
    """One kind of document.

    home          the file of a document, as `tenants/<tenant>/policies/<name>.yaml`; a folder
                  `<api>` of its own fixes the name of the document, see `layout.KindLocation`
    order         position in lists, smallest first
    parse         makes the definition of a valid document in canonical form; errors go to the
                  context; None where the document as such is all there is
    find_secrets  yields findings for texts that are secrets by their place, beyond those that are
                  recognised in every kind
    limit         field of a tenant's `limits` that bounds the number of documents
    apis_of       returns the APIs that a definition depends on
    resolve       reports references that are wrong; returns the definition, without what it has no
                  right to, and None where the document is broken
    resources     returns the objects on one gateway, given the keys of the APIs there. The object
                  goes to each gateway that one of its APIs goes to; where its kind depends on no
                  APIs to each gateway of the tenant
    is_caller     the object also goes where an API lets in every application of its tenant

    A definition with `required_capabilities` is checked against what each gateway supports.
    """

    home: str
    order: int = 100
    parse: Callable[[dict[str, Any], DocumentContext], Any] | None = None
    find_secrets: Callable[[Mapping[str, Any], int], Iterable[Finding]] | None = None
    limit: str = ""
    apis_of: Callable[[Any], tuple[Key, ...]] | None = None
    resolve: Callable[[Any, Resolver], Any] | None = None
    resources: Callable[[Any, AbstractSet[Key]], Iterable[Resource]] | None = None
    is_caller: bool = False


class KindSet:
    """The kinds that a reader knows, with their schemas and the folders they lie in.

    kinds       by name, in the order of lists
    in_tenants  names of kinds that lie in tenants' folders
    limited     kinds that a tenant's limits bound
    dependents  kinds that become objects on gateways by their own functions
    """

    def __init__(
        self, kinds: Iterable[DocumentKind], gateway_types: GatewayTypes | None = None
    ) -> None:
        ordered = sorted(kinds, key=lambda kind: (kind.order, kind.name))
        self.kinds: Final = {kind.name: kind for kind in ordered}
        self.schemas: Final = Schemas(ordered, gateway_types)
        homes = {kind.name: KindLocation.parse(kind.home) for kind in ordered}
        self.layout: Final = Layout(homes)
        self.in_tenants: Final = frozenset(
            name for name, home in homes.items() if home.is_in_tenant
        )
        self.limited: Final = tuple(kind for kind in ordered if kind.limit)
        self.dependents: Final = {kind.name: kind for kind in ordered if kind.resources is not None}
