"""Resolves desired objects for writing: derives ids, replaces secret references by their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.redaction import Redactor
from stoa_gitops.model.resources import Resource
from stoa_gitops.model.secret import Secret, Value
from stoa_gitops.secrets import SecretResolver


class SpecResolver:
    """Makes ObjectSpecs for one catalog; `redact` hides the secrets that it has handed out."""

    def __init__(self, owner: str, secrets: SecretResolver) -> None:
        self._owner = owner
        self._secrets = secrets
        self.redact = Redactor()

    def __call__(self, resource: Resource) -> ObjectSpec:
        """Resolve an object; raises SecretUnresolved for a reference that does not resolve.

        Only a backend credential of an API with a fallback may be missing: it is None then, and the
        gateway responds from the fallback.
        """
        tree = resource.spec.value
        value = {name: self._part(name, part) for name, part in tree.items()}
        self.redact.add(_secrets_in(value))
        return ObjectSpec(resource.key, resource.key.identifier(self._owner), self._owner, value)

    def _part(self, name: str, part: Json) -> Value:
        try:
            return self._secrets.resolve_tree(part)
        except SecretUnresolved:
            # Only there has the gateway something else to respond with.
            if name != "backend" or not isinstance(part, Mapping) or "fallback" not in part:
                raise
            return self._secrets.resolve_tree(part, is_lenient=True)


def _secrets_in(value: Value) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets_in(item)
