"""The JSON Schemas of kinds, policy types and gateway options, loaded and compiled once.

    Schemas(kinds, gateway_types) -> validator(name), explainer(name), normaliser(name)

A name is a kind (`API`), a policy type (`rate_limit`) or the options of a gateway type
(`options/kong`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from stoa_gitops.catalog.documents.canonical_form import Normaliser, compile_normaliser
from stoa_gitops.catalog.documents.schema_files import (
    bundle,
    common_definitions,
    policy_types,
    read_schema,
)
from stoa_gitops.catalog.documents.schema_tree import Schema
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.package_data import schema_folder
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.gateway_types import GatewayTypeInfo, GatewayTypes

API_VERSION: Final = "gostoa.dev/v1alpha1"

OPTIONS: Final = "options/"
"""Prefix of the names of gateway types' option schemas."""

Validator: TypeAlias = Callable[[object], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSchema:
    """What is needed to check a document of one kind by itself.

    name             as in `kind:`
    takes_variables  `${NAME}` in it has a value only in an environment, so the schema is checked
                     there; False for kinds whose text is taken as it is
    policies_at      where policies are written out: one policy, or a list of uses; None where none
    schema_file      its JSON Schema; by default `<name in lower case>.json` in the schemas' folder
    complete_schema  returns the schema with the gateway types of this installation, given by name
    """

    name: str
    takes_variables: bool = True
    policies_at: Pointer | None = None
    schema_file: Path | None = None
    complete_schema: Callable[[Schema, Sequence[str]], Schema] | None = None


class Schemas:
    """The schemas of some kinds, of all policy types and of some gateway types.

    kinds          by name, in the order in which lists show them
    policy_types   those that have a schema file
    gateway_types  those of this installation; None where nobody said which there are, and types
                   are then checked against the list in the schema file alone
    """

    def __init__(
        self, kinds: Iterable[KindSchema], gateway_types: GatewayTypes | None = None
    ) -> None:
        self.kinds: Mapping[str, KindSchema] = {kind.name: kind for kind in kinds}
        self.gateway_types = gateway_types
        self._folder = schema_folder()
        self.policy_types = policy_types(self._folder)
        self._policy_types = frozenset(self.policy_types)
        # Compiled when first asked for: each schema takes up to 3 ms.
        self.schema: Callable[[str], Schema] = cache(self._load)
        self.complete_schema: Callable[[str], Schema] = cache(self._complete)
        self.validator: Callable[[str], Validator] = cache(self._compile)
        self.explainer: Callable[[str], Any] = cache(self._explainer)
        self.normaliser: Callable[[str], Normaliser] = cache(self._normaliser)

    def is_policy_type(self, name: object) -> bool:
        """Whether there is a policy type of that name."""
        return name in self._policy_types

    @property
    def option_types(self) -> tuple[str, ...]:
        """Names of the gateway types whose `spec.options` have a schema."""
        return tuple(
            info.name for info in self.gateway_types or () if info.options_schema is not None
        )

    def gateway_type(self, name: str) -> GatewayTypeInfo | None:
        """Return what is known about a gateway type."""
        return None if self.gateway_types is None else self.gateway_types.get(name)

    def text(self, name: str) -> str:
        """Return a self-contained schema as JSON text; raises UsageError for an unknown name."""
        return json.dumps(self.complete_schema(name), indent=2, ensure_ascii=False) + "\n"

    def _load(self, name: str) -> Schema:
        if name.startswith(OPTIONS):
            info = self.gateway_type(name.removeprefix(OPTIONS))
            if info is not None and info.options_schema is not None:
                return dict(info.options_schema)
        kind = self._kind(name)
        if kind is not None:
            path = kind.schema_file or self._folder / f"{kind.name.lower()}.json"
        elif self.is_policy_type(name):
            path = self._folder / "policies" / f"{name}.json"
        else:
            raise UsageError(
                f"no schema for {name!r}: there are {', '.join(self.kinds)} and the policy types "
                f"{', '.join(self.policy_types)}"
            )
        return bundle(read_schema(path), common_definitions(self._folder))

    def _kind(self, name: str) -> KindSchema | None:
        """Return a kind by its name in any case."""
        return next((k for k in self.kinds.values() if k.name.lower() == name.lower()), None)

    def _complete(self, name: str) -> Schema:
        """Return a schema with what depends on the gateway types, all of which are asked for."""
        kind, schema = self._kind(name), self.schema(name)
        if kind is None or kind.complete_schema is None or self.gateway_types is None:
            return schema
        return kind.complete_schema(schema, [info.name for info in self.gateway_types])

    def _compile(self, name: str) -> Validator:
        """Return the quickest function that tells whether a value is valid."""
        validate = _compile_validator(self.schema(name))
        kind = self._kind(name)
        if kind is None or kind.complete_schema is None:
            return validate
        # The stored schema lists every type of this version: only what it refuses can be of a type
        # that was added since, and then all adapters are asked.
        complete = cache(lambda: _compile_validator(self.complete_schema(name)))
        return lambda value: validate(value) or complete()(value)

    def _explainer(self, name: str) -> Any:
        """Return jsonschema's validator, which says what is wrong and where."""
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self.complete_schema(name))

    def _normaliser(self, name: str) -> Normaliser:
        return compile_normaliser(self.schema(name))


def _compile_validator(schema: Schema) -> Validator:
    """Compile by jsonschema-rs where its wheel is installed, by jsonschema otherwise.

    Both agree (a test compares them); for an API, jsonschema-rs takes 4 us and jsonschema 1 ms.
    """
    try:
        import jsonschema_rs
    except ImportError:
        from jsonschema import Draft202012Validator

        slow: Validator = Draft202012Validator(schema).is_valid
        return slow
    valid: Validator = jsonschema_rs.Draft202012Validator(schema).is_valid
    return valid
