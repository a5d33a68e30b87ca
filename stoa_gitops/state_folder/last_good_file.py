"""The last known good catalog of gateways, as a file: references to secrets, never secrets."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from stoa_gitops.foundation.files import replace_private_file
from stoa_gitops.model.grants import Grants, TenantGrants
from stoa_gitops.model.instances import (
    DegradedRule,
    GatewayAuth,
    GatewayInstance,
    GatewayTls,
    PruneBudget,
    RegistrationMatch,
    RegistrationRules,
    WritePolicy,
)
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.model.secret_rights import SecretRights
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood

log = logging.getLogger(__name__)

FILE: Final = "last-good.json"
_GRANTED: Final = ("env", "files", "paths", "hosts")
_FORMAT: Final = 1
"""A file of another format is ignored: it only saves a restart on a broken catalog."""


def write_last_good(folder: Path, last: LastKnownGood) -> None:
    """Write the file atomically, mode 0600; a failure is logged: it only matters at a restart."""
    document = {
        "format": _FORMAT,
        "owner": last.owner,
        "revision": last.revision,
        "tenants": last.tenants,
        "gateways": [_gateway_to_json(gateway) for gateway in last.gateways],
        "secret_rights": _rights_to_json(last.secret_rights),
        "has_document": last.has_document,
    }
    text = json.dumps(document, indent=1, sort_keys=True)
    try:
        replace_private_file(folder / FILE, text.encode())
    except OSError as error:
        log.warning("%s cannot be written: %s", folder / FILE, error.strerror or error)


def read_last_good(folder: Path) -> LastKnownGood | None:
    """Return what was written; None for no file, a damaged one or one of another version."""
    try:
        document = json.loads((folder / FILE).read_text("utf-8"))
        if document["format"] != _FORMAT:
            return None
        return LastKnownGood(
            str(document["owner"]),
            str(document["revision"]),
            tuple(map(str, document["tenants"])),
            tuple(_gateway_from_json(fields) for fields in document["gateways"]),
            _rights_from_json(document.get("secret_rights", {})),
            bool(document.get("has_document", False)),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is ignored: %s", folder / FILE, type(error).__name__)
        return None


def _gateway_to_json(gateway: GatewayInstance) -> dict[str, Any]:
    tls = gateway.tls
    return {
        "name": gateway.name,
        "gateway_type": gateway.gateway_type,
        "environment": gateway.environment,
        "base_url": gateway.base_url,
        "source": [gateway.source.path, gateway.source.line, gateway.source.column],
        "display_name": gateway.display_name,
        "public_url": gateway.public_url,
        "capabilities": gateway.capabilities,
        "auth": {
            "type": gateway.auth.type,
            "refs": {role: str(ref) for role, ref in gateway.auth.refs.items()},
            "header": gateway.auth.header,
        },
        "tls": tls
        and {
            **{role: ref and str(ref) for role, ref in _tls_refs(tls).items()},
            "server_name": tls.server_name,
        },
        "policy": gateway.policy.value,
        "prune": [gateway.prune.max_count, gateway.prune.max_percent],
        "interval": gateway.interval,
        "tenants": gateway.tenants,
        "backends_allow": gateway.backends_allow,
        "backends_deny": gateway.backends_deny,
        "wave": gateway.wave,
        "suspended": gateway.suspended,
        "options": gateway.options,
        "registration": _registration_to_json(gateway.registration),
    }


def _rights_to_json(rights: SecretRights) -> dict[str, Any]:
    return {
        "grants": {
            tenant: {name: getattr(given, name) for name in _GRANTED}
            for tenant, given in rights.grants.tenants.items()
        },
        "inner": sorted(rights.inner),
        "operators": sorted(rights.operators),
    }


def _rights_from_json(fields: dict[str, Any]) -> SecretRights:
    grants = {
        str(tenant): TenantGrants(**{name: tuple(given.get(name, ())) for name in _GRANTED})
        for tenant, given in fields.get("grants", {}).items()
    }
    inner, operators = fields.get("inner", ()), fields.get("operators", ())
    return SecretRights(Grants(grants), frozenset(inner), frozenset(operators))


def _registration_to_json(rules: RegistrationRules) -> dict[str, Any]:
    token = rules.reload_token
    return {**asdict(rules), "reload_token": token and str(token)}


def _registration_from_json(fields: dict[str, Any] | None) -> RegistrationRules:
    if fields is None:  # written by an earlier version
        return RegistrationRules()
    match = fields["match"] and RegistrationMatch(**fields["match"])
    degraded = DegradedRule(**fields["degraded"])
    networks = tuple(fields["networks"])
    token = fields.get("reload_token")  # an earlier version wrote none
    return RegistrationRules(
        match, networks, fields["forget_after"], degraded, SecretRef.parse(token) if token else None
    )


def _tls_refs(tls: GatewayTls) -> dict[str, SecretRef | None]:
    return {"ca": tls.ca, "cert": tls.cert, "key": tls.key}


def _gateway_from_json(fields: dict[str, Any]) -> GatewayInstance:
    """Parse a gateway; raises KeyError, TypeError or ValueError for another shape."""
    path, line, column = fields["source"]
    auth, tls = fields["auth"], fields["tls"]
    refs = {role: SecretRef.parse(ref) for role, ref in auth["refs"].items()}
    parts = {
        **fields,
        "source": SourceRef(path, line, column),
        "auth": GatewayAuth(auth["type"], refs, auth["header"]),
        "tls": None,
        "policy": WritePolicy(fields["policy"]),
        "prune": PruneBudget(*fields["prune"]),
        "registration": _registration_from_json(fields.get("registration")),
    }
    for name in ("capabilities", "tenants", "backends_allow", "backends_deny"):
        parts[name] = tuple(fields[name])
    if tls is not None:
        pems = {role: tls[role] and SecretRef.parse(tls[role]) for role in ("ca", "cert", "key")}
        parts["tls"] = GatewayTls(**pems, server_name=tls["server_name"])
    return GatewayInstance(**parts)
