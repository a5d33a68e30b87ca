"""Documents for objects that exist on a gateway already: a proposal for a person to look at and commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

from stoa_gitops.errors import UsageError
from stoa_gitops.model.canonical import SECRET_FIELD, Json
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.resources import Observed

API_VERSION: Final = "gostoa.dev/v1alpha1"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_API_FIELDS: Final = (
    "displayName",
    "version",
    "description",
    "active",
    "backend",
    "routes",
    "plans",
)
_APPLICATION_FIELDS: Final = ("displayName", "owner", "subscriptions", "identifiers")
_UNREADABLE: Final = (
    "A gateway does not give credentials back: add a reference before you adopt this."
)


def write_documents(folder: Path, objects: Sequence[Observed], gateway: str) -> Iterator[Path]:
    """Write one file per API and application, policies inline; yield the paths.

    Raises UsageError, before anything is written, for a name that no catalog can hold and for a
    file that exists already.
    """
    texts = dict(_documents(folder, objects, gateway))
    there = [str(path) for path in texts if path.exists()]
    if there:
        raise UsageError(f"nothing was written, because this exists already: {', '.join(there)}")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        yield path


def _documents(
    folder: Path, objects: Sequence[Observed], gateway: str
) -> Iterator[tuple[Path, str]]:
    for seen in sorted(objects, key=lambda item: item.key):
        if seen.key.kind == POLICY:
            continue
        if not (_NAME.fullmatch(seen.key.name) and _NAME.fullmatch(seen.key.tenant)):
            raise UsageError(
                f"{seen.key} cannot be written: a name in the catalog has lower case letters, digits and "
                "dashes; rename the object on the gateway, or name the others as keys"
            )
        tenant = folder / "tenants" / seen.key.tenant
        if seen.key.kind == API:
            yield tenant / "apis" / seen.key.name / "api.yaml", _api(seen, objects, gateway)
        elif seen.key.kind == APPLICATION:
            yield tenant / "applications" / f"{seen.key.name}.yaml", _application(seen)


def _api(seen: Observed, objects: Sequence[Observed], gateway: str) -> str:
    value = seen.spec.value
    spec: dict[str, Any] = {name: value[name] for name in _API_FIELDS if value.get(name)}
    spec.setdefault("version", "1")
    policies = [
        {"type": policy["type"], "config": policy["config"]}
        for other in objects
        if other.key.kind == POLICY
        and other.key.tenant == seen.key.tenant
        and (policy := other.spec.value).get("api") == seen.key.name
    ]
    if policies:
        spec["policies"] = policies
    spec["gateways"] = [gateway]
    return _text("API", seen, spec)


def _application(seen: Observed) -> str:
    value = seen.spec.value
    spec = {name: value[name] for name in _APPLICATION_FIELDS if value.get(name)}
    return _text("Application", seen, spec, has_secrets=bool(value.get("credentials")))


def _text(kind: str, seen: Observed, spec: Mapping[str, Any], *, has_secrets: bool = False) -> str:
    from ruamel.yaml import YAML

    cleaned = {name: _without_secrets(item) for name, item in spec.items()}
    stream = StringIO()
    if has_secrets or cleaned != dict(spec):
        stream.write(f"# {_UNREADABLE}\n")
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": seen.key.name},
            "spec": cleaned,
        },
        stream,
    )
    return stream.getvalue()


def _without_secrets(value: Json) -> Json:
    """Drop what holds a masked secret: a mask in a document would be taken for a reference."""
    if isinstance(value, Mapping):
        return {
            name: _without_secrets(item) for name, item in value.items() if not _is_masked(item)
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _is_masked(value: Json) -> bool:
    if not isinstance(value, Mapping):
        return False
    return SECRET_FIELD in value or any(_is_masked(item) for item in value.values())
