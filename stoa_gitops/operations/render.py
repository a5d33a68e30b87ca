"""`render`: what each gateway would be sent, as files; no gateway is asked, no secret resolved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapter_sdk.info import AdapterInfo
from stoa_gitops.adapters.registry import info_for, reasons
from stoa_gitops.errors import StoaGitopsError, UsageError
from stoa_gitops.model.canonical import SECRET_FIELD, Json
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.resources import ActualState, DesiredState, Resource
from stoa_gitops.model.secret import Secret, Value
from stoa_gitops.planning import GatewayPlanInput, PlanContext, plan_gateway
from stoa_gitops.planning.inputs import SpecMemo
from stoa_gitops.reconcile.selection import Selection


def render_files(catalog: Catalog, selection: Selection) -> Iterator[tuple[Path, str]]:
    """Yield `<gateway>/<kind>/<tenant>/<name>.json` with its text, sorted by gateway and key.

    A gateway that is written as one document has `<gateway>/document.json`, too, one whose order of
    policies is known `<gateway>/policy-order/<tenant>/<api>.json`. An object that the
    gateway cannot express is a file that says why. Raises GatewayError for an unknown gateway type.

        for path, text in render_files(catalog, Selection(tenant="acme")):
            print(path, text)
    """
    for instance in selection.of(catalog):
        info = info_for(instance.gateway_type)
        desired = catalog.desired[instance.name]
        for key, resource in sorted(desired.resources.items()):
            if selection.tenant in (None, key.tenant):
                # A key without a tenant needs a folder of its own, to keep all paths equally deep.
                path = Path(instance.name, key.kind, key.tenant or "-", f"{key.name}.json")
                yield path, _text(info, resource, desired)
        if info.policy_order is not None:
            yield from _orders(info.policy_order, instance.name, desired, selection.tenant)
        # A whole document holds the objects of all tenants: it cannot be narrowed to one.
        if info.render_whole is not None and selection.tenant is None:
            specs = [_spec(r, desired) for r in _writable(info, instance, desired)]
            yield Path(instance.name, "document.json"), _json(info.render_whole(specs, instance))


def _orders(
    order: PolicyOrder, gateway: str, desired: DesiredState, tenant: str | None
) -> Iterator[tuple[Path, str]]:
    """Yield in which order the policies of each API run that has any."""
    policies: dict[Key, list[ObjectSpec]] = {}
    for key, resource in sorted(desired.resources.items()):
        if key.kind == POLICY:
            spec = _spec(resource, desired)
            policies.setdefault(Key(API, key.tenant, str(spec.value["api"])), []).append(spec)
    for key, specs in policies.items():
        api = desired.resources.get(key)
        if api is not None and tenant in (None, key.tenant):
            path = Path(gateway, "policy-order", key.tenant or "-", f"{key.name}.json")
            yield path, _json(order(_spec(api, desired), specs))


def _writable(
    info: AdapterInfo, instance: GatewayInstance, desired: DesiredState
) -> Iterator[Resource]:
    """Yield what a plan for an empty gateway would write; the rest cannot be expressed."""
    target = GatewayPlanInput.of(
        instance,
        capabilities=reasons(info.capabilities),
        losses=SpecMemo(info.rules.losses) if info.rules.losses else None,
        combined=info.rules.combined,
    )
    empty = ActualState(instance.name, _BEGINNING)
    plan = plan_gateway(target, desired, empty, {}, PlanContext(_BEGINNING))
    for change in sorted(plan.changes, key=lambda change: change.key):
        if change.resource is not None:
            yield change.resource


PolicyOrder: TypeAlias = Callable[[ObjectSpec, Sequence[ObjectSpec]], Mapping[str, Value]]

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
"""No subscription has expired by then, so that a rendering is the same every day."""


def write_files(folder: Path, rendered: Mapping[Path, str]) -> int:
    """Write the files and remove those of an earlier rendering; return how many were removed.

    Only `<gateway>/<kind>/<tenant>/*.json` of the gateways that are written is ever removed.
    Raises UsageError when the folder cannot be written.
    """
    try:
        for path, text in rendered.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            # Not atomic, unlike state: a rendering that was cut off is made again.
            (folder / path).write_text(text, "utf-8")
        # Only the depth that is written here, of gateways that are written here: files that a
        # person keeps in the folder stay.
        gateways = {path.parts[0] for path in rendered}
        stale = [
            file
            for gateway in gateways
            for file in (folder / gateway).glob("*/*/*.json")
            if file.relative_to(folder) not in rendered
        ]
        for file in stale:
            file.unlink()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from error
    return len(stale)


def _text(info: AdapterInfo, resource: Resource, desired: DesiredState) -> str:
    spec = _spec(resource, desired)
    if info.render is None:
        return _json(spec.value)
    try:
        return _json(info.render(spec))
    except StoaGitopsError as error:
        # A file that says so: a missing one would read as "not in the catalog".
        return _json({"notWritten": str(error)})


def _spec(resource: Resource, desired: DesiredState) -> ObjectSpec:
    key, owner = resource.key, desired.owner
    value = {name: _with_references(item) for name, item in resource.spec.value.items()}
    return ObjectSpec(key, key.identifier(owner), owner, value, files=desired.files)


def _json(payload: Value) -> str:
    return json.dumps(_as_json(payload), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _with_references(value: Json) -> Value:
    """Replace each reference by a Secret whose value is the reference: nothing is resolved."""
    if isinstance(value, Mapping):
        reference = value.get(SECRET_FIELD)
        # A mapping with more members is an ordinary value that happens to have that name.
        if len(value) == 1 and isinstance(reference, str):
            return Secret(reference)
        return {name: _with_references(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_references(item) for item in value]
    return value


def _as_json(value: Value) -> object:
    if isinstance(value, Secret):
        return {SECRET_FIELD: value.reveal()}
    if isinstance(value, Mapping):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return value
