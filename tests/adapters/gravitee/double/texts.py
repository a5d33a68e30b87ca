"""What a 4.10.8 keeps of names and descriptions: the text of their HTML, with its own escapes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# Neither tag nor content is kept of these two.
_DROPPED = ("script", "style")
_OPEN_TAG = re.compile("</?[A-Za-z][^<>]*$")
_ODD = re.compile("[\\U00010000-\\U0010ffff\\ufdd0-\\ufdef\\ufeff\\ufffc\\ufffd]")


class _Text(HTMLParser):
    """Collects the text of HTML; what is no tag stays as it is written."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._dropped = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._dropped += tag in _DROPPED

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED and self._dropped:
            self._dropped -= 1

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self.parts.append(data)


def _text_of(html: str) -> str:
    parser = _Text()
    # A tag that does not end reaches to the end.
    parser.feed(f"{html}>" if _OPEN_TAG.search(html) else html)
    parser.close()
    return "".join(parser.parts)


def sanitized(text: str) -> str:
    """Return a name or description as it is stored."""
    while (again := _text_of(text)) != text:
        text = again
    text = _ODD.sub(lambda found: f"&#x{ord(found[0]):x};", text)
    return re.sub(r"\{(?=\{|$)", "{<!-- -->", text)
