"""Tenants of STOA's trees: their documents, default policies, and what their contracts add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.stoa.policies import PolicyBook, may_keep_out
from stoa_gitops.catalog.export.foreign.stoa.variables import Variables
from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    items_of,
    mapping_of,
    texts_of,
)
from stoa_gitops.model.instances import GatewayInstance

_ALIASES: Final = {
    "development": "dev",
    "stage": "staging",
    "preprod": "staging",
    "production": "prod",
}
_VISIBILITIES: Final = ("public", "internal", "hidden")


def environment_of(name: str) -> str:
    """Return one name for an environment that people call by several: production is prod."""
    plain = name.strip().lower()
    return _ALIASES.get(plain, plain)


@dataclass(slots=True)
class TenantHome:
    """One tenant on its way into the catalog.

    gateways    names of the gateways of its APIs
    closed      why its APIs are written inactive; empty where they are not
    policies    names of the policies that its documents may refer to, each with its type
    visibility  of its APIs in the portal, where they say nothing
    """

    name: str
    document: TranslatedDocument
    gateways: list[str]
    closed: str = ""
    policies: dict[str, str] = field(default_factory=dict)
    visibility: str = ""


class Tenants:
    """Makes the tenants of a tree, and the policies that belong to them."""

    def __init__(
        self,
        translation: Translation,
        gateways: Sequence[GatewayInstance],
        book: PolicyBook,
        variables: Variables,
    ) -> None:
        self._translation = translation
        self._gateways = gateways
        self._book = book
        self._variables = variables
        self.homes: dict[str, TenantHome] = {}

    def home(self, name: str) -> TenantHome:
        """Return a tenant; one without a document is made."""
        if name not in self.homes:
            names = [one.name for one in self._gateways]
            document = self._translation.add("Tenant", name, name, {"gateways": names})
            self.homes[name] = TenantHome(name, document, names)
        return self.homes[name]

    def add(self, name: str, root: Mapping[str, Any]) -> None:
        """Add the tenant of a `tenant.yaml`."""
        metadata, spec = mapping_of(root.get("metadata")), mapping_of(root.get("spec"))
        settings, contact = mapping_of(spec.get("settings")), mapping_of(spec.get("contact"))
        visibility = str(spec.get("portalVisibility") or "")
        targets = self.gateways_in(texts_of(settings.get("environments")))
        email = str(contact.get("email") or "")
        document = self._translation.add(
            "Tenant",
            name,
            name,
            {
                "displayName": metadata.get("displayName") or spec.get("displayName"),
                "contact": {
                    key: value
                    for key, value in (("team", contact.get("team")), ("email", email))
                    if value
                },
                "gateways": targets or [one.name for one in self._gateways],
                "limits": _limits(settings),
                "portal": {"visibility": visibility} if visibility in _VISIBILITIES else {},
            },
        )
        home = TenantHome(name, document, document.spec.get("gateways", []), visibility=visibility)
        self.homes[name] = home
        self._note_rest(home, metadata, spec)
        policies = []
        for item in items_of(spec.get("defaultPolicies")):
            wanted = str(item.get("name") or "")
            if self.use_policy(home, wanted, mapping_of(item.get("config"))):
                policies.append(wanted)
            elif may_keep_out(wanted):
                home.closed = home.closed or f"policy {wanted}"
        if policies:
            document.spec["policies"] = policies

    def use_policy(self, home: TenantHome, name: str, config: Mapping[str, Any]) -> bool:
        """Give a tenant the policy of a name; False, which is listed, where nothing says it."""
        if name in home.policies:
            return True
        found = self._book.find(name, config)
        if found is None:
            effect = "left out: nothing says what it does"
            if may_keep_out(name):
                effect += "; its APIs are written inactive, for it may keep callers out"
            self._translation.leave_out("policy", name, "", effect, home.document)
            return False
        spec = {"type": found.type, "config": self._variables.resolve(found.config)}
        document = self._translation.add("Policy", home.name, name, spec)
        # Its config may be empty, as that of `api_key`.
        document.spec.setdefault("config", {})
        home.policies[name] = found.type
        return True

    def gateways_in(self, environments: Iterable[str]) -> list[str]:
        """Return the names of the catalog's gateways of these environments."""
        wanted = {environment_of(name) for name in environments}
        return [one.name for one in self._gateways if environment_of(one.environment) in wanted]

    @property
    def gateway_names(self) -> list[str]:
        """The names of all gateways of the catalog."""
        return [one.name for one in self._gateways]

    def _note_rest(
        self, home: TenantHome, metadata: Mapping[str, Any], spec: Mapping[str, Any]
    ) -> None:
        what, note = f"tenant {home.name}", self._translation.leave_out
        roles = mapping_of(spec.get("visibility"))
        for name in ("allowedRoles", "denyRoles"):
            values = texts_of(roles.get(name))
            if values:
                effect = "roles of people are the control plane's, which keeps them"
                note(what, f"visibility.{name}", ", ".join(values), effect)
        if metadata.get("description"):
            note(what, "description", metadata["description"], "left out")
        known = {
            "displayName", "portalVisibility", "visibility", "defaultPolicies", "settings",
            "contact",
        }  # fmt: skip
        self._translation.leave_out_others(what, spec, known)
        rest = {"max_apis", "max_applications", "environments"}
        self._translation.leave_out_others(what, mapping_of(spec.get("settings")), rest)
        self._translation.leave_out_others(what, mapping_of(spec.get("contact")), {"team", "email"})


def _limits(settings: Mapping[str, Any]) -> dict[str, int]:
    pairs = (("maxApis", "max_apis"), ("maxApplications", "max_applications"))
    found = {ours: settings.get(theirs) for ours, theirs in pairs}
    return {name: value for name, value in found.items() if isinstance(value, int) and value > 0}
