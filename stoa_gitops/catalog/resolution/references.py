"""Looks up the gateways, policies and aliases that documents name, in one environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from stoa_gitops.catalog.evaluation.definitions import (
    ApiDefinition,
    EvaluatedDocument,
    PolicyDefinition,
    PolicyUse,
)
from stoa_gitops.catalog.evaluation.overlay import Overlay
from stoa_gitops.catalog.findings import suggest
from stoa_gitops.catalog.resolution.evaluation_cache import EvaluationCache
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.finding_log import FindingLog, located
from stoa_gitops.catalog.resolution.foreign_secrets import NO_GUARD, SecretGuard
from stoa_gitops.catalog.resolution.index import DocKey
from stoa_gitops.catalog.resolution.resolved import Targets
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.instances import GatewayInstance

BUILTIN_ALIASES: Final = ("echo",)
"""Aliases that need no document: the data plane serves them."""

_INTERNED_AT_MOST: Final = 2_000
"""Different combinations of policies that are kept to be shared by further APIs."""


class References:
    """Looks up names in one environment and reports those that do not exist.

    gateways    those of this environment
    is_partial  without gateways, or where the environment's document is broken: what needs no
                variable
                is still checked
    current     the document that is resolved at the moment
    """

    def __init__(
        self,
        evaluations: EvaluationCache,
        overlay: Overlay,
        gateways: Mapping[str, GatewayInstance],
        *,
        is_partial: bool,
        secrets: SecretGuard = NO_GUARD,
    ) -> None:
        self.evaluations = evaluations
        self.overlay = overlay
        self.gateways = {n: g for n, g in gateways.items() if g.environment == overlay.name}
        self.is_partial = is_partial or not gateways
        self.finding_log = FindingLog()
        self.current: DocKey = ("", "", "")
        self._all = gateways
        self._has_unread_gateway = evaluations.index.has_unusable("gateways")
        self._secrets = secrets
        # Per instance: the answer depends on the gateways of this environment.
        self._default_targets = lru_cache(maxsize=1_000)(self._find_targets)
        self._interned: dict[tuple[int, ...], Mapping[str, PolicyDefinition]] = {}
        self._hints: dict[tuple[str, str], set[DocKey]] = {}

    def report_error(
        self,
        document: Document,
        evaluated: EvaluatedDocument,
        code: str,
        text: str,
        at: Pointer,
        hint: str,
    ) -> None:
        """Report an error about a document that is being resolved."""
        self.finding_log.add(located(document, code, text, at, hint, evaluated=evaluated))

    def report_warning(
        self,
        document: Document,
        evaluated: EvaluatedDocument,
        code: str,
        text: str,
        at: Pointer,
    ) -> None:
        """Report something about a document that does not keep it from being written."""
        severity = Severity.WARNING
        self.finding_log.add(
            located(document, code, text, at, evaluated=evaluated, severity=severity)
        )

    def evaluate(self, document: Document) -> EvaluatedDocument:
        """Return a document in this environment; its own findings are reported."""
        evaluated = self.evaluations.evaluate(document, self.overlay)
        return self.note(document, evaluated)

    def note(self, document: Document, evaluated: EvaluatedDocument) -> EvaluatedDocument:
        """Report what a document has by itself; return it, broken if it uses foreign secrets."""
        self.finding_log.note(document, evaluated)
        if not evaluated.secrets:
            return evaluated
        may_use, found = self._secrets.check(document, evaluated)
        for item in found:
            self.finding_log.add(item)
        return evaluated if may_use else replace(evaluated, definition=None)

    def suggest(self, word: str, kind: str, tenant: str, what: str) -> str:
        """Return a hint with the most similar names.

        The current document is resolved again when such names appear or disappear.
        """
        self._hints.setdefault((kind, tenant), set()).add(self.current)
        return suggest(word, self.evaluations.index.names(kind, tenant), what=what)

    def has_document(self, kind: str, tenant: str, name: str) -> bool | None:
        """Whether the catalog has a document; None where a file that is no use may define it.

        The current document is resolved again when that may be told otherwise.
        """
        index = self.evaluations.index
        if index.get(kind, tenant, name) is not None:
            return True
        self._hints.setdefault((kind, tenant), set()).add(self.current)
        return None if tenant in index.incomplete else False

    def pop_documents_hinting_at(self, names: Iterable[tuple[str, str]]) -> set[DocKey]:
        """Return the documents that have hints with names of these (kind, tenant) pairs."""
        return {key for pair in names for key in self._hints.pop(pair, ())}

    def why_gateway_unusable(self, name: str, tenant: str) -> str | None:
        """Return why a tenant cannot use a gateway.

        None when it can; empty when the gateway's document is broken, or may be in a file that
        cannot be read: either is reported there.
        """
        gateway = self._all.get(name)
        if gateway is None:
            known = self.evaluations.index.get("GatewayInstance", "", name)
            # A broken gateway document has findings of its own; the reference is not the mistake.
            is_reported = known is not None or self._has_unread_gateway
            return "" if is_reported else f"there is no gateway {name}"
        if gateway.tenants and tenant not in gateway.tenants:
            return f"the gateway {name} does not take the tenant {tenant}"
        return None

    def suggest_gateway(self, name: str) -> str:
        """Return a hint for a gateway that a tenant cannot use."""
        if name in self._all:
            return "add the tenant to the gateway's `tenants`, or leave the gateway out"
        return suggest(name, self._all, what="GatewayInstance in gateways/")

    def default_targets(self, tenant: str, names: tuple[str, ...], *, active: bool) -> Targets:
        """Return the targets of an API that names no gateway: one tuple per tenant."""
        return self._default_targets(tenant, names, active)

    def _find_targets(self, tenant: str, names: tuple[str, ...], active: bool) -> Targets:
        return tuple(
            (gateway, active)
            for name, gateway in self.gateways.items()
            if (not names or name in names) and (not gateway.tenants or tenant in gateway.tenants)
        )

    def is_hidden(self, document: Document) -> bool:
        """Whether a document cannot be evaluated here: the values of its variables are unknown."""
        return self.is_partial and document.parsed.has_variables

    def concerns_tenant(self, document: Document, names: tuple[str, ...] = ()) -> bool:
        """Whether a document that names no gateway goes to one of this environment."""
        if self.is_hidden(document):
            return False
        return not self._all or bool(self.default_targets(document.tenant, names, active=True))

    def concerns(self, names: Sequence[str]) -> bool:
        """Whether a gateway of this environment is named, or one that does not exist at all."""
        return any(name in self.gateways or name not in self._all for name in names)

    def has_aliases(
        self, document: Document, evaluated: EvaluatedDocument, definition: ApiDefinition
    ) -> bool:
        """Report unknown aliases of an API; return whether all are known."""
        is_known = True
        for reference in definition.aliases:
            if reference.name not in BUILTIN_ALIASES:
                is_known = False
                text = f"there is no alias {reference.name}"
                hint = suggest(reference.name, BUILTIN_ALIASES)
                self.report_error(document, evaluated, "ref.alias", text, reference.pointer, hint)
        return is_known

    def policies(
        self, document: Document, evaluated: EvaluatedDocument, uses: Sequence[PolicyUse]
    ) -> dict[str, PolicyDefinition] | None:
        """Return the used policies by type; None when one is missing, broken or a duplicate."""
        policies: dict[str, PolicyDefinition] = {}
        is_whole = True
        for use in uses:
            # A policy that is written out needs no lookup.
            definition = use.inline or self._policy(document, evaluated, use)
            if definition is None:
                is_whole = False
            elif definition.type in policies:
                is_whole = False
                text = f"two policies of type {definition.type} are used here"
                hint = "keep one: a gateway has one of each type for an API"
                self.report_error(document, evaluated, "policy.type-twice", text, use.pointer, hint)
            else:
                policies[definition.type] = definition
        return policies if is_whole else None

    def intern(self, policies: Mapping[str, PolicyDefinition]) -> Mapping[str, PolicyDefinition]:
        """Return the equal mapping of another API, so that both hold one object."""
        if len(self._interned) >= _INTERNED_AT_MOST:
            self._interned = {}
        # Keys are ids of policies that the mapping itself keeps alive, so no id is reused.
        return self._interned.setdefault(tuple(map(id, policies.values())), policies)

    def _policy(
        self, document: Document, evaluated: EvaluatedDocument, use: PolicyUse
    ) -> PolicyDefinition | None:
        tenant = document.tenant
        found = self.evaluations.index.get("Policy", tenant, use.name)
        if self.has_document("Policy", tenant, use.name) is None:
            return None  # the unreadable file that may hold it has a finding
        if found is None:
            text = f"the tenant {tenant} has no policy {use.name}"
            what = f"policy in tenants/{tenant}/policies/"
            hint = self.suggest(use.name, "Policy", tenant, what)
            self.report_error(document, evaluated, "ref.policy", text, use.pointer, hint)
            return None
        if found.is_broken or self.is_hidden(found):
            return None
        read = self.evaluate(found)
        return read.definition if isinstance(read.definition, PolicyDefinition) else None
