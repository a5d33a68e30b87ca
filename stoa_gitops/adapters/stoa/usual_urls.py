"""Tells usual backend URLs at once. Pure.

Each of 10,000 documents has a URL of its own, and nearly none has anything to find.
"""

from __future__ import annotations

import re
from typing import Final

_USUAL: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{1,63}(?::[1-9][0-9]{0,3})?"
    r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?"
)
_LONGEST: Final = 253
"""Characters of the longest name of a host, RFC 1035 §2.3.4: a URL of so many holds none longer."""


def is_usual_url(url: str) -> bool:
    """Whether a URL has a plain path and the name of a host with a domain, and nothing else.

    Such a host is no address and no `localhost`: the last label is made of letters. No segment of
    such a path begins with a dot or holds an escape.
    """
    return len(url) <= _LONGEST and _USUAL.fullmatch(url) is not None
