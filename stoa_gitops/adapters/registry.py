"""Registry of gateway types: one folder each, found by name and imported when it is needed."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import stoa_gitops.adapters as adapters_package
from stoa_gitops.adapter_sdk.capabilities import Capabilities
from stoa_gitops.adapter_sdk.guarded_losses import CombinedLossFinder, guarded, guarded_combined
from stoa_gitops.adapter_sdk.info import AdapterInfo
from stoa_gitops.adapters.planned_types import PLANNED_TYPES
from stoa_gitops.errors import GatewayError, Retry
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.gateway_types import GatewayTypeInfo, GatewayTypes
from stoa_gitops.model.instances import GatewayInstance, is_listed
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.routing import SEGMENTS, Router


class GatewayTypeUnsupported(GatewayError):
    """No folder serves this gateway type; gateways of other types are not affected."""

    reason = "GatewayTypeUnsupported"
    retry = Retry.NEVER


@cache  # asked for every object of a catalog
def info_for(gateway_type: str) -> AdapterInfo:
    """Return the description of a gateway type; raises GatewayTypeUnsupported.

    Only the folder that serves the type is imported: its name is the type or a prefix of it
    (`stoa` for `stoa_sidecar`). A folder with another name is found by asking all of them.

        >>> info_for("stoa_sidecar").title
        'STOA gateway'
    """
    # The longest name first: `aws_apigateway` before `aws`.
    for folder in sorted(_folders(), key=len, reverse=True):
        if gateway_type == folder or gateway_type.startswith(f"{folder}_"):
            info = _info(folder)
            if gateway_type in info.types:
                return info
    for info in all_infos():
        if gateway_type in info.types:
            return info
    names = ", ".join(sorted(t for info in all_infos() if info.public for t in info.types))
    raise GatewayTypeUnsupported(
        f"no adapter for gateway type {gateway_type!r} in this version: there are {names}"
    )


@cache
def all_infos() -> tuple[AdapterInfo, ...]:
    """Return every description, by name; imports every folder, but none of their clients."""
    return tuple(sorted((_info(folder) for folder in _folders()), key=lambda info: info.name))


def gateway_types() -> GatewayTypes:
    """Return what the catalog must know of each gateway type that a document may name.

    These are the types of all public adapters, and planned ones that no adapter serves yet. Only
    the adapters of types that are asked for are imported.
    """
    return _GATEWAY_TYPES


@cache
def _gateway_type(name: str) -> GatewayTypeInfo | None:
    planned = next((info for info in PLANNED_TYPES if info.name == name), None)
    try:
        info = info_for(name)
    except GatewayTypeUnsupported:
        return planned
    return _type_info(name, info) if info.public else planned


@cache
def _all_gateway_types() -> tuple[GatewayTypeInfo, ...]:
    served = [_type_info(name, info) for info in all_infos() if info.public for name in info.types]
    names = {info.name for info in served}
    return (*served, *(info for info in PLANNED_TYPES if info.name not in names))


def _type_info(name: str, info: AdapterInfo) -> GatewayTypeInfo:
    return GatewayTypeInfo(
        name,
        info.title,
        options_schema=info.options_schema,
        has_one_name_space=info.has_one_name_space,
        allows_nested_paths=info.allows_nested_paths,
        can_be_embedded=info.can_be_embedded,
        object_options=info.object_options,
    )


_GATEWAY_TYPES: Final = GatewayTypes(_gateway_type, _all_gateway_types)


def unsupported(instance: GatewayInstance, capability: str) -> str | None:
    """Return why a gateway lacks a capability, as far as that is known without asking it.

    None if it has the capability, and if only the running gateway can tell. The `capabilities` of
    the gateway's document narrow what its type has.
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
    """Return the function that finds what a gateway cannot express of a canonical spec.

    None if its type expresses everything that its capabilities allow, as far as that is known
    without asking the gateway.
    """
    try:
        find_losses = info_for(instance.gateway_type).rules_of(instance).losses
    except GatewayTypeUnsupported:
        return None  # `unsupported` reports it
    return None if find_losses is None else guarded(find_losses)


def combined_losses(instance: GatewayInstance) -> CombinedLossFinder | None:
    """Return the function that finds what a gateway cannot express of an API with its policies.

    None if it can express all of them together, as far as that is known without asking it.
    """
    try:
        find_losses = info_for(instance.gateway_type).rules_of(instance).combined
    except GatewayTypeUnsupported:
        return None  # `unsupported` reports it
    return None if find_losses is None else guarded_combined(find_losses)


def router(instance: GatewayInstance) -> Router:
    """Return how a gateway chooses among routes, as far as that is known without asking it."""
    try:
        return info_for(instance.gateway_type).rules_of(instance).router
    except GatewayTypeUnsupported:
        return SEGMENTS  # `unsupported` reports it


def reserved(instance: GatewayInstance) -> tuple[str, ...]:
    """Return the paths that a gateway serves itself (`AdapterInfo.reserved`)."""
    try:
        return info_for(instance.gateway_type).reserved
    except GatewayTypeUnsupported:
        return ()  # `unsupported` reports it


def reasons(capabilities: Capabilities) -> Mapping[str, str | None]:
    """Return by name None if supported, else the reason: the form that the planner takes.

    Equal capabilities, as those of a thousand gateways of one version, have one mapping.
    """
    return _shared_reasons(
        tuple(
            (name, None if capability.supported else capability.reason or "not supported")
            for name, capability in capabilities.items()
        )
    )


@lru_cache(maxsize=256)
def _shared_reasons(pairs: tuple[tuple[str, str | None], ...]) -> Mapping[str, str | None]:
    return MappingProxyType(dict(pairs))


@contextmanager
def further_folder(parent: Path) -> Iterator[None]:
    """Find gateway types in the folders below `parent` too, as long as the context is open.

    For adapters that are being developed, and for tests that build one: a folder `acme` there is
    imported as `stoa_gitops.adapters.acme`.
    """
    paths = adapters_package.__path__
    paths.append(str(parent))
    _clear_caches()
    try:
        yield
    finally:
        paths.remove(str(parent))
        for folder in (path.name for path in parent.iterdir() if path.is_dir()):
            name = f"{adapters_package.__name__}.{folder}"
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[module]
            vars(adapters_package).pop(folder, None)
        _clear_caches()


def _clear_caches() -> None:
    importlib.invalidate_caches()
    for function in (
        info_for,
        all_infos,
        _gateway_type,
        _all_gateway_types,
        _folders,
        _info,
    ):
        function.cache_clear()


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
