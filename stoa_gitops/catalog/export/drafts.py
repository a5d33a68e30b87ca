"""Drafts documents from objects that a gateway reported; nothing is validated or written here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.catalog.documents.schemas import API_VERSION
from stoa_gitops.catalog.evaluation.layout import NAME
from stoa_gitops.catalog.export.overlay import escaped
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.model.canonical import SECRET_FIELD, Json, JsonObject
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.resources import Observed
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, SecretRights, variable_prefix
from stoa_gitops.model.unmapped import Unmapped

LossFinder = Callable[[str, JsonObject], tuple[Loss, ...]]
"""Returns what of a canonical spec (kind, tree) a gateway cannot express."""

_DOCUMENT_KINDS: Final = {API: "API", APPLICATION: "Application"}
"""Kinds of documents by kinds of objects: policies are written into their API."""

NOT_WRITTEN: Final = "not written, so it stays on the gateway as it is"

_API_FIELDS: Final = (
    "displayName",
    "version",
    "description",
    "active",
    "backend",
    "routes",
    "plans",
    "access",
)
_APPLICATION_FIELDS: Final = ("displayName", "owner", "subscriptions", "identifiers")
_ROUTE_DEFAULTS: Final[JsonObject] = {
    "methods": [], "hosts": [], "headers": [], "stripPath": True,
}  # fmt: skip
_SECRETS: Final[Mapping[str, Mapping[str, str]]] = {
    "auth": {name: name for name in ("value", "username", "password", "clientSecret")},
    "tls": {"certificate": "cert", "key": "key", "ca": "ca"},
}
"""Secret fields of a backend, and their names in a document without `Ref`."""

_PARTS: Final = {
    "username": "backend-user", "certificate": "backend-cert", "key": "backend-key",
    "ca": "backend-ca",
}  # fmt: skip
"""What the references of these are called by; of others `backend`."""

_OF_SEVERAL: Final = ("url", "targets", "loadBalancing", "healthCheck")

_PLACEHOLDERS: Final[Mapping[str, JsonObject]] = {"jwt": {"issuer": "write-the-issuer-here"}}
"""Required fields of policies that a gateway may not know."""


@dataclass(slots=True)
class Draft:
    """One document to be: its spec, and the policies in it by type.

    placeholders  environment variables referred to where the gateway does not report a secret
    missed        what kept callers out and no document says
    """

    key: Key
    spec: dict[str, Any]
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    placeholders: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where it goes below the catalog's folder."""
        home = kind_set().layout.homes[_DOCUMENT_KINDS[self.key.kind]]
        return home.path(self.key.tenant, self.key.name)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The objects that it describes."""
        policies = map(self.key.policy, self.policies)
        return (self.key, *policies)

    @property
    def document(self) -> dict[str, Any]:
        """The document as a tree; text that would be read as a variable is escaped."""
        spec = dict(self.spec)
        gateways = spec.pop("gateways", None)
        if self.policies:
            spec["policies"] = list(self.policies.values())
        if gateways:
            spec["gateways"] = gateways
        return {
            "apiVersion": API_VERSION,
            "kind": _DOCUMENT_KINDS[self.key.kind],
            "metadata": {"name": self.key.name},
            "spec": escaped(spec),
        }


def refused(key: Key, reason: str) -> Unmapped:
    """Return the entry for an object that is not written at all."""
    return Unmapped("the whole object", "", "", f"{NOT_WRITTEN}: {reason}", key)


class DraftBuilder:
    """Makes drafts of what a gateway reported; `unmapped` collects what is left out."""

    def __init__(
        self,
        gateway: str,
        find_losses: LossFinder | None,
        rights: SecretRights = DEFAULT_RIGHTS,
    ) -> None:
        self._gateway = gateway
        self._rights = rights
        self._find_losses: LossFinder = find_losses or (lambda kind, spec: ())
        self._variables: set[str] = set()
        self.unmapped: list[Unmapped] = []

    def drafts(self, objects: Sequence[Observed]) -> Iterator[Draft]:
        """Yield a draft for each API, with its policies, and for each application."""
        policies: dict[tuple[str, str], list[Observed]] = {}
        for item in objects:
            if item.key.kind == POLICY:
                owner = item.key.tenant, str(item.spec.value.get("api"))
                policies.setdefault(owner, []).append(item)
        for observed in sorted(objects, key=lambda item: item.key):
            if observed.key.kind not in (API, APPLICATION):
                continue
            reason = self._refusal(observed)
            if reason:
                self.unmapped.append(refused(observed.key, reason))
            elif observed.key.kind == API:
                yield self._api(
                    observed, policies.get((observed.key.tenant, observed.key.name), [])
                )
            else:
                yield self._application(observed)

    def _refusal(self, observed: Observed) -> str:
        key, value = observed.key, observed.spec.value
        if not (NAME.fullmatch(key.name) and NAME.fullmatch(key.tenant)):
            return (
                "names in a catalog have lower-case letters, digits and dashes; "
                "rename it on the gateway"
            )
        if key.kind == API and value.get("routes") == []:
            return "it has no route that a catalog can say"
        if key.kind == APPLICATION and not value.get("subscriptions"):
            return (
                "it has no subscription that is written, and an application goes only where an "
                "API of its subscriptions is"
            )
        if key.kind == API:
            return "; ".join(
                loss.message for loss in self._find_losses(API, value) if not loss.is_partial
            )
        return ""

    def _api(self, observed: Observed, policies: Sequence[Observed]) -> Draft:
        value: Mapping[str, Any] = observed.spec.value
        spec = {name: value[name] for name in _API_FIELDS if _is_written(name, value)}
        spec.setdefault("version", "1")
        placeholders: list[str] = []
        if "routes" in spec:
            spec["routes"] = [_without_defaults(route) for route in spec["routes"]]
        if "backend" in spec:
            spec["backend"] = self._backend(observed.key, spec["backend"], placeholders)
        if "targets" in spec.get("backend", {}):
            spec |= _several(spec["backend"])
        spec["gateways"] = [self._gateway]
        draft = Draft(observed.key, without_secrets(spec), {}, tuple(placeholders))
        for policy in sorted(policies, key=lambda item: item.key):
            self._add_policy(draft, policy)
        return draft

    def _backend(
        self, key: Key, backend: Mapping[str, Any], placeholders: list[str]
    ) -> dict[str, Any]:
        """Return a backend, or one of several, with its secrets as a document has them."""
        written = dict(backend)
        for name, fields in _SECRETS.items():
            if name in backend:
                written[name] = {
                    f"{fields[field]}Ref" if field in fields else field: item
                    if field not in fields
                    else self._reference(key, _PARTS.get(field, "backend"), item, placeholders)
                    for field, item in backend[name].items()
                }
        if "targets" in backend:
            written["targets"] = [
                self._backend(key, target, placeholders) for target in backend["targets"]
            ]
        return written

    def _add_policy(self, draft: Draft, observed: Observed) -> None:
        value: Mapping[str, Any] = observed.spec.value
        policy_type = str(value["type"])
        config = {**_PLACEHOLDERS.get(policy_type, {}), **without_secrets(value["config"])}
        losses = self._find_losses(POLICY, {**value, "config": config})
        message = "; ".join(loss.message for loss in losses if not loss.is_partial)
        if message:
            self.unmapped.append(refused(observed.key, message))
            return
        use: dict[str, Any] = {"type": policy_type, "config": config}
        if losses:
            use["onUnsupported"] = "warn"
        for name in _PLACEHOLDERS.get(policy_type, {}).keys() - value["config"].keys():
            message = "the gateway does not know it; write what it is"
            self.unmapped.append(Unmapped(f"policy {policy_type}", name, "", message, draft.key))
        draft.policies[policy_type] = use

    def _application(self, observed: Observed) -> Draft:
        value: Mapping[str, Any] = observed.spec.value
        spec = {name: value[name] for name in _APPLICATION_FIELDS if _is_written(name, value)}
        placeholders: list[str] = []
        credentials = [
            self._credential(observed.key, credential, placeholders)
            for credential in value.get("credentials", ())
        ]
        if credentials:
            spec["credentials"] = credentials
        return Draft(observed.key, without_secrets(spec), {}, tuple(placeholders))

    def _credential(
        self, key: Key, credential: Mapping[str, Any], placeholders: list[str]
    ) -> dict[str, Any]:
        """Return a credential as a document has it: references to secrets, under names with Ref."""
        values = {
            name: self._reference(key, name, item, placeholders) if is_secret(item) else item
            for name, item in credential.items()
        }
        return {n if n == "type" else f"{n}Ref": item for n, item in values.items()}

    def _reference(
        self, key: Key, part: str, value: Json, placeholders: list[str]
    ) -> dict[str, str]:
        """Return the reference that an item has itself, or one that a person sets:
        `<TENANT>_<NAME>_<PART>`, also where the item's own is not for the tenant.
        """
        rights = self._rights.of(key.tenant)
        known = str(value.get(SECRET_FIELD, "")) if isinstance(value, Mapping) else ""
        scheme, colon, locator = known.partition(":")
        if colon and locator and (scheme != "env" or rights.may_use_variable(locator)):
            return {scheme: locator}
        message = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", part)
        rest = re.sub(r"[^A-Z0-9]+", "_", f"{key.name}_{message}".upper())
        base = f"{variable_prefix(key.tenant)}{rest}"
        # Of tenants acme and acme-mobile, what begins with ACME_MOBILE_ is the second one's.
        if not rights.may_use_variable(base):
            base = f"{variable_prefix(key.tenant)}_{rest}"
        name, number = base, 2
        while name in self._variables:
            name, number = f"{base}_{number}", number + 1
        self._variables.add(name)
        placeholders.append(name)
        return {"env": name}


def _is_written(name: str, value: Mapping[str, Any]) -> bool:
    """Whether a field goes into a document: what is empty or the default is left out."""
    if name == "active":
        return value.get(name) is False
    return value.get(name) not in (None, "", [], {})


def _several(backend: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document with several backends, for their canonical form."""
    rest = {name: item for name, item in backend.items() if name not in _OF_SEVERAL}
    found = {"backend": rest, "backends": backend["targets"]}
    return found | {name: backend[name] for name in _OF_SEVERAL[2:] if name in backend}


def _without_defaults(route: Mapping[str, Any]) -> dict[str, Any]:
    # Other fields are the vendor's own: listed as unmapped, and unknown to a document.
    return {
        name: item
        for name, item in route.items()
        if name == "path" or (name in _ROUTE_DEFAULTS and _ROUTE_DEFAULTS[name] != item)
    }


def without_secrets(value: Any) -> Any:
    """Drop what holds a masked secret: a mask in a document would be taken for a reference."""
    if isinstance(value, Mapping):
        return {n: without_secrets(item) for n, item in value.items() if not is_secret(item)}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def is_secret(value: Json) -> bool:
    """Whether a masked secret, or a reference to one, stands here."""
    return isinstance(value, Mapping) and SECRET_FIELD in value
