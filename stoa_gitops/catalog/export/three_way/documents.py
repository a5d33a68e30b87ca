"""One document of an import over the one that is there: a person's changes and comments stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoa_gitops.catalog.export.three_way.edited_yaml import EditedYaml, NotEditable
from stoa_gitops.catalog.export.three_way.merge import Kept, merge
from stoa_gitops.catalog.formatting.formatter import format_file


def merge_document(
    now: bytes, base: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[bytes, list[Kept]]:
    """Return the text with what is new, and what a person has otherwise.

    `base` is the document as the earlier import made it. In the form of `fmt` the text stays in it;
    a form of a person's own is theirs. Raises NotEditable.
    """
    try:
        edited = EditedYaml(now.decode())
    except UnicodeDecodeError:
        raise NotEditable("it is not UTF-8") from None
    edits, kept = merge(base, edited.tree, new)
    text = edited.with_edits(edits).encode()
    is_in_form = bool(edits) and format_file(now).data == now
    return format_file(text).data if is_in_form else text, kept
