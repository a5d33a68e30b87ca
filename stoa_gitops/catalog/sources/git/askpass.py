"""What Git starts to ask for a password: `askpass PROMPT` prints the token, for one address and nobody else.

Git gets it as GIT_ASKPASS, which it starts directly; a credential helper would need a shell. It is run as a file
and not as a module, so that answering does not import what reads catalogs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FILE: Final = "STOA_GITOPS_TOKEN_FILE_OF_GIT"
ADDRESS: Final = "STOA_GITOPS_TOKEN_ADDRESS_OF_GIT"
"""Variables with the token's file, and with the scheme://host:port that it is for."""

USERNAME: Final = "x-access-token"


def answer(prompt: str, environment: Mapping[str, str]) -> str | None:
    """Return the token where its own address asks for a password (`Password for 'https://…': `), None otherwise."""
    asked = re.fullmatch(r"Password for '([^']*)': ?", prompt)
    if asked is None:
        return None
    parts = urlsplit(asked[1])
    if f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" != environment.get(ADDRESS):
        return None
    try:
        return Path(environment[FILE]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None  # Git then says that it has no password


def main() -> int:
    """Answer Git; exit 1 says that there is nothing to answer."""
    found = answer(sys.argv[1] if len(sys.argv) > 1 else "", os.environ)
    if found is None:
        return 1
    sys.stdout.write(found + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
