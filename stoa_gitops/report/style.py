"""Style of text for a terminal: colour, width and character set are given, never detected.

Text from a catalog or a gateway goes through `printable` before it is shown, so that no value can
move a cursor, clear a screen, reverse the reading direction or pretend to be a line of ours.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

# C0, DEL and C1; soft hyphen; invisible, bidirectional and line-separating format characters;
# surrogates; non-characters; tags (Unicode categories Cc, Cf, Cs, Cn). Zero-width joiners too: a
# name that differs by one must look different.
_INVISIBLE: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a"
)
_UNSAFE: Final = re.compile(f"[{_INVISIBLE}]")
_UNSAFE_OR_WIDE: Final = re.compile(f"[{_INVISIBLE}]|[^\x00-\x7f]")
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# SGR parameters of ECMA-48 §8.3.117.
COLOURS: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
}


def _escape_character(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def printable(text: str, *, ascii_only: bool = False) -> str:
    r"""Return `text` on one line, with invisible characters as escapes (`\n`, `\u001b`)."""
    if text.isascii() and text.isprintable():
        return text
    return (_UNSAFE_OR_WIDE if ascii_only else _UNSAFE).sub(_escape_character, text)


def visible_json(text: str) -> str:
    r"""Return JSON of one line with invisible characters in its texts as escapes of JSON."""
    if text.isascii():
        return text  # control characters are escaped already (RFC 8259 §7)
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def display_width(text: str) -> int:
    """Return the columns of `text` on a terminal: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    # UAX #11: wide and fullwidth characters take two columns; ambiguous ones are narrow here.
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, width: int) -> str:
    """Return `text` filled up with spaces to `width` columns; longer text is unchanged."""
    return text + " " * max(0, width - display_width(text))


def shorten(text: str, room: int, mark: str = "…") -> str:
    """Return `text` with its middle cut out, `room` characters in all; 0 cuts nothing."""
    if room <= 0 or len(text) <= room:
        return text
    keep = max(room - len(mark), 2)
    tail = keep // 2
    return text[: keep - tail] + mark + text[len(text) - tail :]


@dataclass(frozen=True, slots=True)
class Style:
    """What the reader's terminal can show.

    colour   ANSI colours may be used; they never carry meaning alone
    width    columns; 0 is no limit, and then no value is cut
    unicode  False: everything beyond ASCII is written as an escape
    excerpts findings show the source line with a caret
    """

    colour: bool = False
    width: int = 100
    unicode: bool = True
    excerpts: bool = False

    @property
    def mark(self) -> str:
        """The mark of a part that was cut out."""
        return "…" if self.unicode else "..."

    def safe(self, text: str, room: int = 0) -> str:
        """Return `text` printable on one line, at most `room` characters of it (0: all)."""
        return shorten(printable(text, ascii_only=not self.unicode), room, self.mark)

    def paint(self, text: str, *colours: str) -> str:
        """Return `text` in colours by names of COLOURS, where colour is on."""
        if not self.colour or not text or not colours:
            return text
        codes = ";".join(COLOURS[colour] for colour in colours)
        return f"\x1b[{codes}m{text}\x1b[0m"
