from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from stoa_gitops.adapters.registry import GatewayTypeUnsupported
from stoa_gitops.drivers.per_gateway import Drivers
from stoa_gitops.errors import GatewayRefused, GatewayUnknown
from tests.unit.adapter_sdk.scripted import NOW
from tests.unit.adapter_sdk.serving import connection


async def nowhere(*_: object) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
    raise AssertionError("nobody calls it")


def pool() -> Drivers:
    return Drivers(clock=lambda: NOW)


async def test_a_gateway_without_an_adapter_says_so_and_the_others_go_on() -> None:
    drivers = pool()
    await drivers.register(connection(name="strange", gateway_type="no_such_type"))
    await drivers.register(connection(name="good", gateway_type="memory"))
    with pytest.raises(GatewayTypeUnsupported, match="no adapter for gateway type 'no_such_type'"):
        drivers.for_gateway("strange")
    assert drivers.for_gateway("good").name == "good"
    assert drivers.names == ("good", "strange")


async def test_wrong_options_say_so_when_the_gateway_is_asked_for() -> None:
    drivers = pool()
    wrong = connection(gateway_type="memory", options={"granularity": "galaxy"})
    await drivers.register(wrong)
    with pytest.raises(GatewayRefused, match="granularity"):
        drivers.for_gateway("gw")


async def test_an_equal_connection_keeps_its_driver_and_another_replaces_it() -> None:
    drivers = pool()
    await drivers.register(connection(gateway_type="memory"))
    first = drivers.for_gateway("gw")
    await drivers.register(connection(gateway_type="memory"))
    assert drivers.for_gateway("gw") is first
    await drivers.register(connection(gateway_type="memory", credentials={"token": "new"}))
    second = drivers.for_gateway("gw")
    assert second is not first
    assert second._writer is first._writer


async def test_a_removed_gateway_is_unknown() -> None:
    drivers = pool()
    await drivers.register(connection(gateway_type="memory"))
    await drivers.remove("gw")
    await drivers.remove("gw")
    with pytest.raises(GatewayUnknown, match="register it via API or catalog first"):
        drivers.for_gateway("gw")


async def test_the_driver_of_a_gateway_inside_is_made_again_after_a_rest() -> None:
    drivers = pool()
    inside = replace(connection(gateway_type="memory"), inside=nowhere)
    await drivers.register(inside)
    first = drivers.for_gateway("gw")
    drivers.rest("gw")
    second = drivers.for_gateway("gw")
    assert second is not first
    assert second._writer is first._writer
    drivers.rest("gw")
    await drivers.register(inside)
    assert drivers.for_gateway("gw") is not second
    drivers.rest("gw")
    await drivers.aclose()
    assert drivers.names == ()


async def test_a_gateway_elsewhere_keeps_its_connections() -> None:
    drivers = pool()
    await drivers.register(connection(gateway_type="memory"))
    first = drivers.for_gateway("gw")
    drivers.rest("gw")
    assert drivers.for_gateway("gw") is first


async def test_closing_removes_all() -> None:
    drivers = pool()
    await drivers.register(connection(gateway_type="memory"))
    await drivers.aclose()
    assert drivers.names == ()
