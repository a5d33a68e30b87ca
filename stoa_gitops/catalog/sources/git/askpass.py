"""The program that Git runs to ask for a password (GIT_ASKPASS): prints the token of one address.

Git runs GIT_ASKPASS directly; a credential helper would need a shell. It is run as a file and not
as a module, so that an answer does not import the packages that read catalogs.
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
"""Environment variables: the file of the token, and the scheme://host:port that it is for."""

USERNAME: Final = "x-access-token"
"""Git hosts ignore the name beside a token; GitHub documents this one."""


def token_for(prompt: str, environment: Mapping[str, str]) -> str | None:
    """Return the token if the prompt (`Password for 'https://…': `) is of its own address."""
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
    """Print the token; exit with 1 where there is none for this prompt."""
    token = token_for(sys.argv[1] if len(sys.argv) > 1 else "", os.environ)
    if token is None:
        return 1
    sys.stdout.write(token + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
