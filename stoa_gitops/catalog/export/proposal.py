"""Documents for objects that exist on a gateway already: a proposal for a person to look at and commit.

Drafts are judged by the catalog's own reader, beside what the catalog has: what it finds wrong is left out and said.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog.export.drafts import Draft, DraftBuilder, LossFinder, refused
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.errors import UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.resources import Observed
from stoa_gitops.model.unmapped import Unmapped

NOTES: Final = "NOT-EXPRESSED.md"
"""The page beside the documents that lists what they do not say."""

_TOLD: Final = 8
"""Fields that the comment of a document names."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed: text by path below the folder, its drafts, and what of the gateway it leaves out."""

    texts: Mapping[str, str]
    drafts: tuple[Draft, ...]
    remnants: tuple[Unmapped, ...]


class _Overlay(Tree):
    """A catalog with files laid over it."""

    def __init__(self, base: Tree, texts: Mapping[str, str]) -> None:
        self._base = base
        self._data = {path: text.encode() for path, text in texts.items()}
        self.revision, self.commit, self.prefix = base.revision, base.commit, base.prefix
        self.problems = base.problems
        ids = {path: hashlib.sha1(d).hexdigest() for path, d in self._data.items()}  # noqa: S324
        self.files = {**base.files, **ids}

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        wanted = list(paths)
        yield from self._base.read_many([path for path in wanted if path not in self._data])
        yield from ((path, self._data[path]) for path in wanted if path in self._data)


def propose(
    catalog: Catalog,
    tree: Tree,
    gateway: str,
    objects: Sequence[Observed],
    find_losses: LossFinder | None,
    remnants: Iterable[Unmapped],
) -> Proposal:
    """Draft documents for foreign objects, leave out what the catalog's reader refuses, and say what that was.

    `find_losses` says what the gateway cannot express; `remnants` is what the gateway's items did not say already.
    """
    builder = DraftBuilder(gateway, find_losses)
    drafts = list(builder.drafts(objects))
    found = [*builder.remnants]
    while True:
        tenants = _tenants(catalog, drafts, gateway)
        texts = {draft.path: _yaml(draft.document) for draft in drafts} | tenants
        wrong = _find_errors(tree, texts)
        if not wrong:
            break
        drafts = [left for draft in drafts for left in _without_errors(draft, wrong, found)]
    finding_log = {key for draft in drafts for key in draft.keys}
    chosen = {seen.key for seen in objects}
    kept = [one for one in remnants if one.key is None or one.key in chosen]
    changing: dict[str, list[str]] = {}
    for one in kept:
        if one.changes and one.key in finding_log:
            changing.setdefault(str(one.key), []).append(one.field or one.what)
    commented = {
        draft.path: _comment(draft, changing.get(str(draft.key), [])) + texts[draft.path]
        for draft in drafts
    }
    everything = tuple(sorted((*found, *kept), key=lambda one: one.order))
    return Proposal({**commented, **tenants}, tuple(drafts), everything)


def write(folder: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """Write files below a folder; yield their paths. UsageError, before anything is written, for one that exists."""
    there = [str(folder / path) for path in texts if (folder / path).exists()]
    if there:
        raise UsageError(f"nothing was written, because this exists already: {', '.join(there)}")
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        yield file


def _find_errors(tree: Tree, texts: Mapping[str, str]) -> dict[str, list[Diagnostic]]:
    """Return the errors of the drafts by path."""
    read = Reader().read(_Overlay(tree, texts))
    wrong: dict[str, list[Diagnostic]] = {}
    for error in read.errors:
        if error.source.path in texts:
            wrong.setdefault(error.source.path, []).append(error)
    return wrong


_REMOVABLE_PART: Final = re.compile(r"/spec/(policies|subscriptions)/(\d+)(/.*)?")


def _without_errors(
    draft: Draft, wrong: Mapping[str, list[Diagnostic]], found: list[Unmapped]
) -> Iterator[Draft]:
    """Yield the draft without what is wrong in it, or nothing where that is not a part of it."""
    errors = wrong.get(draft.path)
    if not errors:
        # A tenant's document has no draft: what is wrong with it is wrong with everything of the tenant.
        errors = wrong.get(f"tenants/{draft.key.tenant}/tenant.yaml")
        if not errors:
            yield draft
            return
    parts = [_REMOVABLE_PART.fullmatch(error.pointer) for error in errors]
    if not all(parts):
        found.append(refused(draft.key, errors[0].message))
        return
    gone: dict[str, dict[int, str]] = {"policies": {}, "subscriptions": {}}
    for part, error in zip(parts, errors, strict=True):
        assert part is not None
        gone[part[1]][int(part[2])] = error.message
    types = list(draft.policies)
    for index, words in gone["policies"].items():
        found.append(refused(draft.keys[1 + index], words))
        del draft.policies[types[index]]
    if gone["subscriptions"]:
        kept = _subscriptions(draft, gone["subscriptions"], found)
        if not kept:
            found.append(refused(draft.key, "no subscription of it leads to an API of the catalog"))
            return
        draft.spec["subscriptions"] = kept
    yield draft


def _subscriptions(draft: Draft, gone: Mapping[int, str], found: list[Unmapped]) -> list[Any]:
    kept = []
    for index, one in enumerate(draft.spec["subscriptions"]):
        if index not in gone:
            kept.append(one)
            continue
        effect = f"gone when it is adopted: {gone[index]}"
        what = "subscription"
        found.append(Unmapped(what, str(one["api"]), "", effect, draft.key, changes=True))
    return kept


def _tenants(catalog: Catalog, drafts: Sequence[Draft], gateway: str) -> dict[str, str]:
    names = sorted({draft.key.tenant for draft in drafts} - set(catalog.tenants))
    return {
        f"tenants/{name}/tenant.yaml": _yaml(
            {
                "apiVersion": "gostoa.dev/v1alpha1",
                "kind": "Tenant",
                "metadata": {"name": name},
                "spec": {"gateways": [gateway]},
            }
        )
        for name in names
    }


def _comment(draft: Draft, changing: Sequence[str]) -> str:
    lines = []
    if changing:
        more = f" and {len(changing) - _TOLD} more" if len(changing) > _TOLD else ""
        named = ", ".join(_plain(field) for field in changing[:_TOLD])
        lines.append(f"Adopting this changes what requests do, see {NOTES}: {named}{more}")
    if draft.placeholders:
        names = ", ".join(draft.placeholders)
        lines.append(
            f"A gateway does not give credentials back: set {names} before you adopt this."
        )
    return "".join(f"# {line}\n" for line in lines)


def _plain(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)[:100]


def _yaml(document: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    stream = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(document, stream)
    return stream.getvalue()
