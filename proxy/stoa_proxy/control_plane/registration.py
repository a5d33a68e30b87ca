"""What a gateway says of itself when it registers, and what it reads from the response."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane.client import Response
from stoa_proxy.control_plane_config import ControlPlaneConfig
from stoa_proxy.errors import ControlPlaneFailed

# Of STOA gateway 0.9.25, which has some in one mode alone. Without `mcp` and `sse`: APIs only.
CAPABILITIES: Final = ("rest", "metering", "rate_limiting", "policy")
_OF_MODES: Final[Mapping[str, tuple[str, ...]]] = {
    "sidecar": ("ext_authz",),
    "shadow": ("traffic_capture",),
}
TABLE: Final = "table"
"""The extension that says: this gateway takes its whole table as one document."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_ALL_ADDRESSES = ("0.0.0.0", "::", "")  # noqa: S104 - nothing is bound here


@dataclass(frozen=True, slots=True)
class Member:
    """What a gateway is to its control plane: an id for paths, and a name."""

    id: str
    name: str


def make_registration(
    config: ProxyConfig,
    settings: ControlPlaneConfig,
    port: int,
    version: str,
    extensions: Sequence[str],
) -> Mapping[str, object]:
    """Return the body of a registration: STOA's documented fields, and `extensions` of ours."""
    return {
        "hostname": settings.instance_name,
        "mode": settings.mode,
        "version": version,
        "environment": config.environment,
        "capabilities": [
            *CAPABILITIES,
            *_OF_MODES.get(settings.mode, ()),
            *(("oidc",) if config.realm is not None else ()),
        ],
        "admin_url": settings.advertise_url or _admin_url(config, settings, port),
        "tenant_id": config.tenant_id,
        "extensions": [TABLE, *extensions],
    }


def _admin_url(config: ProxyConfig, settings: ControlPlaneConfig, port: int) -> str:
    """Return where the admin API is: by the own name, or by the one address that is bound."""
    own = settings.instance_name
    # A name that is no name of a host would make a URL of nothing.
    own = own if _HOST.fullmatch(own) else socket.gethostname()
    host = own if config.host in _ALL_ADDRESSES else config.host
    scheme = "http" if config.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def read_member(response: Response, settings: ControlPlaneConfig, environment: str) -> Member:
    """Return who this gateway is by the response. Raises ControlPlaneFailed.

    As STOA gateway 0.9.25 does, a response without `status` or with an id that is no UUID is no
    registration.
    """
    if response.status == 404:
        raise ControlPlaneFailed(
            f"status 404: nothing at {settings.url} registers gateways; STOA_CONTROL_PLANE_URL is"
            " the address of a control plane"
        )
    if not response.is_success:
        raise ControlPlaneFailed(response.describe())
    fields = response.json()
    member_id, name = fields.get("id"), fields.get("name")
    try:
        # The id becomes part of paths, so it is written anew.
        member_id = str(uuid.UUID(member_id if isinstance(member_id, str) else ""))
    except ValueError:
        raise ControlPlaneFailed("the response has no `id` that is a UUID") from None
    if not isinstance(fields.get("status"), str):
        raise ControlPlaneFailed("the response has no `status`")
    if not isinstance(name, str) or not name.strip() or len(name) > 1024:
        mode = settings.mode.replace("-", "")
        name = f"{settings.instance_name}-{mode}-{environment}"
    return Member(member_id, name)
