"""The principal of whoever starts a command, or the process, on this machine."""

from __future__ import annotations

import getpass
import os
import socket

from stoa_gitops.model.principal import Principal, PrincipalKind


def local_principal() -> Principal:
    """Return the account that runs this process, as `user@host` in the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's uid may have no entry in /etc/passwd
        user = str(os.getuid())
    return Principal(f"{user}@{socket.gethostname()}", PrincipalKind.LOCAL_USER)
