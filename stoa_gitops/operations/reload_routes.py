"""Has a registered gateway that fetches its routes do so now."""

from __future__ import annotations

from dataclasses import replace

from stoa_gitops.adapters.stoa.reload import reload_routes
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance
from stoa_gitops.operations.connections import connect
from stoa_gitops.secrets import SecretResolver


async def have_routes_fetched(secrets: SecretResolver, instance: GatewayInstance) -> None:
    """Call the admin API of a gateway whose document has a token for that alone.

    Within `registration.networks` only. Raises SecretUnresolved and GatewayError.
    """
    reference = instance.registration.reload_token
    assert reference is not None
    caller = replace(instance, auth=GatewayAuth("bearer", {"token": reference}))
    # No catalog's name: nothing is written.
    await reload_routes(connect(caller, "", secrets, None))
