"""Trees that an adapter keeps from one look to the next, in a tenth of the memory of dicts."""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping
from typing import Any

from stoa_gitops.model.canonical import Json, Spec


class FrozenTree(Mapping[str, Json]):
    """A tree of JSON held as a Spec: it reads like a dict, and each look makes the tree anew."""

    __slots__ = ("spec",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __getitem__(self, name: str) -> Json:
        return self.spec.value[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.spec.value)

    def __len__(self) -> int:
        return len(self.spec.value)


def frozen(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of a `list_*` answer with their specs frozen; raises ValueError for NaN in one.

    Nothing is shared with the items given: one text that outlives the tree of an answer of 20 MiB keeps a megabyte of
    that tree's memory from being given back. So all are copied at once, while the tree is still there.
    """
    names = [name for name in (items[0] if items else ()) if name != "spec"]
    rows = [([item[name] for name in names], Spec.of(item["spec"]).raw) for item in items]
    copies = marshal.loads(marshal.dumps(rows))  # noqa: S302 - of bytes that were made here
    return [
        {**dict(zip(names, values, strict=True)), "spec": FrozenTree(Spec(raw))}
        for values, raw in copies
    ]


def spec_of(tree: Mapping[str, Json]) -> Spec:
    """Return the spec of a tree, frozen or not."""
    return tree.spec if isinstance(tree, FrozenTree) else Spec.of(tree)
