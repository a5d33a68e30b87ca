"""Which gateway types exist: one folder each, found by name and imported when it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

import stoa_gitops.adapters as adapters_package
from stoa_gitops.adapter_sdk.capabilities import Capabilities
from stoa_gitops.adapter_sdk.info import AdapterInfo
from stoa_gitops.errors import GatewayError, Retry
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.instances import GatewayInstance, is_listed
from stoa_gitops.model.losses import Loss


class GatewayTypeUnsupported(GatewayError):
    """No folder serves this gateway type; the gateways of other types go on."""

    reason = "GatewayTypeUnsupported"
    retry = Retry.NEVER


@cache
def info_for(gateway_type: str) -> AdapterInfo:
    """Return the description of a gateway type; raises GatewayTypeUnsupported. Asked for every object of a catalog.

    Only the folder that serves the type is imported: it is called as the type or as its beginning
    (`stoa` for `stoa_sidecar`). A folder with another name is found by asking all of them.
    """
    for folder in sorted(_folders(), key=len, reverse=True):
        if gateway_type == folder or gateway_type.startswith(f"{folder}_"):
            info = _info(folder)
            if gateway_type in info.types:
                return info
    for info in all_infos():
        if gateway_type in info.types:
            return info
    known = ", ".join(sorted(t for info in all_infos() if info.public for t in info.types))
    raise GatewayTypeUnsupported(
        f"no adapter for gateway type {gateway_type!r} in this version: there are {known}"
    )


def all_infos() -> tuple[AdapterInfo, ...]:
    """Return every description, by name; imports every folder, but none of their clients."""
    return tuple(sorted((_info(folder) for folder in _folders()), key=lambda info: info.name))


def unsupported(instance: GatewayInstance, capability: str) -> str | None:
    """Return why a gateway cannot have a capability, as far as that is known without asking it.

    None where it can, and where it depends on the running gateway. `capabilities` of the document narrow.
    """
    try:
        info = info_for(instance.gateway_type)
    except GatewayTypeUnsupported as error:
        return str(error)
    declared = info.capabilities.get(capability)
    if declared is None:
        return f"{info.title} does not declare {capability}"
    if not declared.supported:
        return declared.reason or f"{info.title} does not support {capability}"
    if not is_listed(instance.capabilities, capability):
        return f"{capability} is not among the capabilities in the document of {instance.name}"
    return None


def losses(
    instance: GatewayInstance,
) -> Callable[[str, JsonObject], tuple[Loss, ...]] | None:
    """Return what says which parts of a canonical spec a gateway cannot express; None where none does.

    As far as that is known without asking the gateway.
    """
    try:
        return info_for(instance.gateway_type).rules.losses
    except GatewayTypeUnsupported:
        return None  # `unsupported` says so


def reserved(instance: GatewayInstance) -> tuple[str, ...]:
    """Return the paths that a gateway serves itself, as `AdapterInfo.reserved` has them."""
    try:
        return info_for(instance.gateway_type).reserved
    except GatewayTypeUnsupported:
        return ()  # `unsupported` says so


def reasons(capabilities: Capabilities) -> dict[str, str | None]:
    """Return by name None where supported and the reason where not: the planner's form."""
    return {
        name: None if capability.supported else capability.reason or "not supported"
        for name, capability in capabilities.items()
    }


@cache
def _folders() -> tuple[str, ...]:
    return tuple(m.name for m in pkgutil.iter_modules(adapters_package.__path__) if m.ispkg)


@cache
def _info(folder: str) -> AdapterInfo:
    info = importlib.import_module(f"{adapters_package.__name__}.{folder}").ADAPTER
    if not isinstance(info, AdapterInfo):
        raise TypeError(
            f"stoa_gitops/adapters/{folder}/__init__.py exports no AdapterInfo as ADAPTER"
        )
    return info
