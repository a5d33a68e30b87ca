"""Applications of STOA's trees: clients of an OIDC provider, named by a claim of their tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.stoa.apis import Apis
from stoa_gitops.catalog.export.foreign.stoa.variables import vault_reference
from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    items_of,
    mapping_of,
    texts_of,
)

_KNOWN: Final = {
    "clientId", "clientSecret", "identifierClaim", "identifiers", "contactEmail", "consumingAPIs",
    "authStrategy", "scopes", "subscription", "displayName", "oauth2", "subscriptions",
}  # fmt: skip


def add_application(
    translation: Translation, apis: Apis, tenant: str, root: Mapping[str, Any]
) -> None:
    """Add a GatewayApplication or Application of a tree."""
    metadata, spec = mapping_of(root.get("metadata")), mapping_of(root.get("spec"))
    name = str(metadata.get("name") or "application")
    document = translation.add(
        "Application",
        tenant,
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name),
        {
            "displayName": spec.get("displayName") or name,
            "owner": spec.get("contactEmail"),
            "identifiers": _identifiers(spec),
        },
    )
    _credentials(translation, document, spec)
    _subscriptions(translation, apis, document, spec)
    if spec.get("authStrategy"):
        effect = "left out: a strategy is what the policy `jwt` of the API checks"
        translation.leave_out("authStrategy", "", spec["authStrategy"], effect, document)
    scopes = texts_of(spec.get("scopes"))
    if scopes:
        effect = "tokens are checked, their scopes are not"
        translation.leave_out("scopes", "", ", ".join(scopes), effect, document)
    translation.leave_out_others("application", spec, _KNOWN, document)


def _identifiers(spec: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items_of(spec.get("identifiers")):
        values = texts_of(item.get("value"))
        if item.get("name") and values:
            found[str(item["name"])] = values[0] if len(values) == 1 else values
    client = spec.get("clientId")
    if not found and isinstance(client, str):
        found[str(spec.get("identifierClaim") or "azp")] = client
    return found


def _credentials(
    translation: Translation, document: TranslatedDocument, spec: Mapping[str, Any]
) -> None:
    client = spec.get("clientId") or mapping_of(spec.get("oauth2")).get("clientId")
    if not client:
        return
    reference = translation.placeholder(document, "clientId")
    document.notes.append(f"{reference['env']} is {client}.")
    document.spec["credentials"] = [{"type": "jwt", "clientIdRef": reference}]
    secret = vault_reference(str(spec.get("clientSecret") or ""))
    if secret is not None:
        effect = "left out: tokens are checked by their issuer's keys; as a reference it is `vault`"
        translation.leave_out(
            "reference of clientSecret", "", f"vault:{secret['vault']}", effect, document
        )


def _subscriptions(
    translation: Translation, apis: Apis, document: TranslatedDocument, spec: Mapping[str, Any]
) -> None:
    named = texts_of(spec.get("consumingAPIs"))
    named += [str(one.get("apiName") or "") for one in items_of(spec.get("subscriptions"))]
    found = []
    for name in dict.fromkeys(named):
        api = apis.find(document.tenant, name)
        if api is None:
            translation.leave_out(
                "subscription", name, "", "no API of the tree is called so", document
            )
            continue
        own = api.tenant == document.tenant
        subscription = {"api": api.name if own else f"{api.tenant}/{api.name}"}
        plans = api.spec.get("plans")
        if plans:
            subscription["plan"] = plans[0]["name"]
        found.append(subscription)
    if found:
        document.spec["subscriptions"] = found
