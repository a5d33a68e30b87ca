"""What went wrong between Git and a remote, in words that say what to do."""

from __future__ import annotations

import re

from stoa_gitops.errors import CatalogError, CatalogNotFound, CatalogUnreachable


def failure(url: str, complaint: str) -> CatalogError:
    """Return the error for what Git printed; credentials in addresses are withheld."""
    lines = [line for line in complaint.splitlines() if line.startswith(("fatal:", "error:"))]
    reason = without_userinfo((lines or complaint.splitlines() or ["no reason given"])[0])
    # The exit status of Git is 128 for all of these; only the text tells them apart.
    low = complaint.lower()
    if "authentication failed" in low or "could not read username" in low or "error: 403" in low:
        hint = "set STOA_GIT_TOKEN_FILE to a file with a token that may read it"
    elif "permission denied (" in low:
        hint = "set STOA_GIT_SSH_KEY_FILE to a key that may read it"
    elif "host key verification failed" in low:
        hint = "add the host to known_hosts"
    elif "dubious ownership" in low:
        # safe.directory does not reach the upload-pack that Git starts for a file:// URL.
        hint = "it belongs to another user: give its path without file://"
    elif "not found" in low or "does not exist" in low or "does not appear to be" in low:
        return CatalogNotFound(f"{url}: {reason}; check the address and the rights")
    else:
        hint = "check the address, the network and the proxy"
    return CatalogUnreachable(f"{url}: {reason}; {hint}")


def is_missing(complaint: str) -> bool:
    """Whether a server lacks an object; one of protocol version 2 gives any that it has."""
    return "not our ref" in complaint


def is_unable(complaint: str) -> bool:
    """Whether a server cannot answer what was asked, so that a plainer question may do."""
    return (
        re.search(
            "dumb http|unadvertised object|not our ref|shallow capabilit|not support shallow",
            complaint,
        )
        is not None
    )


def without_userinfo(text: str) -> str:
    """Return a text without what stands before the host of an address."""
    return re.sub(r"://[^/\s@]+@", "://***@", text)
