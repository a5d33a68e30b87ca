"""Security schemes and requirements as OpenAPI 3.0 has them: without mutual TLS, without roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.openapi.losses import Effect, LossCollector, Place
from stoa_gitops.adapter_sdk.openapi.objects import SECURITY_SCHEME
from stoa_gitops.adapter_sdk.openapi.references import References

MUTUAL_TLS: Final = "mutualTLS"
_SCOPED: Final = ("oauth2", "openIdConnect")


class SecuritySchemes:
    """The schemes of a document, and its requirements without what 3.0 has no scheme for."""

    def __init__(self, document: Mapping[str, Any], references: References) -> None:
        self._types: dict[str, str] = {}
        components = document.get("components")
        schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
        for name, scheme in schemes.items() if isinstance(schemes, Mapping) else ():
            found = scheme
            if isinstance(scheme, Mapping) and isinstance(scheme.get("$ref"), str):
                found = references.resolve(scheme["$ref"], "", SECURITY_SCHEME).value
            if isinstance(found, Mapping):
                self._types[str(name)] = str(found.get("type"))

    def is_dropped(self, name: str) -> bool:
        """Whether 3.0 has no such scheme."""
        return self._types.get(name) == MUTUAL_TLS

    def requirements(self, value: Any, place: Place, losses: LossCollector) -> list[Any]:
        """Return security requirements for 3.0, and note which became weaker."""
        changed: list[Any] = []
        for index, requirement in enumerate(value if isinstance(value, list) else ()):
            if not isinstance(requirement, Mapping):
                continue
            at = Place(place, index)
            kept = {
                str(name): self._scopes(str(name), scopes, at, losses)
                for name, scopes in requirement.items()
                if not self.is_dropped(str(name))
            }
            for name in requirement.keys() - kept.keys():
                message = "the requirement of mutual TLS is left out; the server asks for it alone"
                losses.add(at, str(name), message, Effect.SECURITY)
            # An empty requirement would say that anybody may call.
            if kept or not requirement:
                changed.append(kept)
        return changed

    def _scopes(self, name: str, scopes: Any, place: Place, losses: LossCollector) -> list[Any]:
        if not isinstance(scopes, list) or not scopes:
            return []
        if self._types.get(name, _SCOPED[0]) in _SCOPED:
            return scopes
        losses.add(
            place,
            name,
            "roles are left out; 3.0 has scopes for oauth2 and OpenID Connect alone",
            Effect.SECURITY,
        )
        return []
