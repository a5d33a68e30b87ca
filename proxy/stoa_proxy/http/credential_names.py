"""Names of headers and parameters that hold credentials, as far as a name tells."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(
    r"^(authorization|proxy-authorization|cookie|set-cookie)$"
    r"|key|token|secret|passw|credential|signature|session",
    re.IGNORECASE,
)


def names_credential(name: str) -> bool:
    """Whether a header or a parameter of this name may hold a credential."""
    return _CREDENTIALS.search(name) is not None
