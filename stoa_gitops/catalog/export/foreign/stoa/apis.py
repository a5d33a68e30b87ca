"""APIs of STOA's trees, in both of their forms: `gostoa.dev/v1` and flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.stoa.files import TreeFiles
from stoa_gitops.catalog.export.foreign.stoa.policies import may_keep_out
from stoa_gitops.catalog.export.foreign.stoa.tenants import TenantHome, Tenants, environment_of
from stoa_gitops.catalog.export.foreign.stoa.variables import Variables
from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    mapping_of,
    texts_of,
)

_PUBLISHED: Final = "portal:published"
_DOCUMENTS: Final = tuple(
    f"{stem}.{suffix}" for stem in ("openapi", "swagger") for suffix in ("yaml", "yml", "json")
)
_KNOWN: Final = {
    "apiVersion", "kind", "metadata", "id", "name", "display_name", "displayName", "version",
    "description", "backend_url", "backend", "status", "category", "tags", "deployments",
    "gateways", "gateway", "routing", "policies", "documentation", "portalVisibility",
}  # fmt: skip


class Apis:
    """Makes the APIs of a tree.

    `aliases` are the URLs of `webmethods/aliases`, by name. An API answers at its own place and at
    the one that it had in STOA, `/apis/<api>`; where two tenants have an API of one name, the first
    one has that.
    """

    def __init__(
        self,
        translation: Translation,
        files: TreeFiles,
        tenants: Tenants,
        variables: Variables,
        aliases: Mapping[str, str],
    ) -> None:
        self._translation = translation
        self._files = files
        self._tenants = tenants
        self._variables = variables
        self._aliases = aliases
        self._places: dict[str, str] = {}
        self.by_name: dict[tuple[str, str], TranslatedDocument] = {}

    def add(self, tenant: str, slug: str, root: Mapping[str, Any]) -> None:
        """Add the API of an `api.yaml`."""
        home, metadata = self._tenants.home(tenant), mapping_of(root.get("metadata"))
        is_flat = "spec" not in root
        fields: Mapping[str, Any] = self._variables.resolve(
            dict(root) if is_flat else {**metadata, **mapping_of(root["spec"])}
        )
        document = self._translation.add(
            "API",
            tenant,
            slug,
            {
                "displayName": fields.get("display_name") or fields.get("displayName"),
                "version": str(fields.get("version") or "1"),
                "description": str(fields.get("description") or "").strip(),
                "backend": self._backend(fields, tenant, slug),
            },
        )
        self._names(document, fields, slug)
        self._routes(document, mapping_of(fields.get("routing")), slug)
        self._policies(document, home, fields)
        self._deployments(document, home, fields)
        self._portal(document, home, fields)
        self._openapi(document, tenant, slug, mapping_of(fields.get("documentation")))
        if home.closed:
            document.close(home.closed)
        unknown = _KNOWN | ({"labels"} if not is_flat else set())
        self._translation.leave_out_others("API", fields, unknown, document)

    def find(self, tenant: str, name: str) -> TranslatedDocument | None:
        """Return the API that a name means in a tenant, else in the only tenant that has it."""
        plain = name.lower()
        own = self.by_name.get((tenant, plain))
        if own is not None:
            return own
        others = [one for (_, known), one in self.by_name.items() if known == plain]
        return others[0] if len(others) == 1 else None

    def claim(self, document: TranslatedDocument, path: str, routes: list[dict[str, Any]]) -> None:
        """Add a route unless an API before has its path."""
        owner = f"{document.tenant}/{document.name}"
        holder = self._places.setdefault(path, owner)
        if holder == owner:
            routes.append({"path": path})
        else:
            effect = f"no such route, for {holder} has it"
            self._translation.leave_out("route", "", path, effect, document)

    def _names(self, document: TranslatedDocument, fields: Mapping[str, Any], slug: str) -> None:
        names = {slug, *(str(fields.get(key) or "") for key in ("name", "display_name"))}
        names.add(str(fields.get("displayName") or ""))
        for name in names - {""}:
            self.by_name.setdefault((document.tenant, name.lower()), document)

    def _backend(self, fields: Mapping[str, Any], tenant: str, slug: str) -> dict[str, Any]:
        backend = mapping_of(fields.get("backend"))
        url = fields.get("backend_url") or backend.get("url")
        alias = backend.get("alias")
        if not url and alias:
            url = self._aliases.get(str(alias))
        if url:
            return {"url": str(url)}
        what = f"API {tenant}/{slug}"
        effect = "the built-in echo answers until you write a URL"
        self._translation.leave_out(what, "backend", alias or "", effect)
        return {"alias": "echo"}

    def _routes(self, document: TranslatedDocument, routing: Mapping[str, Any], slug: str) -> None:
        routes: list[dict[str, Any]] = [{"path": f"/apis/{document.tenant}/{document.name}"}]
        base = str(routing.get("basePath") or "").rstrip("/")
        if base.startswith("/"):
            self.claim(document, base, routes)
            if routing.get("stripBasePath") is False:
                routes[-1]["stripPath"] = False
        self.claim(document, f"/apis/{slug}", routes)
        document.spec["routes"] = routes

    def _policies(
        self, document: TranslatedDocument, home: TenantHome, fields: Mapping[str, Any]
    ) -> None:
        used: list[str] = []
        for name in texts_of(fields.get("policies")):
            if self._tenants.use_policy(home, name, {}):
                used.append(name)
            elif may_keep_out(name):
                document.close(f"policy {name}")
        oauth = mapping_of(mapping_of(fields.get("gateway")).get("oauth2"))
        if oauth.get("enabled") is True:
            scopes = texts_of(oauth.get("scopes"))
            if scopes:
                effect = "tokens are checked, their scopes are not"
                shown = ", ".join(scopes)
                self._translation.leave_out("oauth2", "scopes", shown, effect, document)
            if "jwt" not in {home.policies[name] for name in used}:
                if self._tenants.use_policy(home, "jwt-validation", {}):
                    used.append("jwt-validation")
                else:
                    document.close("oauth2")
        # Two of one type cannot be on one API: the first one counts, as STOA runs them in order.
        types: set[str] = set()
        for name in list(used):
            if home.policies[name] in types:
                used.remove(name)
                effect = "left out: another policy of its type is before it"
                self._translation.leave_out("policy", name, "", effect, document)
            types.add(home.policies[name])
        if used:
            document.spec["policies"] = used

    def _deployments(
        self, document: TranslatedDocument, home: TenantHome, fields: Mapping[str, Any]
    ) -> None:
        named = list(_targets(fields.get("gateways")))
        wanted: list[str] = []
        for environment, value in mapping_of(fields.get("deployments")).items():
            if not value:
                continue
            wanted.append(environment)
            inner = mapping_of(value)
            named += _targets(inner.get("gateways") or inner.get("gateway"))
            named += _targets(value if isinstance(value, list) else None)
        known = set(self._tenants.gateway_names)
        targets = [name for name in dict.fromkeys(named) if name in known]
        for name in sorted({*named} - known):
            effect = "left out: the catalog has no such gateway"
            self._translation.leave_out("gateway", name, "", effect, document)
        for environment in wanted:
            found = self._tenants.gateways_in([environment])
            if not found:
                effect = "the catalog has no gateway of that environment"
                shown = environment_of(environment)
                self._translation.leave_out("deployments", shown, True, effect, document)
            targets += found if not named else []
        targets = list(dict.fromkeys(targets))
        if targets and targets != home.gateways:
            document.spec["gateways"] = targets
        is_inactive = mapping_of(fields.get("gateway")).get("isActive") is False
        has_none = "deployments" in fields and not wanted
        if str(fields.get("status") or "") == "draft" or is_inactive or has_none:
            document.spec["active"] = False

    def _portal(
        self, document: TranslatedDocument, home: TenantHome, fields: Mapping[str, Any]
    ) -> None:
        tags = texts_of(fields.get("tags"))
        visibility = str(fields.get("portalVisibility") or "")
        if _PUBLISHED in tags:
            visibility = visibility or "public"
        portal: dict[str, Any] = {}
        if visibility and visibility != home.visibility:
            portal["visibility"] = visibility
        if fields.get("category"):
            portal["category"] = str(fields["category"])
        kept = [tag for tag in dict.fromkeys(tags) if tag != _PUBLISHED]
        if kept:
            portal["tags"] = kept
        if portal:
            document.spec["portal"] = portal
        gateway = mapping_of(fields.get("gateway"))
        self._translation.leave_out_others(
            "gateway", gateway, {"type", "isActive", "oauth2"}, document
        )

    def _openapi(
        self, document: TranslatedDocument, tenant: str, slug: str, said: Mapping[str, Any]
    ) -> None:
        folder = f"tenants/{tenant}/apis/{slug}"
        named = str(said.get("openapi") or "")
        names = [named] if named and "/" not in named else []
        for name in (*names, *_DOCUMENTS):
            if self._files.has(f"{folder}/{name}"):
                suffix = "json" if name.endswith(".json") else "yaml"
                target = f"{document.path.rpartition('/')[0]}/openapi.{suffix}"
                self._translation.copies[target] = self._files.bytes_of(f"{folder}/{name}")
                break
        else:
            if named:
                effect = "left out: there is no such file"
                self._translation.leave_out("documentation", "openapi", named, effect, document)
        self._translation.leave_out_others("documentation", said, {"openapi"}, document)


def _targets(value: Any) -> Iterator[str]:
    """Yield the names of gateways in any of the forms that STOA's reconciler accepts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (str(name) for name, options in value.items() if options is not False)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str):
                yield item
            elif isinstance(item, Mapping) and item.get("activated") is not False:
                name = item.get("instance") or item.get("name") or item.get("gateway")
                if name:
                    yield str(name)
