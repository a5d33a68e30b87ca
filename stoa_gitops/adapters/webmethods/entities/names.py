"""Names of our objects on the gateway: computed from the key, unique in the one name space. Pure.

`apiName` takes letters, digits, `.`, `_` and `-` only (contract webmethods.md A.3). Names of the
catalog are DNS labels, of which a tenant's cannot be told from an API's once they are joined: two
keys of one name are a finding of the catalog (`has_one_name_space`).
"""

from __future__ import annotations

from stoa_gitops.model.keys import Key


def api_name(key: Key) -> str:
    """Return the name of an API: `acme-billing`."""
    return f"{key.tenant}-{key.name}"


def backend_alias(key: Key) -> str:
    """Return the name of the endpoint alias with an API's backend."""
    return f"{api_name(key)}-backend"


def issuer_alias(key: Key) -> str:
    """Return the name of the authorization server alias with the issuer of an API's tokens."""
    return f"{api_name(key)}-issuer"


def runtime_path(name: str, version: str) -> str:
    """Return where the gateway serves an API, without a slash before it (contract A.3)."""
    return f"gateway/{name}/{version}"


def alias_of_path(path: str) -> str:
    """Return the URL alias that stands for a path of the catalog: without the slashes around it."""
    return path.strip("/")


def path_of_alias(alias: str) -> str:
    """Return the path that a URL alias serves."""
    return f"/{alias.strip('/')}"
