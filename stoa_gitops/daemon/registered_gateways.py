"""The registered gateways of a process as its catalog has them: each that is bound by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from stoa_gitops.fleet.binding import NO_BINDINGS, Binding, Bindings, Expansion, bind, expand
from stoa_gitops.fleet.health import ErrorRules
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance


class RegisteredGateways:
    """Binds gateways to documents, anew for each catalog and each change of the fleet.

    registrations  returns all of them, at the moment
    """

    def __init__(self, registrations: Callable[[], Iterable[Registration]]) -> None:
        self._registrations = registrations
        self._expansion = Expansion()
        self._documents: dict[str, GatewayInstance] = {}
        self._changed: set[str] = set()
        self.bindings: Bindings = NO_BINDINGS

    def expand(self, catalog: Catalog) -> Catalog:
        """Return the catalog with each bound gateway in the place of its document."""
        self._changed.clear()
        self._documents = {one.name: one for one in catalog.gateways if one.is_unbound}
        self.bindings = bind(catalog.gateways, self._registrations())
        return expand(catalog, self.bindings, self._expansion)

    def find(self, gateway_id: str) -> Binding | None:
        """Return the binding of a registered gateway; None where it has none."""
        return self.bindings.bound.get(gateway_id)

    def idle_documents(self) -> list[GatewayInstance]:
        """Return the documents of which no gateway has registered, sorted by name."""
        return [self._documents[name] for name in self.bindings.idle if name in self._documents]

    def note_change(self, gateway_id: str) -> None:
        """Note that a gateway registered as another one than it is bound as."""
        self._changed.add(gateway_id)

    def is_changed(self, gateway_id: str) -> bool:
        """Whether it is bound as it was before its latest registration."""
        return gateway_id in self._changed

    def why_unbound(self, gateway_id: str) -> str:
        """Return why a gateway has no document; empty for one that has."""
        found = self.bindings.unbound.get(gateway_id)
        if found is not None:
            return found.reason
        return "" if self.find(gateway_id) else "the catalog was not read since it registered"

    # what documents say about the fleet

    def error_rules(self) -> dict[str, ErrorRules]:
        """Return when errors degrade each bound gateway, by id."""
        return {
            gateway_id: ErrorRules(rule.error_rate, rule.window, rule.recovery)
            for gateway_id, binding in self.bindings.bound.items()
            for rule in (binding.document.registration.degraded,)
        }

    def named_ids(self) -> frozenset[str]:
        """Return the ids of gateways that a document names: these are never forgotten."""
        bound = self.bindings.bound.items()
        return frozenset(gateway_id for gateway_id, binding in bound if binding.is_by_name)

    def forget_after(self) -> Mapping[str, timedelta]:
        """Return how long each bound gateway may be OFFLINE until it is forgotten, by id."""
        return {
            gateway_id: timedelta(seconds=binding.document.registration.forget_after)
            for gateway_id, binding in self.bindings.bound.items()
        }
