"""Client of the admin API of the embedded gateway of a process on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stoa_gitops.cli.remote import Endpoint, RemoteFailed
from stoa_gitops.errors import GatewayUnreachable, UsageError
from stoa_gitops.state_folder import runtime_file as runtime

_SECONDS: Final = 75.0
"""For each step: a traced request may take 60 s at the gateway."""


class GatewayAdmin:
    """The embedded gateway of one running process; its token is in no message."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @classmethod
    def find(cls, folder: Path) -> GatewayAdmin:
        """Return that of the process that runs with a state folder; raises GatewayUnreachable."""
        running = runtime.read_runtime(folder)
        if running is None or not running.gateway:
            raise GatewayUnreachable(
                "the embedded gateway is not running here: start `stoa-gitops run` with the same "
                "--state"
            )
        return cls(Endpoint(running.gateway, running.admin_token, running.pid))

    def trace(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return how the gateway decides a request (docs/data-plane-admin.md, `/admin/trace`).

        Raises UsageError for what is no request, RemoteFailed for a gateway that does not trace.
        """
        content = json.dumps(request).encode()
        status, raw = self._endpoint.exchange("POST", "/admin/trace", content, _SECONDS)
        try:
            document = json.loads(raw)
        except ValueError:
            document = None
        if status == 200 and isinstance(document, dict):
            return document
        if status == 400 and isinstance(document, dict):
            raise UsageError("; ".join(map(str, document.get("errors", ["it is no request"]))))
        if status in (404, 501):
            raise RemoteFailed("the running process is of a version that traces no requests")
        detail = document.get("detail", "") if isinstance(document, dict) else ""
        raise RemoteFailed(f"the embedded gateway answered {status}: {detail or 'see its log'}")
