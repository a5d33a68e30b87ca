"""What no document can express of a gateway, as lines and as a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.report.escape import code_span
from stoa_gitops.report.style import printable

_ROOM: Final = 400
_IMPORT_HEAD: Final = """\
# What the API document does not say

Imported from `{source}`. Each line is something that document has and the API document beside \
this page has not, with what
happens instead. The next import writes this page again.

| in the document | value | what happens |
|---|---|---|
"""


_PAGE_HEAD: Final = """\
# What the documents do not say

Each line is something that an import found and the documents of this catalog have not, with what \
happens instead. The next
import from the same place writes its section again.

"""

_SECTION_HEAD: Final = """\
## Imported from `{source}`

{note}| object | there | value | what happens |
|---|---|---|---|
"""

_ALL_IS_SAID: Final = "| | nothing | | all is said |\n"
_SECTION: Final = re.compile(r"<!-- imported: (\S+) -->\n(.*?)<!-- end -->\n", re.DOTALL)


def unmapped_lines(unmapped: Iterable[Unmapped]) -> Iterator[str]:
    """Yield one line per item, safe for a terminal."""
    for item in unmapped:
        value = f" = {item.value}" if item.value else ""
        position = f" {item.field}" if item.field else ""
        yield printable(
            f"not expressed: {item.key or '-'}: {item.what}{position}{value}: {item.effect}"
        )


def notes_page(
    before: bytes | None, name: str, source: str, unmapped: Sequence[Unmapped], note: str = ""
) -> bytes | None:
    """Return the page of a catalog with the section of one import in it; None where there is none.

    `note` is what to know before the table of the section is read. The sections of other imports
    stay; a page of an earlier version has none and is replaced.
    """
    text = (before or b"").decode("utf-8", "replace")
    sections = dict(_SECTION.findall(text))
    if not unmapped and name not in sections:
        return None
    rows = "".join(f"{_row(item)}\n" for item in unmapped)
    head = _SECTION_HEAD.replace("`{source}`", code_span(source, _ROOM))
    head = head.replace("{note}", f"{note}\n\n" if note else "")
    sections[name] = f"{head}{rows or _ALL_IS_SAID}"
    body = "\n".join(
        f"<!-- imported: {key} -->\n{sections[key]}<!-- end -->\n" for key in sorted(sections)
    )
    return f"{_PAGE_HEAD}{body}".encode()


def is_notes_page(data: bytes | None) -> bool:
    """Whether a page may be replaced: there is none, or it is one of ours."""
    return data is None or data.startswith(_PAGE_HEAD.split("\n", 1)[0].encode())


def _row(item: Unmapped) -> str:
    position = f"{item.what}: {item.field}" if item.field else item.what
    return _cells(str(item.key or ""), position, item.value, item.effect)


def import_page(unmapped: Sequence[Unmapped], source: str) -> str:
    """Return the page beside an imported API document; foreign text stands in code spans only."""
    head = _IMPORT_HEAD.replace("`{source}`", code_span(source, _ROOM))
    rows = []
    for item in unmapped:
        position = f"{item.what}: {item.field}" if item.field else item.what
        rows.append(_cells(position, item.value, item.effect))
    return head + "".join(f"{row}\n" for row in rows or [_cells("nothing", "", "all is said")])


def _cells(*texts: str) -> str:
    cells = (code_span(text, _ROOM, in_table=True) if text else "" for text in texts)
    return f"| {' | '.join(cells)} |"
