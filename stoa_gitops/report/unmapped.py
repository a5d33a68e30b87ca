"""What no document can express of a gateway, as lines and as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.report.escape import code_span
from stoa_gitops.report.style import printable

_ROOM: Final = 400
_HEAD: Final = """\
# What the documents do not say

Written down from `{gateway}`. Each line is something that the gateway has and the \
documents beside this page have not, with
what becomes of it when the object is adopted. Names, tags and ids of services, routes and \
consumers are those of the catalog
afterwards.

| object | on the gateway | value | when it is adopted |
|---|---|---|---|
"""


def unmapped_lines(unmapped: Iterable[Unmapped]) -> Iterator[str]:
    """Yield one line per item, safe for a terminal."""
    for item in unmapped:
        value = f" = {item.value}" if item.value else ""
        position = f" {item.field}" if item.field else ""
        yield printable(
            f"not expressed: {item.key or '-'}: {item.what}{position}{value}: {item.effect}"
        )


def unmapped_page(unmapped: Sequence[Unmapped], gateway: str) -> str:
    """Return the page; foreign text stands in code spans only."""
    return _HEAD.format(gateway=gateway) + "".join(f"{_row(item)}\n" for item in unmapped)


def _row(item: Unmapped) -> str:
    position = f"{item.what}: {item.field}" if item.field else item.what
    cells = (str(item.key or ""), position, item.value, item.effect)
    return (
        "| "
        + " | ".join(code_span(cell, _ROOM, in_table=True) if cell else "" for cell in cells)
        + " |"
    )
