"""The shadow behind the mirrors of a real nginx and a real Envoy, as docs/shadow.md has them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.heavy.gateways import envoy, nginx, started  # noqa: F401 - fixtures
from tests.ports import own_port
from tests.proxy.conftest import Api, Upstream, running, start_upstream  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("sidecar")]

Start = Callable[..., Awaitable[Upstream]]
PAGE = Path(__file__).parents[2] / "docs" / "shadow.md"
ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: FRONT}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                ROUTE
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backend
    type: STATIC
    load_assignment:
      cluster_name: backend
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: BACKEND}}}}]}]
  - name: stoa_shadow
    type: STATIC
    load_assignment:
      cluster_name: stoa_shadow
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: SHADOW}}}}]}]
"""  # noqa: E501


def configure(kind: str, front: int, shadow: int, backend: int) -> str:
    """The page's block for a gateway, in a configuration that is whole."""
    language = {"envoy": "yaml", "nginx": "nginx"}[kind]
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    if kind == "nginx":
        block = found[1].replace(":9000", f":{backend}").replace(":8080", f":{shadow}")
        return f"server {{ listen 127.0.0.1:{front};\n{block}\n}}"
    route = found[1].replace("\n", "\n                ")
    text = ENVOY.replace("ROUTE", route)
    for name, port in (("FRONT", front), ("BACKEND", backend), ("SHADOW", shadow)):
        text = text.replace(name, str(port))
    return text


@pytest.mark.parametrize("kind", ["nginx", "envoy"])
async def test_mirrored_requests_teach_what_they_are(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_upstream: Start,  # noqa: F811
    kind: str,
) -> None:
    upstream = await start_upstream()
    command = request.getfixturevalue(kind)
    with own_port() as port:
        async with running(mode="shadow", engine="fast", shadow_min_requests=1) as api:
            text = configure(kind, port, api.gateway.port, upstream.port)
            async with (
                started(kind, command, text, tmp_path, port),
                aiohttp.ClientSession() as session,
            ):
                sent = [
                    (method, path)
                    for number in range(3)
                    for method, path in (
                        ("GET", f"/orders/{number}?page={number}"),
                        ("POST", "/orders"),
                        ("DELETE", f"/orders/{number}"),
                    )
                ]
                for method, path in sent:
                    url, host = f"http://127.0.0.1:{port}{path}", {"Host": "api.acme.test"}
                    async with session.request(method, url, headers=host) as answer:
                        # The API's own answer, whatever the shadow says.
                        assert (answer.status, (await answer.json())["url"]) == (200, path)
                # A mirror may be later than the answer.
                async with asyncio.timeout(30):
                    while (await status(api))["transactions_captured"] < 9:
                        await asyncio.sleep(0.02)
            assert (await status(api))["hosts"] == {"api.acme.test": 9}
            shown = await api.admin("GET", "/admin/shadow/proposals/api-acme-test/openapi.json")
            paths = (await shown.json())["paths"]
            assert {path: sorted(item.keys() - {"parameters"}) for path, item in paths.items()} == {
                "/orders": ["post"],
                "/orders/{orderId}": ["delete", "get"],
            }


async def status(api: Api) -> Any:
    answer = await api.admin("GET", "/admin/shadow/status")
    return await answer.json()
