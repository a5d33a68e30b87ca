"""Places of fields, looked up when somebody wants to see one."""

from __future__ import annotations

from collections.abc import Sequence

from stoa_gitops.catalog.documents.yaml_full import read_documents
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.foundation.yaml.nodes import Node, find_place
from stoa_gitops.model.resources import SourceRef

_TOP = ("apiVersion", "kind", "metadata", "spec")


def locate(
    tree: Tree, path: str, pointer: str | Sequence[str | int], *, line: int = 1
) -> SourceRef:
    """Return where a field of a document stands; its nearest parent where it is a default.

    `pointer` is a JSON pointer into the document, or a path inside a canonical spec (which lies below
    `spec`, its secrets under names that end in Ref). `line` is the first line of the document, as
    `Resource.source` has it, for files with several. Raises KeyError for a path that is not in the tree.
    """
    parts = _parts(pointer)
    if not parts or parts[0] not in _TOP:
        parts = ("spec", *parts)
    data = tree.read(path)
    roots = [reading.root for reading in read_documents(data, any_key=True) if reading.root]
    root = next((root for root in reversed(roots) if root.line < line), roots[0] if roots else None)
    if root is None:
        return SourceRef(path, line, 1, tree.commit)
    place = find_place(root, _spelled(root, parts))
    return SourceRef(path, place.line, place.column, tree.commit)


def _parts(pointer: str | Sequence[str | int]) -> tuple[str | int, ...]:
    if not isinstance(pointer, str):
        return tuple(pointer)
    raw = pointer.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in raw)


def _spelled(root: Node, parts: Sequence[str | int]) -> tuple[str | int, ...]:
    """Write list places as numbers, and secrets as the document names them."""
    out: list[str | int] = []
    node: Node | None = root
    for part in parts:
        if node is not None and node.kind == "seq":
            index = int(part) if str(part).isdigit() else len(node.items)
            out.append(index)
            node = node.items[index] if index < len(node.items) else None
            continue
        name = str(part)
        pairs = node.pairs if node is not None else {}
        if name not in pairs and f"{name}Ref" in pairs:
            name = f"{name}Ref"
        out.append(name)
        node = pairs[name][1] if name in pairs else None
    return tuple(out)
