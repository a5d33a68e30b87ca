"""What no document says of a gateway, as lines and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.report.escape import code
from stoa_gitops.report.style import printable

_ROOM: Final = 400
_HEAD: Final = """\
# What the documents do not say

Written down from `{gateway}`. Each line is something that the gateway has and the documents beside this page have not, with
what becomes of it when the object is adopted. Names, tags and ids of services, routes and consumers are those of the catalog
afterwards.

| object | on the gateway | value | when it is adopted |
|---|---|---|---|
"""


def remnant_lines(remnants: Iterable[Unmapped]) -> Iterator[str]:
    """Yield a line for each, safe for a terminal."""
    for one in remnants:
        value = f" = {one.value}" if one.value else ""
        place = f" {one.field}" if one.field else ""
        yield printable(f"not expressed: {one.key or '-'}: {one.what}{place}{value}: {one.effect}")


def remnant_page(remnants: Sequence[Unmapped], gateway: str) -> str:
    """Return the page, in Markdown that foreign text cannot get out of."""
    return _HEAD.format(gateway=gateway) + "".join(f"{_row(one)}\n" for one in remnants)


def _row(one: Unmapped) -> str:
    place = f"{one.what}: {one.field}" if one.field else one.what
    cells = (str(one.key or ""), place, one.value, one.effect)
    return (
        "| " + " | ".join(code(cell, _ROOM, in_table=True) if cell else "" for cell in cells) + " |"
    )
