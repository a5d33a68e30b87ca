"""Checks the syntax of regular expressions in OpenAPI documents, as JavaScript takes it.

OpenAPI names the dialect of ECMA-262; its Annex B, which every engine follows, takes much that the
engines of other languages refuse: `[\\w-.]`, `\\-`, `{` as a text. Refused here is only what no
engine takes.
"""

from __future__ import annotations

import re
from typing import Final

_QUANTIFIER: Final = re.compile(r"[*+?]|\{(\d+)(?:(,)(\d*))?\}")
_GROUP: Final = re.compile(
    r"\?(?:[:=!>#|&]|<[=!]|P?<\w+>|P=\w+|P>\w+|'\w+'|[A-Za-z^]*(?:-[A-Za-z]+)?[:)])"
)
_LONGEST: Final = 10_000
"""Longest pattern that is looked at: nobody wrote a longer one, and it is never run here."""
_SINGLE: Final = re.compile(r"[^\\\]]")


def is_pattern(value: object) -> bool:
    """Whether a value is a regular expression, or no text at all, which `type` is there for."""
    return not isinstance(value, str) or len(value) > _LONGEST or _Scanner(value).is_fine()


class _Scanner:
    """Goes over a pattern once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._last_close = text.rfind("]")
        self._open = 0
        # Whether something stands before that a quantifier can repeat.
        self._can_repeat = False

    def is_fine(self) -> bool:
        """Whether the whole pattern is well formed."""
        text = self._text
        while self._at < len(text):
            character = text[self._at]
            if character == "\\":
                self._at += 2
                if self._at > len(text):
                    return False
                self._can_repeat = True
            elif character == "[":
                if not self._class():
                    return False
            elif character in "()":
                if not self._group(character):
                    return False
            elif not self._other(character):
                return False
        return self._open == 0

    def _class(self) -> bool:
        """Take a class: `]` at its beginning closes it in JavaScript and is a text elsewhere."""
        text, at = self._text, self._at + 1
        if text.startswith("^", at):
            at += 1
        first = at
        while at < len(text):
            if text[at] == "\\":
                at += 2
                continue
            if text[at] == "]" and (at > first or at >= self._last_close):
                break
            # A range of two plain characters; one with a class such as \w is a text of Annex B.
            if (
                text[at + 1 : at + 2] == "-"
                and _SINGLE.match(text, at + 2) is not None
                and text[at] > text[at + 2]
                and text[at] != "["
            ):
                return False
            at += 3 if text[at + 1 : at + 2] == "-" and _SINGLE.match(text, at + 2) else 1
        self._at, self._can_repeat = at + 1, True
        return at < len(text)

    def _group(self, character: str) -> bool:
        self._at += 1
        if character == ")":
            self._open -= 1
            self._can_repeat = True
            return self._open >= 0
        self._can_repeat = False
        found = _GROUP.match(self._text, self._at)
        if found is None:
            self._open += 1
            return not self._text.startswith("?", self._at)
        self._at = found.end()
        # `(?i)` sets flags and holds nothing.
        if not found[0].endswith(")"):
            self._open += 1
        return True

    def _other(self, character: str) -> bool:
        found = _QUANTIFIER.match(self._text, self._at)
        if found is None:
            self._at += 1
            self._can_repeat = character not in "|^"
            return True
        if not self._can_repeat:
            return False
        if found[3] and int(found[1][:18]) > int(found[3][:18]):
            return False
        self._at = found.end()
        # `?` makes it lazy, `+` possessive where an engine has that.
        if self._text[self._at : self._at + 1] in ("?", "+"):
            self._at += 1
        self._can_repeat = False
        return True
