"""Escapes text for Markdown and HTML."""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.report.style import printable, shorten

_FENCES: Final = re.compile("`{3,}|~{3,}")
_TAG: Final = re.compile("<(?=[A-Za-z/!?])")
_TICKS: Final = re.compile("`{2,}")


def neutralise(text: str, *, is_html: bool = False) -> str:
    r"""Return `text` with what begins a tag or a fence written as `\u003c` and `\u0060`.

    With `is_html` the text may stand between tags.
    """
    # CommonMark needs no escapes inside a fenced block; some renderers do not follow it.
    text = _FENCES.sub(lambda match: f"\\u{ord(match[0][0]):04x}" * len(match[0]), text)
    if is_html:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _TAG.sub(r"\\u003c", text)


def code_span(text: str, room: int = 0, *, in_table: bool = False) -> str:
    r"""Return `text` as a code span on one line; in a table a bar is `\u007c`."""
    text = neutralise(shorten(printable(text), room))
    if in_table:
        text = text.replace("|", r"\u007c")
    # CommonMark 0.31 §6.1: a span ends at a run of as many ticks as it begins with. Three are
    # avoided: at the start of a line they would open a fence.
    text = _TICKS.sub(lambda match: "\\u0060" * len(match[0]), text)
    ticks = "``" if "`" in text else "`"
    # §6.1 strips one space on either side, so that a span may begin or end with a tick.
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{ticks}{pad}{text or ' '}{pad}{ticks}"
