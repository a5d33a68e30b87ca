"""Plans an import: which files of a catalog are written for which OpenAPI document.

The catalog's own reader validates what would be written, among everything that is there already;
what it refuses is replaced or left out, and listed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from stoa_gitops.catalog.documents.schemas import API_VERSION
from stoa_gitops.catalog.evaluation.openapi import find_version, parse_openapi
from stoa_gitops.catalog.export.openapi.api_facts import ApiFacts, Choices, find_facts
from stoa_gitops.catalog.export.openapi.bundling import Bundle, Load
from stoa_gitops.catalog.export.openapi.import_draft import (
    Draft,
    note_refusal,
    place_of,
    text_of,
)
from stoa_gitops.catalog.export.openapi.import_record import FILE, ImportRecord
from stoa_gitops.catalog.export.openapi.imports import Existing, Fetched, Import
from stoa_gitops.catalog.export.openapi.names import name_from, with_version
from stoa_gitops.catalog.export.openapi.remarks import Remarks
from stoa_gitops.catalog.export.overlay import TreeWithFiles, formatted_bytes
from stoa_gitops.catalog.export.proposal import NOTES
from stoa_gitops.catalog.export.three_way.documents import merge_document
from stoa_gitops.catalog.export.three_way.edited_yaml import NotEditable
from stoa_gitops.catalog.export.three_way.merge import Kept
from stoa_gitops.catalog.export.three_way.outcomes import Outcome
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import MAX_FILE_BYTES, Tree
from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.unmapped import Unmapped

_ROUNDS: Final = 12
"""Most times that what is refused is replaced: a spec has fewer fields."""

_REPLACED: Final = ("backend", "routes", "description", "displayName", "portal", "version")


class ImportPlan:
    """Plans the import of documents into one tenant of a catalog."""

    def __init__(
        self,
        reader: Reader,
        tree: Tree,
        existing: Existing,
        choices: Choices,
        load: Load | None = None,
    ) -> None:
        self._load = load
        self._reader = reader
        self._tree = tree
        self._existing = existing
        self._choices = choices
        self._tenant_file = f"tenants/{choices.tenant}/tenant.yaml"
        self._records = existing.records(choices.tenant)
        self._taken: dict[str, str] = {}
        self._base_paths: dict[str, str] = {}
        self._wrong_before = {place_of(error) for error in reader.read(tree).errors}

    def plan(self, documents: Sequence[Fetched]) -> list[Import]:
        """Return what becomes of each document, in their order; nothing is written."""
        results = [Import(fetched) for fetched in documents]
        drafts = [draft for result in results if (draft := self._draft(result)) is not None]
        self._replace_what_is_refused(drafts)
        alive = [draft for draft in drafts if not draft.result.reason]
        for draft in alive:
            self._compare(draft)
        self._check_merged([draft for draft in alive if not draft.result.reason])
        for draft in alive:
            if draft.result.reason:
                draft.result.outcome, draft.result.files = Outcome.REFUSED, {}
        self._add_tenant(results)
        return results

    # One document

    def _draft(self, result: Import) -> Draft | None:
        fetched = result.fetched
        if fetched.reason:
            result.reason = fetched.reason
            return None
        if fetched.data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] == b"<":
            text = "this is HTML or XML, and an OpenAPI document is YAML or JSON"
            result.reason = f"{fetched.shown}:1:1: {text}"
            return None
        parsed = parse_openapi(fetched.data)
        found = parsed if isinstance(parsed, Finding) else find_version(parsed)
        if found is not None:
            result.reason = text_of(found, fetched)
            return None
        assert not isinstance(parsed, Finding)
        remarks = Remarks()
        if self._load is not None:
            bundle = Bundle(self._load, remarks, fetched.address)
            parsed = bundle.run(parsed)
            if bundle.documents:
                fetched = replace(fetched, data=json.dumps(parsed, ensure_ascii=False).encode())
                result.fetched = fetched
        facts = find_facts(parsed, fetched.origin, self._choices)
        result.title = facts.title
        name = self._name(result, facts)
        if result.reason:
            return None
        result.key = Key(API, self._choices.tenant, name)
        result.unmapped = [*remarks.found, *facts.unmapped]
        folder = f"tenants/{self._choices.tenant}/apis/{name}"
        record = self._records.get(name)
        document = facts.document(self._choices.tenant, name)
        self._claim_base_path(result, document["spec"], facts.path)
        if len(fetched.data) > MAX_FILE_BYTES:
            effect = f"not copied beside the API: files have {MAX_FILE_BYTES} bytes at most"
            result.unmapped.append(
                Unmapped("OpenAPI document", "", f"{len(fetched.data)} bytes", effect)
            )
        suffix = "json" if fetched.data.lstrip()[:1] == b"{" else "yaml"
        return Draft(
            result,
            facts,
            folder,
            document,
            f"openapi.{suffix}" if len(fetched.data) <= MAX_FILE_BYTES else "",
            record if isinstance(record, ImportRecord) else None,
        )

    def _claim_base_path(self, result: Import, spec: dict[str, Any], path: str) -> None:
        """Leave the route of a base path to the first document of this import that has it."""
        if "routes" not in spec:
            return
        holder = self._base_paths.setdefault(path, result.fetched.shown)
        if holder != result.fetched.shown:
            del spec["routes"]
            effect = f"no route, for {holder} has the same base path"
            result.unmapped.append(Unmapped("routes", "", path, effect))

    def _name(self, result: Import, facts: ApiFacts) -> str:
        """Return the name of an API: that of its earlier import, or a new one."""
        fetched = result.fetched
        if fetched.name:
            wanted = [fetched.name]
        else:
            earlier = [
                name
                for name, record in self._records.items()
                if isinstance(record, ImportRecord) and record.source == fetched.source
            ]
            stem = PurePosixPath(fetched.source.rstrip("/")).stem
            name = name_from(facts.title, stem)
            wanted = earlier[:1] or [name, with_version(name, facts.version)]
        refusals = []
        for name in dict.fromkeys(wanted):
            refusal = self._refusal(name, fetched)
            if not refusal:
                self._taken[name] = fetched.shown
                return name
            refusals.append(refusal)
        result.reason = f"{'; '.join(refusals)}; choose another name with --name"
        return ""

    def _refusal(self, name: str, fetched: Fetched) -> str:
        """Return why a document cannot have a name, empty where it can."""
        if name in self._taken:
            return f"the name {name} is taken by {self._taken[name]}"
        record = self._records.get(name)
        if isinstance(record, str):
            return record
        path = f"tenants/{self._choices.tenant}/apis/{name}/api.yaml"
        if record is None:
            is_there = path in self._tree.files
            return f"{path} exists and was not imported" if is_there else ""
        if record.source != fetched.source and not fetched.name:
            return f"the name {name} is taken by what was imported from {record.source}"
        return ""

    # What the reader says

    def _replace_what_is_refused(self, drafts: Sequence[Draft]) -> None:
        """Replace or leave out what the reader refuses, until it refuses nothing."""
        for _ in range(_ROUNDS):
            pending = [draft for draft in drafts if not draft.result.reason]
            errors = self._errors(
                {path: data for draft in pending for path, data in self._generated(draft).items()}
            )
            touched = False
            for draft in pending:
                for path in (draft.path, draft.copy_path):
                    if errors.get(path):
                        touched = True
                        self._repair(draft, path, errors[path])
                touched = self._make_way(draft, errors) or touched
            if not touched:
                return
        for draft in drafts:
            draft.result.reason = draft.result.reason or "the catalog refuses it again and again"

    def _generated(self, draft: Draft) -> dict[str, bytes]:
        files = {draft.path: formatted_bytes(draft.document)}
        if draft.copy:
            files[draft.copy_path] = draft.result.fetched.data
        return files

    def _errors(self, files: Mapping[str, bytes]) -> dict[str, list[Diagnostic]]:
        everything = dict(files)
        if self._tenant_file not in self._tree.files:
            everything[self._tenant_file] = self._new_tenant()
        catalog = self._reader.read(TreeWithFiles(self._tree, everything))
        errors: dict[str, list[Diagnostic]] = {}
        for error in catalog.errors:
            if error.source.path in files or place_of(error) not in self._wrong_before:
                errors.setdefault(error.source.path, []).append(error)
        return errors

    def _make_way(self, draft: Draft, errors: Mapping[str, Sequence[Diagnostic]]) -> bool:
        """Take back a route for which somebody else's document would be refused."""
        spec = draft.document["spec"]
        others = (found for path, found in errors.items() if path != draft.path)
        blamed = [error for found in others for error in found if draft.path in error.message]
        if not blamed or "routes" not in spec:
            return False
        del spec["routes"]
        effect = f"no route, for another API has it: {blamed[0].message}"
        value = draft.facts.path
        draft.result.unmapped.append(Unmapped("routes", "", value, effect))
        return True

    def _repair(self, draft: Draft, path: str, errors: Sequence[Diagnostic]) -> None:
        result = draft.result
        if path != draft.path:
            first = errors[0]
            where = f"{result.fetched.shown}:{first.source.line}:{first.source.column}"
            result.unmapped.append(
                Unmapped(
                    "OpenAPI document",
                    where,
                    "",
                    f"not copied beside the API, for it is not valid: {first.message}",
                )
            )
            draft.copy = ""
            return
        spec = draft.document["spec"]
        for error in errors:
            if not self._leave_out(spec, error, result):
                result.reason = f"{error.pointer or path}: {error.message}"
                return

    def _leave_out(self, spec: dict[str, Any], error: Diagnostic, result: Import) -> bool:
        """Replace what an error is about; False where nothing can be."""
        parts = error.pointer.split("/")
        name = parts[2] if len(parts) > 2 else ""
        if name == "policies" and len(parts) > 3 and "policies" in spec:
            index = int(parts[3])
            if index < len(spec["policies"]):
                policy = spec["policies"].pop(index)
                note_refusal(result, f"policy {policy['type']}", error)
            if not spec["policies"]:
                del spec["policies"]
            return True
        if name not in _REPLACED or (name not in spec and name != "routes"):
            return False
        if name == "routes" and "routes" not in spec:
            return False  # the own place of the tenant is refused
        value = spec[name]
        if name == "backend":
            if value == {"alias": "echo"}:
                return False
            spec[name] = {"alias": "echo"}
        elif name == "version":
            if value == "1":
                return False
            spec[name] = "1"
        else:
            del spec[name]
        note_refusal(result, name, error, value)
        return True

    # An earlier import

    def _compare(self, draft: Draft) -> None:
        """Decide which files are written, and keep what people changed."""
        result, fetched = draft.result, draft.result.fetched
        generated = formatted_bytes(draft.document)
        now = self._existing.read(draft.path)
        files: dict[str, bytes] = {}
        if now is None or now == generated:
            files[draft.path] = generated
        elif draft.record is None:
            result.reason = f"{draft.path} exists and was not imported"
            return
        else:
            try:
                files[draft.path], kept = merge_document(now, draft.record.document, draft.document)
            except NotEditable as error:
                result.reason = f"{draft.path} cannot be changed: {error}"
                return
            result.kept = tuple(kept)
        copied = self._compare_copy(draft, files)
        record = ImportRecord(fetched.source, *copied, draft.document)
        page = f"{draft.folder}/{NOTES}"
        if self._existing.read(page) is not None or result.unmapped:
            files[page] = b""  # written by the caller, who knows how pages look
        files[f"{draft.folder}/{FILE}"] = record.to_text().encode()
        result.files = files
        if now is None:
            result.outcome = Outcome.CREATED
            return
        differs = bool(result.removed) or any(
            self._existing.read(path) != data for path, data in files.items() if path != page
        )
        result.outcome = Outcome.UPDATED if differs else Outcome.UNCHANGED

    def _compare_copy(self, draft: Draft, files: dict[str, bytes]) -> tuple[str, str]:
        """Write the OpenAPI document, unless a person changed the one that is there.

        Returns the hash and the name of what an import has written, now or earlier.
        """
        result, data = draft.result, draft.result.fetched.data
        before = (draft.record.openapi, draft.record.file) if draft.record else ("", "")
        if not draft.copy:
            return before  # the last valid one stays
        earlier = f"{draft.folder}/{before[1]}" if before[1] else ""
        for path in dict.fromkeys((earlier, draft.copy_path)):
            now = self._existing.read(path) if path else None
            if now is None or now == data:
                continue
            if hashlib.sha256(now).hexdigest() != before[0]:
                if hashlib.sha256(data).hexdigest() != before[0]:
                    name = PurePosixPath(path).name
                    kept = Kept((name,), "your changes", "another document")
                    result.kept = (*result.kept, kept)
                return before
            if path != draft.copy_path:
                result.removed.append(path)  # YAML before, JSON now, or the other way round
        files[draft.copy_path] = data
        return hashlib.sha256(data).hexdigest(), draft.copy

    def _check_merged(self, drafts: Sequence[Draft]) -> None:
        """Refuse what is wrong only because of what a person wrote into it."""
        merged = [draft for draft in drafts if draft.result.outcome is Outcome.UPDATED]
        if not merged:
            return
        errors = self._errors(
            {
                path: data
                for draft in merged
                for path, data in draft.result.files.items()
                if path in (draft.path, draft.copy_path)
            }
        )
        for draft in merged:
            for error in errors.get(draft.path, ())[:1]:
                place = f"{draft.path}:{error.source.line}:{error.source.column}"
                draft.result.reason = f"{place}: would be wrong afterwards: {error.message}"

    def _add_tenant(self, results: Sequence[Import]) -> None:
        made = next((result for result in results if result.outcome is Outcome.CREATED), None)
        if made is not None and self._tenant_file not in self._tree.files:
            made.files = {self._tenant_file: self._new_tenant(), **made.files}

    def _new_tenant(self) -> bytes:
        gateways = list(self._choices.gateways or self._choices.tenant_gateways)
        spec = {"gateways": gateways} if gateways else {}
        return formatted_bytes(
            {
                "apiVersion": API_VERSION,
                "kind": "Tenant",
                "metadata": {"name": self._choices.tenant},
                "spec": spec,
            }
        )
