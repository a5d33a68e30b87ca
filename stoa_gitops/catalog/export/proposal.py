"""Proposes documents for objects that exist on a gateway already, for a person to review and
commit.

Drafts are validated by the catalog's own reader, together with the catalog: what it refuses is left
out and listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.catalog.documents.schemas import API_VERSION
from stoa_gitops.catalog.export.drafts import Draft, DraftBuilder, LossFinder, refused
from stoa_gitops.catalog.export.overlay import TreeWithFiles, yaml_text
from stoa_gitops.catalog.export.three_way.reimport import NewDocument
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.gateway_types import GatewayTypes
from stoa_gitops.model.keys import API
from stoa_gitops.model.resources import Observed
from stoa_gitops.model.unmapped import Unmapped

NOTES: Final = "NOT-EXPRESSED.md"
"""The page beside the documents that lists what they do not say."""

_FIELDS_IN_COMMENT: Final = 8
"""Most fields that the comment of a document names; the page beside it lists all of them."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed: documents, the drafts they were made of, and what they leave out."""

    documents: tuple[NewDocument, ...]
    drafts: tuple[Draft, ...]
    unmapped: tuple[Unmapped, ...]


def propose(
    catalog: Catalog,
    tree: Tree,
    gateway: str,
    objects: Sequence[Observed],
    find_losses: LossFinder | None,
    unmapped: Iterable[Unmapped],
    gateway_types: GatewayTypes | None = None,
    *,
    closes: bool = False,
) -> Proposal:
    """Draft documents for foreign objects; leave out, and list, what the catalog's reader refuses.

    With `closes` they are for a gateway without what keeps callers out and is not said: an API is
    drafted inactive then, and an application not at all.

    `find_losses` returns what the gateway cannot express of a spec; `unmapped` is what no document
    can express of the gateway's items; `gateway_types` is what the reader must know of gateways.
    """
    builder = DraftBuilder(gateway, find_losses, catalog.secret_rights)
    drafts = list(builder.drafts(objects))
    left_out = [*builder.unmapped]
    unmapped = tuple(unmapped)
    _note_guards(drafts, [one for one in unmapped if one.guards])
    if closes:
        drafts = [draft for draft in drafts if _close(draft, left_out)]
    # Removing a part can make another one wrong (a subscription to an API that is left out).
    while True:
        tenants = _tenants(catalog, drafts, gateway)
        texts = {draft.path: yaml_text(draft.document) for draft in drafts}
        texts |= {path: yaml_text(document) for path, document in tenants.items()}
        errors = _find_errors(tree, texts, gateway_types)
        if not errors:
            break
        drafts = [rest for draft in drafts for rest in _without_errors(draft, errors, left_out)]
    drafted = {key for draft in drafts for key in draft.keys}
    chosen = {item.key for item in objects}
    kept = [item for item in unmapped if item.key is None or item.key in chosen]
    changing: dict[str, list[str]] = {}
    for item in kept:
        if item.changes and item.key in drafted:
            changing.setdefault(str(item.key), []).append(item.field or item.what)
    documents = [
        NewDocument(
            draft.path,
            draft.document,
            draft.key,
            _comment(draft, changing.get(str(draft.key), []), is_adopted=not closes),
        )
        for draft in drafts
    ]
    documents += [NewDocument(path, document) for path, document in tenants.items()]
    everything = tuple(sorted((*left_out, *kept), key=lambda item: item.order))
    return Proposal(tuple(documents), tuple(drafts), everything)


def _note_guards(drafts: Iterable[Draft], guards: Sequence[Unmapped]) -> None:
    """Note at each draft what keeps callers out there and is not said; at none, of all APIs."""
    for draft in drafts:
        everywhere = None if draft.key.kind == API else draft.key
        missed = [one for one in guards if one.key in (draft.key, everywhere)]
        draft.missed = tuple(f"{one.what} {one.field}".strip() for one in missed)


def _close(draft: Draft, left_out: list[Unmapped]) -> bool:
    """Close a draft to those whom something kept out that it does not say; False to drop it."""
    if draft.missed and draft.key.kind != API:
        left_out.append(refused(draft.key, f"{draft.missed[0]} keeps it out, and is not said"))
        return False
    if draft.missed:
        draft.spec["active"] = False
    return True


def _with_texts(tree: Tree, texts: Mapping[str, str]) -> TreeWithFiles:
    return TreeWithFiles(tree, {path: text.encode() for path, text in texts.items()})


def _find_errors(
    tree: Tree, texts: Mapping[str, str], gateway_types: GatewayTypes | None
) -> dict[str, list[Diagnostic]]:
    """Return the errors of the drafts by path."""
    catalog = Reader(gateway_types=gateway_types).read(_with_texts(tree, texts))
    errors: dict[str, list[Diagnostic]] = {}
    for error in catalog.errors:
        if error.source.path in texts:
            errors.setdefault(error.source.path, []).append(error)
    return errors


_REMOVABLE_PART: Final = re.compile(r"/spec/(policies|subscriptions)/(\d+)(/.*)?")


def _without_errors(
    draft: Draft, wrong: Mapping[str, list[Diagnostic]], left_out: list[Unmapped]
) -> Iterator[Draft]:
    """Yield the draft without its wrong policies and subscriptions; nothing for any other error."""
    errors = wrong.get(draft.path)
    if not errors:
        # A tenant's document has no draft of its own: its errors concern every draft of the tenant.
        errors = wrong.get(f"tenants/{draft.key.tenant}/tenant.yaml")
        if not errors:
            yield draft
            return
    parts = [_REMOVABLE_PART.fullmatch(error.pointer) for error in errors]
    if not all(parts):
        left_out.append(refused(draft.key, errors[0].message))
        return
    gone: dict[str, dict[int, str]] = {"policies": {}, "subscriptions": {}}
    for part, error in zip(parts, errors, strict=True):
        assert part is not None
        gone[part[1]][int(part[2])] = error.message
    types = list(draft.policies)
    for index, message in gone["policies"].items():
        left_out.append(refused(draft.keys[1 + index], message))
        del draft.policies[types[index]]
    if gone["subscriptions"]:
        kept = _subscriptions(draft, gone["subscriptions"], left_out)
        if not kept:
            left_out.append(
                refused(draft.key, "no subscription of it leads to an API of the catalog")
            )
            return
        draft.spec["subscriptions"] = kept
    yield draft


def _subscriptions(draft: Draft, gone: Mapping[int, str], left_out: list[Unmapped]) -> list[Any]:
    kept = []
    for index, subscription in enumerate(draft.spec["subscriptions"]):
        if index not in gone:
            kept.append(subscription)
            continue
        effect = f"gone when it is adopted: {gone[index]}"
        what = "subscription"
        left_out.append(
            Unmapped(what, str(subscription["api"]), "", effect, draft.key, changes=True)
        )
    return kept


def _tenants(catalog: Catalog, drafts: Sequence[Draft], gateway: str) -> dict[str, dict[str, Any]]:
    names = sorted({draft.key.tenant for draft in drafts} - set(catalog.tenants))
    return {
        f"tenants/{name}/tenant.yaml": {
            "apiVersion": API_VERSION,
            "kind": "Tenant",
            "metadata": {"name": name},
            "spec": {"gateways": [gateway]},
        }
        for name in names
    }


def _comment(draft: Draft, changing: Sequence[str], *, is_adopted: bool) -> str:
    lines = []
    if changing:
        more = (
            f" and {len(changing) - _FIELDS_IN_COMMENT} more"
            if len(changing) > _FIELDS_IN_COMMENT
            else ""
        )
        named = ", ".join(_plain(field) for field in changing[:_FIELDS_IN_COMMENT])
        what = "Adopting this changes what requests do" if is_adopted else "Not all is as it was"
        lines.append(f"{what}, see {NOTES}: {named}{more}")
    if draft.missed:
        reason = _plain("; ".join(draft.missed))
        is_closed = draft.spec.get("active") is False
        lines.append(
            f"Inactive until you write what keeps callers out: {reason}"
            if is_closed
            else f"What keeps callers out here is not said, and others let them in: {reason}"
        )
    if draft.placeholders:
        names = ", ".join(draft.placeholders)
        lines.append(
            f"A gateway does not give credentials back: set {names} before you adopt this."
            if is_adopted
            else f"No credential is copied: set {names} before you apply this."
        )
    return "".join(f"# {line}\n" for line in lines)


def _plain(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)[:100]
