"""A comment of a pull request: its first line, and what is left out where it is too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stoa_gitops.model.counts import counted

MARKER: Final = "<!-- stoa-plan -->"
"""The first line, by which a bot finds its comment of an earlier run."""

COMMENT_LIMIT: Final = 60_000
"""Characters of a comment; GitHub rejects a body over 65,536."""

_CUT: Final = (
    "**Cut here:** {left} left out, because a comment holds {limit:,} characters. "
    "`stoa-gitops plan` shows all."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and the lines that must follow when the page is cut after it."""

    text: str
    closing: tuple[str, ...] = ()


def fit(lines: list[Line], limit: int) -> str:
    """Join the lines; where that is too long, cut at a line and close what is open there."""
    total = sum(len(line.text) + 1 for line in lines)
    if total <= limit:
        return "".join(line.text + "\n" for line in lines)
    note = _CUT.format(left=counted(len(lines), "line"), limit=limit)
    # 3: the empty line before the note, and the line ends of both.
    room = limit - len(note) - 3
    size, kept = 0, 0
    for number, line in enumerate(lines, start=1):
        size += len(line.text) + 1
        if size > room:
            break
        # A line may be the last one only if what closes its fold and fence fits behind it.
        if size + sum(len(text) + 1 for text in line.closing) <= room:
            kept = number
    last = lines[kept - 1]
    note = _CUT.format(left=counted(len(lines) - kept, "line"), limit=limit)
    body = [*(line.text for line in lines[:kept]), *last.closing, "", note]
    return "\n".join(body) + "\n"
