"""What is other about an API that a WSDL describes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stoa_gitops.adapters.webmethods.entities.actions import leaf
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.model.losses import Loss

KIND = "wsdl"
"""`type` of the import."""

RECORD_TYPE = "SOAP"
"""`type` of the record that comes of it."""


def is_soap(api: Mapping[str, Any] | None) -> bool:
    """Whether a canonical API is described by a WSDL."""
    return api is not None and KIND in api


def soap_version(api: Mapping[str, Any] | None) -> tuple[JsonTree, ...]:
    """Return what the transport of an API says of SOAP."""
    return (leaf("soapVersion", "soap"),) if is_soap(api) else ()


def soap_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what webMethods cannot do of a SOAP API."""
    if not is_soap(spec):
        return
    for index, route in enumerate(spec["routes"]):
        if set(route["methods"]) - {"POST"}:
            yield Loss(
                "methods of a route: a SOAP API takes POST, whatever it says",
                is_partial=True,
                at=("routes", index, "methods"),
            )


def soap_combined_losses(spec: Mapping[str, Any], policies: Collection[str]) -> tuple[Loss, ...]:
    """Return the losses of policies that webMethods has for REST APIs only (contract A.4)."""
    if not is_soap(spec) or "cors" not in policies:
        return ()
    return (Loss("webMethods has no CORS for SOAP APIs", at=("policies", "cors")),)
