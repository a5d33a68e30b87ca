"""Substitutes `${NAME}`, `${NAME:-default}` and `$${` in the texts of a document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from stoa_gitops.catalog.documents.document_checks import MAX_FINDINGS
from stoa_gitops.catalog.documents.schema_tree import Schema, follow
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.documents.yaml_bounds import MAX_DOCUMENT_BYTES
from stoa_gitops.catalog.findings import Finding, suggest
from stoa_gitops.foundation.yaml.composer import parse_int
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Json

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
# 18 digits always fit into the 64 bits that JSON readers of gateways have.
_INTEGER: Final = re.compile(r"^(?:[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15})$")
_NUMBER: Final = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]{1,18}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,9})?$")
_BOOLEANS: Final = ("true", "True", "TRUE", "false", "False", "FALSE")


class Substitution:
    """Fills one environment's values into one document; `findings` has what could not be filled."""

    def __init__(
        self, kind: str, environment: str, values: Mapping[str, Json], schemas: Schemas
    ) -> None:
        self.findings: list[Finding] = []
        self._schemas = schemas
        self._kind = kind
        self._environment = environment
        self._values = values
        self._document: Any = {}
        self._left = MAX_DOCUMENT_BYTES

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the document with `spec` filled in; identity and labels never depend on values."""
        self._document = document
        return {
            key: self._walk(value, (key,)) if key == "spec" else value
            for key, value in document.items()
        }

    def _walk(self, value: Any, at: Pointer) -> Any:
        if isinstance(value, dict):
            return {key: self._walk(item, (*at, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item, (*at, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._fill(value, at)
        return value

    def _fill(self, text: str, at: Pointer) -> Json:
        # A text that is one variable takes the type of its field; any other stays a text.
        whole = _VARIABLE.fullmatch(text)
        if whole is not None and whole[1]:
            return self._typed(self._bounded(self._lookup(whole, at), at), at)
        return _VARIABLE.sub(lambda found: _text(self._bounded(self._lookup(found, at), at)), text)

    def _bounded(self, value: Json, at: Pointer) -> Json:
        """Return a value while the document stays small enough, an empty text from then on."""
        if not isinstance(value, str) or self._left < 0:
            return value if self._left >= 0 else ""
        self._left -= len(value)
        if self._left >= 0:
            return value
        self._report(
            "variable.size",
            f"with its variables filled in, the document has more than {MAX_DOCUMENT_BYTES} "
            "characters",
            at,
            "use fewer or shorter ones",
        )
        return ""

    def _report(self, code: str, message: str, at: Pointer, hint: str) -> None:
        # A document may have 100,000 of one slip: nobody reads them, and each costs a search.
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(code, message, at, hint))

    def _lookup(self, found: re.Match[str], at: Pointer) -> Json:
        if found[0] == "$${":
            return "${"
        name = found[1]
        if name is None:
            self._report(
                "variable.syntax",
                "`${` starts no variable",
                at,
                "write ${NAME} or ${NAME:-default}, or $${ for the two characters",
            )
            return found[0]
        value = self._values.get(name)
        # As in a shell, `:-` covers an empty value.
        if value is None or (value == "" and found[2] is not None):
            if found[2] is not None:
                return found[2]
            self._unset(name, at)
            return found[0]
        return value

    def _unset(self, name: str, at: Pointer) -> None:
        if len(self.findings) >= MAX_FINDINGS:
            return
        if at and str(at[-1]).endswith("Ref"):
            text = f"${{{name}}} is a variable of the catalog, and {at[-1]} refers to a secret"
            self._report("variable.unset", text, at, f"write `{{env: {name}}}`")
            return
        close = suggest(name, self._values)
        where = f"environments/{self._environment}.yaml"
        hint = f"set it there, or write ${{{name}:-default}}"
        self._report(
            "variable.unset",
            f"${{{name}}} is not set in {where}",
            at,
            f"{close} Otherwise {hint}" if close.startswith("did you") else hint,
        )

    def _typed(self, value: Json, at: Pointer) -> Json:
        """Convert a value that fills a whole field to the type that the schema wants there."""
        types = _types(self._kind, at, self._document, self._schemas)
        if "string" in types or not types:
            return _text(value)
        if not isinstance(value, str):
            return value
        # A variable keeps its spelling; a field that wants a number or a boolean reads it as YAML
        # does (1.2.2, §10.3.2).
        if "boolean" in types and value in _BOOLEANS:
            return value.lower() == "true"
        if "integer" in types and _INTEGER.match(value):
            return parse_int(value)
        if ("number" in types or "integer" in types) and _NUMBER.match(value):
            return _number(value)
        return value


def _number(text: str) -> Json:
    number = float(text)
    # `1e3` is an integer for JSON Schema, and an exponent can be larger than any float.
    return number if isfinite(number) else text


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _types(kind: str, at: Pointer, document: Any, schemas: Schemas) -> frozenset[str]:
    """Return the types that a schema allows at a pointer; empty where it does not say."""
    root = schemas.schema(kind)
    node: Schema = root
    for index, part in enumerate(at):
        node = _below(node, root, part)
        if part == "config":
            policy_type = _type_beside(document, at[:index])
            if isinstance(policy_type, str) and schemas.is_policy_type(policy_type):
                node = root = schemas.schema(policy_type)
    wanted = node.get("type", [])
    if "enum" in node:
        return frozenset(["string"])
    return frozenset([wanted] if isinstance(wanted, str) else wanted)


def _type_beside(document: Any, holder: Pointer) -> Json:
    value = document
    for part in holder:
        value = _step(value, part)
    return value.get("type") if isinstance(value, dict) else None


def _step(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _below(node: Schema, root: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        below = node.get("items", {})
    else:
        below = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return follow(below, root) if isinstance(below, dict) else {}
