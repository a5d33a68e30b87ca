"""Changes single fields of a YAML document that people edited; comments and order stay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import StringIO
from typing import Any, Final

from stoa_gitops.catalog.export.three_way.merge import ABSENT, Edit, Item

_KEY: Final = r"^( *)[\w\"'.-]+:[ ]*(?:#.*)?\n(?:\s*(?:#.*)?\n)*"
_KEY_AND_ITEM: Final = re.compile(_KEY + r"( *)-[ ]", re.MULTILINE)
_KEY_AND_KEY: Final = re.compile(_KEY + r"( +)[^\s#-]", re.MULTILINE)


class NotEditable(ValueError):
    """The text cannot be changed; `str()` says why."""


class EditedYaml:
    """A YAML document with one mapping."""

    def __init__(self, text: str) -> None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 4096
        mapping, offset = _indents(text)
        self._yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
        self._text = text
        try:
            self.tree: Any = self._yaml.load(text)
        except (YAMLError, ValueError, RecursionError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise NotEditable(f"it is no single YAML document ({first})") from None
        if not isinstance(self.tree, dict):
            raise NotEditable("it is no mapping")

    def with_edits(self, edits: Iterable[Edit]) -> str:
        """Return the text with edits; the very text where there are none."""
        wanted = list(edits)
        if not wanted:
            return self._text
        for edit in wanted:
            _apply(self.tree, edit)
        stream = StringIO()
        self._yaml.dump(self.tree, stream)
        return stream.getvalue()


def _apply(tree: Any, edit: Edit) -> None:
    *above, last = edit.path
    container = tree
    for step in above:
        container = _down(container, step)
    if isinstance(last, Item):
        index = _index(container, last)
        if edit.value is ABSENT:
            if index is not None:
                del container[index]
        elif index is None:
            container.append(edit.value)
        else:
            container[index] = edit.value
    elif edit.value is ABSENT:
        container.pop(last, None)
    else:
        container[last] = edit.value


def _down(container: Any, step: str | Item) -> Any:
    if not isinstance(step, Item):
        return container[step]
    index = _index(container, step)
    assert index is not None, "a merge leads to what is there"
    return container[index]


def _index(items: Any, wanted: Item) -> int | None:
    found = (i for i, item in enumerate(items) if item.get(wanted.field) == wanted.value)
    return next(found, None)


def _indents(text: str) -> tuple[int, int]:
    """Return by how much mappings and items of lists are indented, as far as the text tells."""
    nested, item = _KEY_AND_KEY.search(text), _KEY_AND_ITEM.search(text)
    mapping = len(nested[2]) - len(nested[1]) if nested else 2
    return max(1, mapping), max(0, len(item[2]) - len(item[1])) if item else 2
