"""Translates a folder with STOA's own trees into documents of a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stoa_gitops.catalog.export.foreign.stoa.apis import Apis
from stoa_gitops.catalog.export.foreign.stoa.applications import add_application
from stoa_gitops.catalog.export.foreign.stoa.contracts import Contract
from stoa_gitops.catalog.export.foreign.stoa.files import TreeFiles
from stoa_gitops.catalog.export.foreign.stoa.policies import PolicyBook
from stoa_gitops.catalog.export.foreign.stoa.tenants import Tenants
from stoa_gitops.catalog.export.foreign.stoa.variables import Variables, vault_reference
from stoa_gitops.catalog.export.foreign.translation import Translation, mapping_of
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.catalog import Catalog


def translate_tree(
    folder: Path, catalog: Catalog, tree: Tree, variables: Mapping[str, str]
) -> Translation:
    """Return the documents of a folder with `tenants/`, `webmethods/` or `stoa-catalog/`.

    `catalog` is the one that they are for, with its gateways, `tree` its files; `variables` are
    values of what the tree names as `${NAME}`. Raises UsageError for a folder that is no such tree.
    """
    translation = Translation(catalog.secret_rights)
    files = TreeFiles(folder, translation)
    environments = {one.environment for one in catalog.gateways}
    known = Variables(translation, tree, environments, variables)
    book = PolicyBook(translation)
    for pattern in ("webmethods/policies/*.y*ml", "tenants/*/apis/*/policies/*.y*ml"):
        for path, root in files.documents(pattern):
            book.add_document(root, path)
    tenants = Tenants(translation, catalog.gateways, book, known)
    for path, root in files.documents("tenants/*/tenant.y*ml"):
        tenants.add(_tenant_of(path), root)
    apis = Apis(translation, files, tenants, known, _aliases(files, translation))
    for path, root in files.documents("tenants/*/apis/*/api.y*ml"):
        apis.add(_tenant_of(path), path.split("/")[3], root)
    for path, root in files.documents("webmethods/apis/*.y*ml"):
        _add_gateway_api(translation, apis, root, path)
    for path, root in files.documents("stoa-catalog/tenants/*/uac.y*ml"):
        tenant = path.split("/")[2]
        Contract(translation, tenants, apis, known, root, tenant).add()
    for path, root in files.documents("tenants/*/applications/*.y*ml"):
        add_application(translation, apis, _tenant_of(path), root)
    _note_rest(translation, files)
    known.write_environments()
    return translation


def _tenant_of(path: str) -> str:
    return path.split("/")[1]


def _aliases(files: TreeFiles, translation: Translation) -> dict[str, str]:
    """Return the URLs of aliases; of one that differs by environment, the first one's."""
    found: dict[str, str] = {}
    for path, root in files.documents("webmethods/aliases/*.y*ml"):
        for name, value in mapping_of(root.get("aliases")).items():
            url = str(mapping_of(value).get("url") or "")
            if found.setdefault(name, url) != url:
                effect = f"{found[name]} is written: patch it in environments/<name>.yaml"
                translation.leave_out("alias", f"{path}: {name}", url, effect)
    return found


def _add_gateway_api(
    translation: Translation, apis: Apis, root: Mapping[str, Any], path: str
) -> None:
    """Take over of a WebMethodsAPI what the API of its name does not say."""
    metadata, spec = mapping_of(root.get("metadata")), mapping_of(root.get("spec"))
    name = str(metadata.get("name") or path)
    document = apis.find("", name)
    if document is None:
        effect = "not written: no tenant has an API of that name"
        translation.leave_out("WebMethodsAPI", name, "", effect)
        return
    check = mapping_of(mapping_of(spec.get("backend")).get("healthCheck")).get("path")
    if isinstance(check, str) and check.startswith("/"):
        document.spec.setdefault("probe", {"path": check})
    effect = "left out: the API of the tenant says what is served"
    known = {"type", "basePath", "backend", "policies"}
    translation.leave_out_others(f"WebMethodsAPI {name}", spec, known, document, effect)


def _note_rest(translation: Translation, files: TreeFiles) -> None:
    for path, root in files.documents("webmethods/oidc/*.y*ml"):
        spec = mapping_of(root.get("spec"))
        effect = "left out: the policy `jwt` names issuer and keys; nothing needs its secret"
        # A reference may be shown; what is none may be the secret itself.
        secret = str(spec.get("clientSecret") or "")
        shown = secret if vault_reference(secret) else spec.get("discoveryURL") or ""
        translation.leave_out("AuthServerAlias", path, shown, effect)
    for path, _ in files.documents("webmethods/config/*.y*ml"):
        effect = "left out: error texts and callbacks of webMethods"
        translation.leave_out("gateway config", path, "", effect)
    for path, root in files.documents("stoa-catalog/environments/*/config.y*ml"):
        factor = root.get("rate_limit_factor", 1)
        if factor != 1:
            effect = "left out: patch limits in environments/<name>.yaml"
            translation.leave_out("rate_limit_factor", path, factor, effect)
