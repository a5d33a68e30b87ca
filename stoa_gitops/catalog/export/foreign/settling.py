"""Takes out of translated documents what the catalog refuses, and lists it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.translation import (
    SECURITY_TYPES,
    TranslatedDocument,
    Translation,
)
from stoa_gitops.catalog.export.overlay import TreeWithFiles, formatted_bytes
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.diagnostics import Diagnostic

_ROUNDS: Final = 20
"""Most times that what is refused is taken out; each takes out something."""

_REFERENCE: Final = re.compile(r"/spec/(.+Ref)(/.*)?")
_NEEDED: Final = frozenset({"backend", "version", "type", "config"})


def settle(translation: Translation, reader: Reader, tree: Tree) -> None:
    """Take parts out of the documents until the catalog, with them, has no error of theirs."""
    wrong_before = {_place(error) for error in reader.read(tree).errors}
    for _ in range(_ROUNDS):
        documents = list(translation.documents.values())
        files = {one.path: formatted_bytes(one.tree) for one in documents} | translation.copies
        errors = [
            error
            for error in reader.read(TreeWithFiles(tree, files)).errors
            if error.source.path in files or _place(error) not in wrong_before
        ]
        if not _repair(translation, errors):
            break
    else:
        for error in errors:
            document = translation.documents.get(error.source.path)
            if document is not None:
                translation.drop(document, error.message)
    translation.forget_unused()


def _place(error: Diagnostic) -> tuple[str, str, str]:
    return error.source.path, error.code, error.pointer


def _repair(translation: Translation, errors: Sequence[Diagnostic]) -> bool:
    """Take out what the errors are about; False where nothing of ours is."""
    by_path: dict[str, list[Diagnostic]] = {}
    for error in errors:
        by_path.setdefault(error.source.path, []).append(error)
    touched = False
    for path, found in by_path.items():
        if path in translation.copies:
            del translation.copies[path]
            translation.leave_out(
                "OpenAPI document", path, "", f"not copied, for it is not valid: {found[0].message}"
            )
            touched = True
        elif path in translation.documents:
            # The last item of a list first, so that the places of the others stay right.
            for error in sorted(found, key=lambda one: _numbers(one.pointer), reverse=True):
                document = translation.documents.get(path)
                if document is not None:
                    _take_out(translation, document, error)
            touched = True
        else:
            touched = _make_way(translation, found) or touched
    return touched


def _numbers(pointer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in pointer.split("/")]


def _make_way(translation: Translation, errors: Sequence[Diagnostic]) -> bool:
    """Take back the routes for which somebody else's document would be refused."""
    touched = False
    for document in list(translation.documents.values()):
        blamed = [error for error in errors if document.path in error.message]
        if blamed and "routes" in document.spec:
            del document.spec["routes"]
            effect = f"left out, for another API has it: {blamed[0].message}"
            translation.leave_out("routes", "", "", effect, document)
            touched = True
    return touched


def _take_out(translation: Translation, document: TranslatedDocument, error: Diagnostic) -> None:
    spec, parts = document.spec, error.pointer.split("/")[1:]
    hint = f"; {error.hint}" if error.hint else ""
    reason = f"left out, for the catalog refuses it: {error.message}{hint}"
    if len(parts) < 2 or parts[0] != "spec" or (len(parts) == 2 and parts[1] in _NEEDED):
        translation.drop(document, error.message)
        return
    if _REFERENCE.fullmatch(error.pointer) and _replace_reference(translation, document, parts):
        translation.leave_out("reference to a secret", ".".join(parts[1:]), "", reason, document)
        return
    name, value = parts[1], spec.get(parts[1])
    if isinstance(value, list) and len(parts) > 2 and parts[2].isdecimal():
        index = int(parts[2])
        if index >= len(value):
            return  # gone with an earlier error
        gone = value.pop(index)
        if not value:
            del spec[name]
        translation.leave_out(_noun(name, gone), "", _shown(gone), reason, document)
        if name == "policies" and _keeps_out(translation, document, gone):
            document.close(f"{_noun(name, gone)}: {error.message}")
        return
    if name in _NEEDED or name not in spec:
        translation.drop(document, error.message)
        return
    translation.leave_out(name, ".".join(parts[2:]), _shown(spec.pop(name)), reason, document)


def _replace_reference(
    translation: Translation, document: TranslatedDocument, parts: Sequence[str]
) -> bool:
    """Put a variable that a person sets in the place of a reference that is not allowed."""
    path = list(parts[1:])
    while path and not path[-1].endswith("Ref"):
        path.pop()
    holder: Any = document.spec
    for step in path[:-1]:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    before = holder.get(path[-1])
    if isinstance(before, Mapping) and before.get("env") in document.placeholders:
        return False
    holder[path[-1]] = translation.placeholder(document, path[-1].removesuffix("Ref"))
    return True


def _keeps_out(translation: Translation, document: TranslatedDocument, gone: Any) -> bool:
    """Whether a policy that is taken out kept callers out; one that nobody knows might have."""
    if document.kind != "API":
        return False
    if isinstance(gone, Mapping):
        return gone.get("type") in SECURITY_TYPES
    path = f"tenants/{document.tenant}/policies/{gone}.yaml"
    policy = translation.documents.get(path)
    return policy is None or policy.spec.get("type") in SECURITY_TYPES


def _noun(name: str, value: Any) -> str:
    singular = {"policies": "policy", "routes": "route", "plans": "plan"}.get(name, name)
    singular = "subscription" if name == "subscriptions" else singular
    if isinstance(value, Mapping):
        inner = value.get("type") or value.get("name") or value.get("path") or value.get("api")
        return f"{singular} {inner}" if inner else singular
    return f"{singular} {value}"


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float | bool) else ""
