"""Text that Markdown and HTML leave alone."""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.report.style import cut, printable

_FENCES: Final = re.compile("`{3,}|~{3,}")
_TAG: Final = re.compile("<(?=[A-Za-z/!?])")
_TICKS: Final = re.compile("`{2,}")


def inert(text: str, *, is_html: bool = False) -> str:
    r"""Return `text` with what begins a tag or a fence written as `\u003c` and `\u0060`.

    A fenced block needs no escapes by the book; these hold in readers that do not go by it, too. With
    `is_html` the text may stand between tags.
    """
    text = _FENCES.sub(lambda found: f"\\u{ord(found[0][0]):04x}" * len(found[0]), text)
    if is_html:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _TAG.sub(r"\\u003c", text)


def code(text: str, room: int = 0, *, in_table: bool = False) -> str:
    r"""Return `text` as a code span on one line; in a table a bar is written as `\u007c`."""
    text = inert(cut(printable(text), room))
    if in_table:
        text = text.replace("|", r"\u007c")
    # Two ticks enclose what has single ones; three could pass for a fence where a line begins.
    text = _TICKS.sub(lambda found: "\\u0060" * len(found[0]), text)
    ticks = "``" if "`" in text else "`"
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{ticks}{pad}{text or ' '}{pad}{ticks}"
