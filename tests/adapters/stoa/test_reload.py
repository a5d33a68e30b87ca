"""A real gateway that fetches its routes is told to do so now."""

from __future__ import annotations

import pytest

from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.stoa.reload import reload_routes
from stoa_gitops.errors import GatewayError, GatewayRefused, GatewayUnauthorized
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import Secret
from tests.adapters.front import listening
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.contract.rig import FAST, TOKEN


async def tell(double: StoaDouble, token: str = TOKEN) -> None:
    runner, url = await listening(double.app())
    auth = GatewayAuth("bearer")
    gateway = GatewayInstance("e", "stoa_edge_mcp", "dev", url, SourceRef("e.yaml"), auth=auth)
    try:
        await reload_routes(Connection(gateway, url, "", {"token": Secret(token)}), limits=FAST)
    finally:
        await runner.cleanup()


async def test_it_fetches_once() -> None:
    double, fetched = StoaDouble(Dialect.REAL, TOKEN), []
    double.reload = lambda: len(fetched.append(1) or fetched)
    await tell(double)
    assert fetched == [1]
    assert [(m, path) for m, path, _ in double.requests] == [("POST", "/admin/routes/reload")]


@pytest.mark.parametrize(
    ("token", "given", "error", "said"),
    [
        (TOKEN, TOKEN, GatewayRefused, "set STOA_ROUTE_RELOAD_ENABLED=true"),
        (TOKEN, "another", GatewayUnauthorized, "reloadTokenRef"),
        (None, TOKEN, GatewayUnauthorized, "set STOA_ADMIN_API_TOKEN there"),
    ],
)
async def test_what_keeps_it_from_that_is_said(
    token: str | None, given: str, error: type[GatewayError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        await tell(StoaDouble(Dialect.REAL, token), given)
    assert given not in str(caught.value)
