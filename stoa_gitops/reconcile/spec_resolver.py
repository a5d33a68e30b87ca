"""Resolves desired objects for writing: derives ids, replaces secret references by their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.errors import SecretRefused, SecretUnresolved, SecretUnsuitable
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.redaction import Redactor
from stoa_gitops.model.resources import CatalogFiles, Resource
from stoa_gitops.model.secret import Secret, Value
from stoa_gitops.model.secret_rights import SecretRights, TenantSecrets
from stoa_gitops.secrets import SecretResolver
from stoa_gitops.secrets.tls_material import find_tls_flaws


class SpecResolver:
    """Makes ObjectSpecs for one catalog; `redact` hides the secrets that it has handed out."""

    def __init__(
        self,
        owner: str,
        secrets: SecretResolver,
        rights: SecretRights,
        files: CatalogFiles | None = None,
    ) -> None:
        self._owner = owner
        self._secrets = secrets
        self._rights = rights
        self._files = files
        self.redact = Redactor()

    def __call__(self, resource: Resource) -> ObjectSpec:
        """Resolve an object; raises SecretUnresolved for a reference that does not resolve.

        The tenant of its key decides what it may refer to, whoever wrote the reference: also an
        environment's patch does not make a secret go where a tenant says. Raises SecretRefused,
        and SecretUnsuitable for certificates and keys that no gateway can use.

        Only a backend credential of an API with a fallback may be missing: it is None then, and the
        gateway responds from the fallback.
        """
        tree = resource.spec.value
        rights = self._rights.of(resource.key.tenant)
        value = {name: self._part(name, part, rights) for name, part in tree.items()}
        self.redact.add(_secrets_in(value))
        _check_tls(value.get("backend"))
        key, owner = resource.key, self._owner
        return ObjectSpec(key, key.identifier(owner), owner, value, files=self._files)

    def _part(self, name: str, part: Json, rights: TenantSecrets) -> Value:
        try:
            return self._secrets.resolve_tree(part, rights)
        except SecretRefused:
            raise
        except SecretUnresolved:
            # Only there has the gateway something else to respond with.
            if name != "backend" or not isinstance(part, Mapping) or "fallback" not in part:
                raise
            return self._secrets.resolve_tree(part, rights, is_lenient=True)


def _check_tls(backend: Value) -> None:
    if isinstance(backend, Mapping):
        now = datetime.now(UTC)
        found = [flaw.message for flaw in find_tls_flaws(backend, now) if not flaw.is_partial]
        if found:
            raise SecretUnsuitable("; ".join(found))


def _secrets_in(value: Value) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets_in(item)
