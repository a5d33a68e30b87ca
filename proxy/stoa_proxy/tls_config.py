"""Where the certificates of the listener are, from STOA_TLS_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.environment import read_text
from stoa_proxy.foundation.server_certificates import TlsFiles

CERTIFICATE: Final = "STOA_TLS_CERT_FILE"
KEY: Final = "STOA_TLS_KEY_FILE"
MORE: Final = "STOA_TLS_DIR"
CLIENT_CA: Final = "STOA_TLS_CLIENT_CA_FILE"

VARIABLES: Final = frozenset({CERTIFICATE, KEY, MORE, CLIENT_CA})


def tls_from_env(env: Mapping[str, str]) -> TlsFiles | None:
    """Return the files that variables name; None where the listener speaks plain HTTP.

    Raises ConfigInvalid for a part of the whole: it would leave the listener open in plain text.
    """
    named = {name: text for name in VARIABLES if (text := read_text(env, name)) is not None}
    if not named:
        return None
    if CERTIFICATE not in named or KEY not in named:
        missing = " and ".join(name for name in (CERTIFICATE, KEY) if name not in named)
        raise ConfigInvalid(f"{missing} must be set, too, where {min(named)} is")
    paths = {name: Path(text) for name, text in named.items()}
    return TlsFiles(paths[CERTIFICATE], paths[KEY], paths.get(MORE), paths.get(CLIENT_CA))
