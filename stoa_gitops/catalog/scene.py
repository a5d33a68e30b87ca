"""One environment of a catalog: which API goes to which gateway, with which policies.

References are followed here. What two documents do to each other on a gateway is for `collisions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stoa_gitops.catalog.environments import Overlay
from stoa_gitops.catalog.facts import (
    ApiFacts,
    ApplicationFacts,
    Lowered,
    PolicyFacts,
    PolicyUse,
    Subscription,
    TenantFacts,
)
from stoa_gitops.catalog.findings import near
from stoa_gitops.catalog.index import Document
from stoa_gitops.catalog.lower import BUILTIN_ALIASES
from stoa_gitops.catalog.nodes import Pointer
from stoa_gitops.catalog.world import World
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key


@dataclass(slots=True)
class PlacedApi:
    """An API in one environment: the gateways it goes to, and its policies by type."""

    document: Document
    lowered: Lowered
    facts: ApiFacts
    targets: list[tuple[GatewayInstance, bool]]
    policies: dict[str, PolicyFacts]
    is_broken: bool = False


@dataclass(slots=True)
class PlacedApplication:
    """An application in one environment, with the subscriptions that lead somewhere."""

    document: Document
    lowered: Lowered
    facts: ApplicationFacts
    subscriptions: list[Subscription] = field(default_factory=list)


class Scene:
    """Follows the references of one environment and notes those that lead nowhere."""

    def __init__(
        self,
        world: World,
        overlay: Overlay,
        gateways: Mapping[str, GatewayInstance],
        *,
        is_partial: bool = False,
    ) -> None:
        self.world = world
        self.overlay = overlay
        self.gateways = {
            name: gateway
            for name, gateway in gateways.items()
            if gateway.environment == overlay.name
        }
        self.apis: dict[Key, PlacedApi] = {}
        self.applications: list[PlacedApplication] = []
        self._all = gateways
        # Without gateways, or where the environment's document is broken, what needs no variable is
        # still checked.
        self.is_partial = is_partial or not gateways
        self._has_gateways = bool(gateways)
        self._tenants: dict[str, tuple[Document, Lowered, TenantFacts] | None] = {}
        self._defaults: dict[str, dict[str, PolicyFacts] | None] = {}

    def build(self) -> None:
        """Place every API and application."""
        for document in self.world.index.of("Tenant"):
            self._tenant(document)
        for document in self.world.index.of("API"):
            if not document.is_broken:
                self._api(document)
        for document in self.world.index.of("Application"):
            if not document.is_broken:
                self._application(document)
        for document in self.world.index.of("Policy"):
            # Those that nobody uses, too.
            if not document.is_broken and self._concerns_tenant(document):
                self.world.note(document, self.world.lowered(document, self.overlay))

    def _tenant(self, document: Document) -> None:
        self._tenants[document.tenant] = None
        if document.is_broken or not self._concerns_tenant(document):
            return
        lowered = self.world.lowered(document, self.overlay)
        self.world.note(document, lowered)
        if not isinstance(lowered.facts, TenantFacts):
            return
        wrong = False
        for reference in lowered.facts.gateways:
            text = self._refused(reference.name, document.tenant)
            if text is not None:
                wrong = True
                if text:
                    self.world.say(
                        document, "ref.gateway", text, reference.pointer,
                        self._near_gateway(reference.name), lowered=lowered,
                    )  # fmt: skip
        policies = self._policies(document, lowered, lowered.facts.policies, document.tenant)
        self._defaults[document.tenant] = policies
        if not wrong and policies is not None:
            self._tenants[document.tenant] = (document, lowered, lowered.facts)

    def _near_gateway(self, name: str) -> str:
        if name in self._all:
            return "add the tenant to the gateway's `tenants`, or leave the gateway out"
        return near(name, self._all, what="GatewayInstance in gateways/")

    def _refused(self, name: str, tenant: str) -> str | None:
        """Say why a tenant cannot use a gateway: None when it can, empty when its document is broken."""
        gateway = self._all.get(name)
        if gateway is None:
            known = self.world.index.get("GatewayInstance", "", name)
            return "" if known is not None else f"there is no gateway {name}"
        if gateway.tenants and tenant not in gateway.tenants:
            return f"the gateway {name} does not take the tenant {tenant}"
        return None

    def _default_gateways(self, tenant: str, names: Sequence[str]) -> list[GatewayInstance]:
        """Return the gateways of an API that names none."""
        return [
            gateway
            for name, gateway in self.gateways.items()
            if (not names or name in names) and (not gateway.tenants or tenant in gateway.tenants)
        ]

    def _api(self, document: Document) -> None:
        tenant = self._tenants.get(document.tenant)
        if self.is_partial and document.parsed.has_variables:
            return
        lowered = self.world.lowered(document, self.overlay)
        names = [reference.name for reference in tenant[2].gateways] if tenant else []
        if lowered.named is None and not self._concerns_tenant(document, names):
            return
        if lowered.named is not None and not self._concerns(lowered.named):
            return
        self.world.note(document, lowered)
        facts = lowered.facts
        if not isinstance(facts, ApiFacts):
            return
        targets, is_placed = self._targets(document, lowered, facts, names)
        own = self._policies(document, lowered, facts.policies, document.tenant)
        has_aliases = self._has_aliases(document, lowered, facts)
        if tenant is None or own is None or not is_placed or not has_aliases:
            return
        policies = {**(self._defaults[document.tenant] or {}), **own}
        self.apis[facts.key] = PlacedApi(document, lowered, facts, targets, policies)

    def _concerns_tenant(self, document: Document, names: Sequence[str] = ()) -> bool:
        """Whether a document that names no gateway matters in this environment."""
        if self.is_partial and document.parsed.has_variables:
            return False
        return not self._has_gateways or bool(self._default_gateways(document.tenant, names))

    def _concerns(self, names: Sequence[str]) -> bool:
        """Whether a gateway of this environment is named, or one that there is nowhere."""
        return any(name in self.gateways or name not in self._all for name in names)

    def _targets(
        self, document: Document, lowered: Lowered, facts: ApiFacts, defaults: Sequence[str]
    ) -> tuple[list[tuple[GatewayInstance, bool]], bool]:
        if facts.gateways is None:
            found = self._default_gateways(document.tenant, defaults)
            return [(gateway, facts.active) for gateway in found], True
        targets: dict[str, tuple[GatewayInstance, bool]] = {}
        is_placed = True
        for target in facts.gateways:
            text = self._refused(target.name, document.tenant)
            if text:
                is_placed = False
                self.world.say(
                    document, "ref.gateway", text, target.pointer,
                    self._near_gateway(target.name), lowered=lowered,
                )  # fmt: skip
            gateway = self.gateways.get(target.name)
            if text is None and gateway is not None:
                active = facts.active if target.active is None else target.active
                targets[target.name] = (gateway, active)
        return list(targets.values()), is_placed

    def _has_aliases(self, document: Document, lowered: Lowered, facts: ApiFacts) -> bool:
        is_known = True
        for reference in facts.aliases:
            if reference.name not in BUILTIN_ALIASES:
                is_known = False
                self.world.say(
                    document, "ref.alias", f"there is no alias {reference.name}",
                    reference.pointer, near(reference.name, BUILTIN_ALIASES), lowered=lowered,
                )  # fmt: skip
        return is_known

    def _policies(
        self, document: Document, lowered: Lowered, uses: Sequence[PolicyUse], tenant: str
    ) -> dict[str, PolicyFacts] | None:
        """Return the policies that are used, by type; None when one of them is not to be had."""
        policies: dict[str, PolicyFacts] = {}
        is_whole = True
        for use in uses:
            facts = use.inline or self._policy(document, lowered, use, tenant)
            if facts is None:
                is_whole = False
            elif facts.type in policies:
                is_whole = False
                self.world.say(
                    document, "policy.type-twice",
                    f"two policies of type {facts.type} are used here", use.pointer,
                    "keep one: a gateway has one of each type for an API", lowered=lowered,
                )  # fmt: skip
            else:
                policies[facts.type] = facts
        return policies if is_whole else None

    def _policy(
        self, document: Document, lowered: Lowered, use: PolicyUse, tenant: str
    ) -> PolicyFacts | None:
        found = self.world.index.get("Policy", tenant, use.name)
        if found is None:
            names = self.world.index.names("Policy", tenant)
            self.world.say(
                document, "ref.policy", f"the tenant {tenant} has no policy {use.name}",
                use.pointer, near(use.name, names, what=f"policy in tenants/{tenant}/policies/"),
                lowered=lowered,
            )  # fmt: skip
            return None
        if found.is_broken or (self.is_partial and found.parsed.has_variables):
            return None
        read = self.world.lowered(found, self.overlay)
        self.world.note(found, read)
        return read.facts if isinstance(read.facts, PolicyFacts) else None

    def _application(self, document: Document) -> None:
        if not self._concerns_tenant(document):
            return
        lowered = self.world.lowered(document, self.overlay)
        self.world.note(document, lowered)
        if not isinstance(lowered.facts, ApplicationFacts):
            return
        placed = PlacedApplication(document, lowered, lowered.facts)
        checked = [self._subscription(placed, item) for item in lowered.facts.subscriptions]
        if all(checked) and self._tenants.get(document.tenant) is not None:
            self.applications.append(placed)

    def _subscription(self, placed: PlacedApplication, item: Subscription) -> bool:
        """Keep a subscription whose API is placed; False when it is wrong."""
        if self.world.index.get("API", item.api.tenant, item.api.name) is None:
            names = self.world.index.names("API", item.api.tenant)
            text = f"the tenant {item.api.tenant} has no API {item.api.name}"
            hint = near(item.api.name, names, what=f"API in tenants/{item.api.tenant}/apis/")
            return self._wrong(placed, "ref.api", text, (*item.pointer, "api"), hint)
        api = self.apis.get(item.api)
        if api is None:
            return True
        plans = api.facts.plans
        if item.plan and item.plan not in plans:
            text = f"{item.api.short} has no plan {item.plan}"
            hint = near(item.plan, plans, what="plan of that API")
            return self._wrong(placed, "ref.plan", text, (*item.pointer, "plan"), hint)
        if plans and not item.plan:
            text = f"{item.api.short} has plans, and the subscription names none"
            hint = f"write `plan:` with one of {', '.join(sorted(plans))}"
            return self._wrong(placed, "ref.plan", text, item.pointer, hint)
        placed.subscriptions.append(item)
        return True

    def _wrong(
        self, placed: PlacedApplication, code: str, text: str, at: Pointer, hint: str
    ) -> bool:
        self.world.say(placed.document, code, text, at, hint, lowered=placed.lowered)
        return False
