"""Turns the errors of jsonschema into findings with a message and a hint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_tree import Schema, follow
from stoa_gitops.catalog.documents.schemas import API_VERSION, Schemas
from stoa_gitops.catalog.findings import (
    SENSITIVE,
    Finding,
    did_you_mean,
    near_names,
    shown,
    suggest,
)
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Json, JsonObject

PLANNED_KINDS: Final = {
    "AuthServer": "the adapter that uses it",
    "AuthStrategy": "the adapter that uses it",
    "Scope": "the adapter that uses it",
    "Alias": "the adapter that uses it",
    "GatewayConfig": "the adapter that uses it",
    "Tool": "the server that uses it",
    "ToolSet": "the server that uses it",
}
"""Kinds of the contract that are not read yet, each with what will bring its schema."""

# API groups of Kubernetes objects of STOA that people copy documents from.
_GROUPS: Final = ("gostoa.dev/v1", "gostoa.dev/v1beta1", "stoa.io/v1", "stoa.io/v1alpha1")

_KINDS_OF_TYPES: Final = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "object": "a mapping", "array": "a list", "null": "nothing",
}  # fmt: skip


def explain_head(value: Json, schemas: Schemas) -> Finding | None:
    """Return what is wrong with the apiVersion or kind of a document; None for a known kind."""
    if not isinstance(value, dict):
        return Finding(
            "document.kind",
            f"a document is a mapping with apiVersion, kind and metadata, not {shown(value)}",
        )
    kind = value.get("kind")
    version = value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        return Finding(
            "document.kind",
            "the document has no kind",
            ("kind",),
            "write `kind:`, or move files that are no documents of the catalog out of this folder",
        )
    if not isinstance(version, str) or version != API_VERSION:
        return _wrong_version(version)
    if kind in PLANNED_KINDS and kind not in schemas.kinds:
        return Finding(
            "document.kind",
            f"documents of kind {kind} are not read yet: "
            f"the schema comes with {PLANNED_KINDS[kind]}",
            ("kind",),
            "remove the document until then",
        )
    if kind not in schemas.kinds:
        return Finding(
            "document.kind",
            f"{shown(kind)} is no kind of document",
            ("kind",),
            suggest(kind, schemas.kinds),
        )
    return None


def _wrong_version(version: Json) -> Finding:
    hint = f"write `apiVersion: {API_VERSION}`"
    if version is None:
        return Finding("document.version", "the document has no apiVersion", ("apiVersion",), hint)
    if version in _GROUPS:
        return Finding(
            "document.version",
            f"documents of the API group {version} are not read yet",
            ("apiVersion",),
            hint + " and the fields of that version",
        )
    return Finding(
        "document.version", f"{shown(version)} is no API group we read", ("apiVersion",), hint
    )


def explain(
    value: JsonObject, name: str, schemas: Schemas, base: Pointer = (), *, most: int = 1_000
) -> list[Finding]:
    """Return what a schema finds wrong with a value, at most so many findings.

    `name` is that of the schema: a kind, a policy type or options of a gateway type; `base` is
    where the value is in its document.
    """
    root = schemas.schema(name)
    errors = schemas.explainer(name).iter_errors(value)
    all_found = (finding for error in errors for finding in _findings_of(error, root, base))
    found = list(islice(all_found, most))
    # `if`/`then` and `required` may report the same thing twice.
    return _without_consequences(list(dict.fromkeys(found)))


def _without_consequences(found: list[Finding]) -> list[Finding]:
    """Leave out missing keys that stand there misspelled, or with the secret itself: one slip."""
    missing: dict[Pointer, list[str]] = {}
    for finding in found:
        if finding.missing:
            missing.setdefault(finding.pointer, []).extend(finding.missing)
    if not missing:
        return found
    said: set[tuple[Pointer, str]] = set()
    kept: list[Finding] = []
    for finding in found:
        at, key = finding.pointer[:-1], str(finding.pointer[-1]) if finding.pointer else ""
        meant, hint = _meant_by(finding, key, missing.get(at, []))
        said.update((at, name) for name in meant)
        kept.append(replace(finding, hint=hint) if meant else finding)
    return [f for f in kept if not any((f.pointer, name) in said for name in f.missing)]


def _meant_by(finding: Finding, key: str, lacks: list[str]) -> tuple[list[str], str]:
    """Return the missing keys that a wrong one may stand for, and what to do then."""
    if finding.code == "secret.value" and finding.at_key:
        return [f"{key}Ref"], finding.hint
    if finding.code != "schema.unknown-key" or not finding.at_key:
        return [], ""
    references = [name for name in lacks if name.endswith("Ref")]
    if len(references) == 1 and SENSITIVE.search(key):
        # By letters alone `apiKey` is near to nothing.
        return references, f"write `{references[0]}: {{env: NAME}}`"
    near = near_names(key, lacks)
    return near, did_you_mean(near)


def policies_of(
    value: JsonObject, kind: str, schemas: Schemas
) -> Iterator[tuple[Pointer, str, JsonObject]]:
    """Yield (pointer of config, type, config) of each policy that is written out in a document."""
    at = schemas.kinds[kind].policies_at
    if at is None:
        return
    holder: Json = value
    for part in at:
        holder = holder.get(str(part)) if isinstance(holder, Mapping) else None
    if isinstance(holder, Mapping):
        yield from _policy(holder, at, schemas)
    elif isinstance(holder, list):
        for index, use in enumerate(holder):
            if isinstance(use, Mapping):
                yield from _policy(use, (*at, index), schemas)


def _policy(
    holder: JsonObject, base: Pointer, schemas: Schemas
) -> Iterator[tuple[Pointer, str, JsonObject]]:
    policy_type, config = holder.get("type"), holder.get("config")
    # A type that is no text cannot be looked up: a list, say, which has no hash.
    if (
        isinstance(policy_type, str)
        and schemas.is_policy_type(policy_type)
        and isinstance(config, Mapping)
    ):
        yield (*base, "config"), policy_type, config


def _findings_of(error: Any, root: Schema, base: Pointer) -> Iterator[Finding]:
    at: Pointer = (*base, *error.absolute_path)
    name = next((part for part in reversed(at) if isinstance(part, str)), "")
    node: Schema = follow(error.schema, root) if isinstance(error.schema, dict) else {}
    rule = str(error.validator)
    if _is_in_reference(at):
        yield _wrong_reference(error, node, at)
    elif "propertyNames" in error.absolute_schema_path:
        text = f"{shown(error.instance)} is not {_article(node.get('title', 'valid name'))}"
        yield Finding("schema.unknown-key", text, (*at, str(error.instance)), at_key=True)
    elif rule == "additionalProperties":
        yield from _unknown_keys(error, node, at)
    elif rule == "required":
        yield _missing(error, at)
    elif rule == "type":
        yield _wrong_type(error.instance, node, at, name)
    elif rule in ("enum", "const"):
        yield _not_one_of(error, at, name)
    elif rule == "oneOf":
        # What is no mapping at all has a finding of its own.
        # A value that is no mapping has a finding of its own, by `type`.
        if isinstance(error.instance, dict):
            yield _choice(error, at)
    elif rule == "pattern":
        text = f"{shown(error.instance, name)} is not {_article(node.get('title', 'valid value'))}"
        yield Finding("schema.pattern", text, at, _spelling_hint(error.instance, node))
    else:
        yield _bounds(rule, error, node, at, name)


def _is_in_reference(at: Pointer) -> bool:
    """Whether a place is within a reference, where somebody may have written the secret itself."""
    return any(isinstance(part, str) and part.endswith("Ref") for part in at[:-1])


def _wrong_reference(error: Any, node: Schema, at: Pointer) -> Finding:
    """Return what is wrong within a reference, without a word of its text."""
    where = ".".join(str(part) for part in at)
    noun = _article(node.get("title", "text"))
    text = f"{where} is empty" if error.instance is None else f"the value is not {noun}"
    return Finding("schema.pattern", text, at, "write `{env: NAME}` or `{file: /path}`")


def _unknown_keys(error: Any, node: Schema, at: Pointer) -> Iterator[Finding]:
    known = node.get("properties", {})
    for key in error.instance:
        if key in known:
            continue
        where = ".".join(str(part) for part in at) or "the document"
        if node.get("x-canonical") == "secret":
            text = f"{where} takes only one of {', '.join(known)}"
            yield Finding("schema.unknown-key", text, at, "write `{env: NAME}` or `{file: /path}`")
            continue
        if f"{key}Ref" in known:
            yield Finding(
                "secret.value",
                f"{key} would be a secret written as a value",
                (*at, key),
                f"write `{key}Ref: {{env: NAME}}`",
                at_key=True,
            )
            continue
        yield Finding(
            "schema.unknown-key",
            f"{key} is not a field of {where}",
            (*at, key),
            suggest(str(key), known),
            at_key=True,
        )


def _missing(error: Any, at: Pointer) -> Finding:
    # jsonschema names the missing key in its message only.
    missing = [key for key in error.validator_value if f"'{key}'" in error.message]
    name = missing[0] if missing else "a field"
    where = ".".join(str(part) for part in at)
    text = f"{where} needs {name}" if where else f"the document needs {name}"
    return Finding("schema.missing", text, at, at_key=True, missing=tuple(missing))


def _wrong_type(instance: Json, node: Schema, at: Pointer, name: str) -> Finding:
    if node.get("x-canonical") == "secret" and instance is not None:
        return Finding(
            "secret.value",
            f"{name} is a secret written as a value",
            at,
            "write a reference such as `{env: NAME}`",
        )
    wanted = node.get("type", [])
    if instance is None:
        return Finding("schema.type", f"{name or 'the document'} is empty", at, "write a value")
    types = [wanted] if isinstance(wanted, str) else list(wanted)
    if node.get("x-canonical") == "duration" and _is_number(instance):
        text = f"{shown(instance, name)} is not {_article(node['title'])}"
        return Finding("schema.type", text, at, _unit_hint(instance))
    hint = ""
    if "string" in types and isinstance(instance, (int, float)):
        hint = "put it in quotes"
    elif isinstance(instance, dict) and "array" in types:
        hint = "begin each entry of the list with `- `"
    elif isinstance(instance, str) and types == ["object"] and (needed := _needed(node)):
        hint = f"write its fields, as `{needed[0]}: …`"
    elif isinstance(instance, str) and "string" not in types:
        hint = _unquote(instance, types)
    wants = (
        node["title"]
        if len(types) > 1 and "title" in node
        else " or ".join(_KINDS_OF_TYPES.get(t, t) for t in types)
    )
    return Finding("schema.type", f"{shown(instance, name)} is not {_article(wants)}", at, hint)


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _needed(node: Schema) -> list[str]:
    """Return the fields that a mapping must have, or one choice of them."""
    choices = node.get("oneOf", [{}])
    return list(node.get("required") or choices[0].get("required", []))


def _spelling_hint(text: str, node: Schema) -> str:
    """Return what to write instead of a text that is spelled in another way."""
    if node.get("x-canonical") == "duration" and text.isdecimal():
        return _unit_hint(int(text[:13]))
    return ""


def _unit_hint(number: Json) -> str:
    """Return what to write instead of a duration without a unit: quotes alone do not help."""
    # As many digits as the schema takes.
    if isinstance(number, int) and 0 <= number < 10**12:
        return f"add the unit: {number}s, or ms, m, h or d"
    return "write a whole number and its unit: ms, s, m, h or d"


def _unquote(text: str, types: list[str]) -> str:
    if "boolean" in types and text.lower() in ("yes", "no", "on", "off", "y", "n", "true", "false"):
        return f"write {'true' if text.lower() in ('yes', 'on', 'y', 'true') else 'false'}"
    if ("integer" in types or "number" in types) and text.lstrip("+-").isdigit():
        return "remove the quotes"
    if "array" in types:
        return "write a list, as [a, b]"
    return ""


def _article(noun: str) -> str:
    if noun.startswith(("a ", "an ", "text", "true", "one of", "nothing")):
        return noun
    return f"a{'n' if noun[0] in 'aeio' else ''} {noun}"


def _not_one_of(error: Any, at: Pointer, name: str) -> Finding:
    known = [error.validator_value] if error.validator == "const" else error.validator_value
    choices = [str(choice) for choice in known]
    text = f"{shown(error.instance, name)} is not one of {', '.join(choices)}"
    if len(choices) == 1:
        text = f"{shown(error.instance, name)} is not {choices[0]}"
    hint = suggest(error.instance, choices) if isinstance(error.instance, str) else ""
    return Finding("schema.enum", text, at, hint if hint.startswith("did you") else "")


def _choice(error: Any, at: Pointer) -> Finding:
    names = [name for branch in error.validator_value for name in branch.get("required", [])]
    present = [name for name in names if name in error.instance]
    where = ".".join(str(part) for part in at)
    if present:
        return Finding(
            "schema.choice",
            f"{where} takes only one of {' and '.join(names)}",
            (*at, present[-1]),
            at_key=True,
        )
    text = f"{where} needs {' or '.join(names)}"
    return Finding("schema.missing", text, at, at_key=True, missing=tuple(names))


def _bounds(rule: str, error: Any, node: Schema, at: Pointer, name: str) -> Finding:
    limit, value = error.validator_value, shown(error.instance, name)
    fields = [field for field in node.get("properties", {}) if field != "type"]
    texts = {
        "minimum": f"{value} is less than {limit}",
        "maximum": f"{value} is more than {limit}",
        "minLength": f"{name or 'the value'} must not be empty",
        "maxLength": f"{name or 'the value'} is longer than {limit} characters",
        "minItems": f"{name or 'the list'} must not be empty",
        "maxItems": f"{name or 'the list'} has more than {limit} entries",
        "minProperties": f"{name or 'the mapping'} needs one of {', '.join(fields)}",
        "maxProperties": f"{name or 'the mapping'} takes only {limit} of {', '.join(fields)}",
    }
    code = "schema.range" if rule in ("minimum", "maximum") else "schema.length"
    return Finding(code, texts.get(rule, f"{value} does not fit ({rule})"), at)
