"""Connections as a listener counts them: in all, and for each client."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest
from stoa_proxy.foundation.address_guard import parse_networks
from stoa_proxy.foundation.connection_shares import (
    SPARE,
    ConnectionShares,
    Excess,
    ShareBounds,
)

from tests.proxy.conftest import FakeClock

ONE, OTHER = "192.0.2.1", "192.0.2.2"


@dataclass(eq=False)
class Wire:
    """A connection without a socket."""

    shares: Shares
    client_address: str
    is_idle: bool = False
    is_spare: bool = False
    has_unsent: bool = False
    is_open: bool = field(default=True, init=False)

    def drop(self) -> None:
        self.is_open = False
        self.shares.remove(self)


Shares = ConnectionShares[Wire]


def make_shares(connections: int = 100, per_client: int = 2, exempt: str = "") -> Shares:
    networks = parse_networks([exempt] if exempt else [])
    bounds = ShareBounds(connections, per_client, networks)
    return ConnectionShares(bounds, logging.getLogger("test"), FakeClock())


def admit(shares: Shares, address: str, count: int = 1, *, is_idle: bool = False) -> list[Wire]:
    wires = [Wire(shares, address, is_idle) for _ in range(count)]
    for wire in wires:
        shares.admit(wire)
    return wires


def test_a_client_with_too_many_connections_loses_its_own_that_is_idle_longest() -> None:
    shares = make_shares()
    (quiet,) = admit(shares, OTHER, is_idle=True)
    first, second = admit(shares, ONE, 2, is_idle=True)
    shares.touch(first)
    (third,) = admit(shares, ONE)
    assert [wire.is_open for wire in (quiet, first, second, third)] == [True, True, False, True]
    assert shares.refusal(third) is None


def test_a_client_whose_connections_are_all_at_work_gets_few_more_and_only_health() -> None:
    shares = make_shares()
    working = admit(shares, ONE, 2)
    extra = admit(shares, ONE, SPARE + 3)
    assert all(wire.is_open for wire in working)
    assert sum(wire.is_open for wire in extra) == SPARE
    assert shares.refusal(extra[0]) is Excess.CLIENT
    assert shares.refusal(admit(shares, OTHER)[0]) is None
    assert shares.refused[Excess.CLIENT] == 4


@pytest.mark.parametrize("working", [2, 60, 85, 200])
@pytest.mark.parametrize("is_of_client", [True, False])
def test_the_newest_gets_the_place_of_an_extra_one_however_many_are_at_work(
    working: int, *, is_of_client: bool
) -> None:
    bounds = (1000, working) if is_of_client else (working, 1000)
    shares = make_shares(*bounds)
    busy = admit(shares, ONE, working)
    for _ in range(40):
        extra = admit(shares, ONE, SPARE, is_idle=True)
        assert all(wire.is_open for wire in (*busy, *extra))


def test_an_extra_connection_keeps_its_place_when_its_protocol_is_replaced() -> None:
    shares = make_shares()
    admit(shares, ONE, 2)
    extra = admit(shares, ONE, SPARE)
    taking_over = Wire(shares, ONE, is_idle=True)
    shares.replace(extra[0], taking_over)
    (newest,) = admit(shares, ONE)
    assert (taking_over.is_open, newest.is_open) == (False, True)
    assert all(wire.is_open for wire in extra[1:])


def test_an_extra_connection_is_served_once_the_client_has_room() -> None:
    shares = make_shares()
    working = admit(shares, ONE, 2)
    (extra,) = admit(shares, ONE)
    working[0].drop()
    assert shares.refusal(extra) is None
    assert not extra.is_spare


def test_all_addresses_of_an_ipv6_network_are_one_client() -> None:
    shares = make_shares()
    admit(shares, "2001:db8::1")
    admit(shares, "2001:db8::2")
    assert shares.refusal(admit(shares, "2001:db8::3")[0]) is Excess.CLIENT
    assert shares.refusal(admit(shares, "2001:db8:0:1::1")[0]) is None


def test_trusted_proxies_have_only_the_bound_of_all() -> None:
    shares = make_shares(connections=5, exempt="192.0.2.1/32")
    assert [shares.refusal(wire) for wire in admit(shares, ONE, 5)] == [None] * 5
    assert shares.refusal(admit(shares, ONE)[0]) is not None


def test_a_client_beyond_its_share_closes_nothing_of_others_when_all_are_in_use() -> None:
    shares = make_shares(connections=4)
    quiet = admit(shares, OTHER, 2, is_idle=True)
    admit(shares, ONE, 2)
    (extra,) = admit(shares, ONE)
    assert not extra.is_open
    assert [wire.is_open for wire in quiet] == [True, True]


def test_an_idle_connection_behind_many_at_work_is_found_by_and_by() -> None:
    shares = make_shares(connections=200, per_client=500)
    admit(shares, ONE, 100)
    (idle,) = admit(shares, ONE, is_idle=True)
    admit(shares, ONE, 99)
    admit(shares, OTHER, 3)
    assert not idle.is_open


def test_a_client_that_reads_its_response_loses_it_only_when_there_is_no_other() -> None:
    shares = make_shares(connections=2, per_client=500)
    (reading,) = admit(shares, ONE, is_idle=True)
    reading.has_unsent = True
    (quiet,) = admit(shares, ONE, is_idle=True)
    admit(shares, OTHER)
    assert [wire.is_open for wire in (reading, quiet)] == [True, False]
    admit(shares, OTHER)
    assert not reading.is_open


def test_nothing_is_left_of_clients_that_went() -> None:
    shares = make_shares()
    for wire in admit(shares, ONE, 2):
        wire.drop()
        wire.drop()
        shares.touch(wire)
        shares.refusal(wire)
    assert (len(shares), shares.clients) == (0, 0)


def test_an_exempt_connection_is_counted_in_all_and_for_no_client() -> None:
    shares = make_shares(connections=5, per_client=2)
    for wire in admit(shares, ONE, 2):
        shares.exempt(wire)
        shares.exempt(wire)
    assert (len(shares), shares.clients) == (2, 0)
    wires = admit(shares, ONE, 2)
    assert [shares.refusal(wire) for wire in wires] == [None, None]
    (beyond,) = admit(shares, ONE)
    assert shares.refusal(beyond) is Excess.CLIENT
    shares.exempt(beyond)
    assert shares.refusal(beyond) is None
    (last,) = admit(shares, OTHER)
    shares.exempt(last)
    assert shares.refusal(last) is Excess.ALL, "the bound of all holds for everybody"


def test_an_exempt_connection_that_is_idle_ends_for_a_new_one_and_leaves_nothing() -> None:
    shares = make_shares(connections=2, per_client=2)
    first, second = admit(shares, ONE, 2, is_idle=True)
    for wire in (first, second):
        shares.exempt(wire)
    shares.touch(first)
    (third,) = admit(shares, OTHER)
    assert [wire.is_open for wire in (first, second, third)] == [True, False, True]
    shares.exempt(second)
    assert len(shares) == 2, "what is closed is not counted anew"
