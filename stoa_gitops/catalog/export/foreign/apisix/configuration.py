"""Translates files of ADC: services with their routes become APIs, consumers applications.

Fields by ADC's own schema of configurations (`libs/sdk/src/core/schema.ts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog.evaluation.layout import NAME
from stoa_gitops.catalog.export.foreign.apisix.plugins import Policies, add_plugins
from stoa_gitops.catalog.export.foreign.apisix.routes import (
    Place,
    find_places,
    is_followed,
    route_of,
)
from stoa_gitops.catalog.export.foreign.apisix.upstreams import backend_spec
from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    items_of,
    mapping_of,
    texts_of,
)
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.yaml.foreign_text import MAX_BYTES, Text
from stoa_gitops.model.catalog import Catalog

_TOP: Final = frozenset(
    {"services", "consumers", "consumer_groups", "global_rules", "ssls", "plugin_metadata"}
)
_CREDENTIALS: Final = ("api_key", "jwt")


def translate_adc(
    files: Sequence[Path], gateway: str, tenant: str, catalog: Catalog
) -> Translation:
    """Return the documents of files of ADC, for one gateway.

    `tenant` is that of services and consumers without a label `tenant`. Raises UsageError for what
    cannot be read and for what is no such file.
    """
    translation = Translation(catalog.secret_rights)
    configuration = _Configuration(translation, gateway, tenant)
    roots = [_read(file) for file in files]
    for root in roots:
        configuration.add_services(root)
    for root in roots:
        configuration.add_consumers(root)
    for name in sorted(configuration.tenants - set(catalog.tenants)):
        translation.add("Tenant", name, name, {"gateways": [gateway]})
    return translation


def _read(file: Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)  # one more tells "exactly" from "more than"
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    root = Text(data, str(file)).root
    if not isinstance(root, dict) or not _TOP & set(root):
        hint = "; it has routes at its top, as APISIX itself takes them: use `adc dump`"
        extra = hint if isinstance(root, dict) and "routes" in root else ""
        raise UsageError(f"{file} is no file of ADC: it has no services and no consumers{extra}")
    return root


class _Configuration:
    def __init__(self, translation: Translation, gateway: str, tenant: str) -> None:
        self._translation = translation
        self._gateway = gateway
        self._tenant = tenant
        self.tenants: set[str] = set()
        # By tenant: APIs that identify callers, and the consumers that each is restricted to.
        self._apis: dict[str, list[tuple[TranslatedDocument, list[str]]]] = {}

    def add_services(self, root: Mapping[str, Any]) -> None:
        """Add the APIs of a file, and note what no document says of it."""
        rules = mapping_of(root.get("global_rules"))
        for service in items_of(root.get("services")):
            self._add_service(service, rules)
        for name in ("ssls", "plugin_metadata"):
            if root.get(name):
                self._translation.leave_out(name, "", "", "left out: no document says it")
        self._translation.leave_out_others("file", root, _TOP)

    def _add_service(self, service: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
        tenant, name = self._tenant_of(service), str(service.get("name") or "service")
        groups: dict[tuple[str, str | None], list[Place]] = {}
        for route in items_of(service.get("routes")):
            plugins = _plugins(rules, service, route)
            for place in find_places(self._translation, service, route, plugins):
                groups.setdefault(place.group, []).append(place)
        what = f"service {name}"
        if service.get("stream_routes"):
            self._translation.leave_out(what, "stream_routes", "", "left out: no HTTP")
        for places in groups.values():
            label = name if len(groups) == 1 else f"{name}-{places[0].route.get('name') or 'route'}"
            self._add_api(tenant, label, service, places, rules)
        if not groups and not service.get("stream_routes"):
            reason = "no route of it can be said" if service.get("routes") else "it has no route"
            self._translation.leave_out(what, "", "", f"not written: {reason}")

    def _add_api(
        self,
        tenant: str,
        label: str,
        service: Mapping[str, Any],
        places: Sequence[Place],
        rules: Mapping[str, Any],
    ) -> None:
        route = places[0].route
        document = self._translation.add(
            "API",
            tenant,
            label,
            {
                "displayName": service.get("name"),
                "version": "1",
                "description": service.get("description"),
            },
        )
        base = places[0].group[1] or ""
        document.spec |= backend_spec(self._translation, document, service, route, base)
        routes: list[dict[str, Any]] = []
        for place in places:
            one = route_of(place, service)
            if one not in routes:
                routes.append(one)
        document.spec["routes"] = routes
        self.tenants.add(tenant)
        self._policies(document, _plugins(rules, service, route), route)
        document.spec["gateways"] = [self._gateway]
        known = {
            "id", "name", "description", "labels", "upstream", "upstreams", "plugins",
            "path_prefix", "strip_path_prefix", "hosts", "routes", "stream_routes",
        }  # fmt: skip
        self._translation.leave_out_others("service", service, known, document)
        if service.get("upstreams"):
            effect = "left out: the default upstream is called"
            self._translation.leave_out("service", "upstreams", "", effect, document)

    def _policies(
        self, document: TranslatedDocument, plugins: dict[str, Any], route: Mapping[str, Any]
    ) -> None:
        policies = Policies(self._translation, document, {})
        addresses = texts_of(route.get("remote_addrs"))
        if addresses:
            policies.put("ip_filter", {"allow": addresses}, "remote_addrs")
        rewrite = mapping_of(plugins.get("proxy-rewrite"))
        if is_followed(rewrite):
            followed = {"uri", "regex_uri", "use_real_request_uri_unsafe"}
            plugins["proxy-rewrite"] = {k: v for k, v in rewrite.items() if k not in followed}
        restriction = mapping_of(plugins.get("consumer-restriction"))
        allowed: list[str] = []
        if restriction.get("type", "consumer_name") == "consumer_name":
            allowed = texts_of(restriction.get("whitelist"))
            if allowed and not restriction.get("blacklist"):
                del plugins["consumer-restriction"]
                document.spec["access"] = "subscribed"
        add_plugins(policies, plugins)
        if policies.found:
            document.spec["policies"] = list(policies.found.values())
        if any(kind in policies.found for kind in _CREDENTIALS):
            self._apis.setdefault(document.tenant, []).append((document, allowed))
        elif allowed:
            document.close("plugin consumer-restriction")

    # consumers

    def add_consumers(self, root: Mapping[str, Any]) -> None:
        """Add the applications of a file."""
        for consumer in items_of(root.get("consumers")):
            self._add_consumer(consumer)
        for group in items_of(root.get("consumer_groups")):
            what = f"consumer group {group.get('name') or ''}".strip()
            if group.get("plugins"):
                effect = "left out: policies are those of APIs; write plans for such callers"
                self._translation.leave_out(what, "plugins", "", effect)
            for consumer in items_of(group.get("consumers")):
                self._add_consumer(consumer)

    def _add_consumer(self, consumer: Mapping[str, Any]) -> None:
        tenant, name = self._tenant_of(consumer), str(consumer.get("username") or "consumer")
        apis = [
            document
            for document, allowed in self._apis.get(tenant, ())
            if not allowed or name in allowed
        ]
        if not apis:
            effect = "not written: no API of its tenant identifies it"
            self._translation.leave_out("consumer", name, "", effect)
            return
        document = self._translation.add(
            "Application",
            tenant,
            name,
            {
                "displayName": name,
                "subscriptions": [{"api": api.name} for api in apis],
            },
        )
        plugins = mapping_of(consumer.get("plugins"))
        held = [(kind, mapping_of(config)) for kind, config in plugins.items()]
        held += [
            (str(item.get("type")), mapping_of(item.get("config")))
            for item in items_of(consumer.get("credentials"))
        ]
        credentials = []
        for kind, config in held:
            if kind == "key-auth":
                reference = self._reference(document, str(config.get("key") or ""))
                credentials.append({"type": "api_key", "keyRef": reference})
            else:
                effect = "left out: no API of the catalog identifies callers by it"
                self._translation.leave_out(f"credential {kind}", "", "", effect, document)
        if credentials:
            document.spec["credentials"] = credentials
        known = {"username", "description", "labels", "plugins", "credentials"}
        self._translation.leave_out_others("consumer", consumer, known, document)

    def _reference(self, document: TranslatedDocument, key: str) -> dict[str, str]:
        """Return a reference to a key; the key itself is written nowhere."""
        found = re.fullmatch(r"\$(?:env|ENV)://([A-Za-z_][A-Za-z0-9_]*)", key)
        return {"env": found[1]} if found else self._translation.placeholder(document, "key")

    def _tenant_of(self, item: Mapping[str, Any]) -> str:
        label = mapping_of(item.get("labels")).get("tenant")
        return label if isinstance(label, str) and NAME.fullmatch(label) else self._tenant


def _plugins(
    rules: Mapping[str, Any], service: Mapping[str, Any], route: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what runs for a route: its own plugin replaces its service's, that a global rule."""
    return {**rules, **mapping_of(service.get("plugins")), **mapping_of(route.get("plugins"))}
