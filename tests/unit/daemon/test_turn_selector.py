"""A turn of the event loop has a few events, and nobody waits for ever."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

import pytest

from stoa_gitops.daemon.lookup_loop import LookupLoop
from stoa_gitops.daemon.turn_selector import MOST, TurnSelector


@pytest.fixture
def selector() -> Iterator[TurnSelector]:
    with TurnSelector() as made:
        yield made


@pytest.fixture
def readable() -> Iterator[list[socket.socket]]:
    """Sockets that all have something to read, always: nothing is read from them."""
    with ExitStack() as stack:
        ours = []
        for _ in range(3 * MOST + 7):
            one, other = socket.socketpair()
            stack.enter_context(one)
            stack.enter_context(other).send(b"x")
            ours.append(one)
        yield ours


def numbers(events: list[tuple[selectors.SelectorKey, int]]) -> list[int]:
    return [key.fd for key, _ in events]


def test_events_come_in_parts_and_each_once_before_any_comes_again(
    selector: TurnSelector, readable: list[socket.socket]
) -> None:
    for one in readable:
        selector.register(one, selectors.EVENT_READ)
    parts = [numbers(selector.select(0)) for _ in range(4)]
    assert [len(part) for part in parts] == [MOST, MOST, MOST, 7]
    assert sorted(chain(*parts)) == sorted(one.fileno() for one in readable)
    assert len(selector.select(0)) == MOST, "those that are ready still come again"


def test_an_event_is_not_handed_out_for_what_took_the_place_of_a_socket(
    selector: TurnSelector, readable: list[socket.socket]
) -> None:
    for one in readable:
        selector.register(one, selectors.EVENT_READ)
    first = set(numbers(selector.select(0)))
    left = [one for one in readable if one.fileno() not in first]
    for one in left[:-2]:
        selector.unregister(one)
    selector.modify(left[-2], selectors.EVENT_WRITE)
    selector.unregister(left[-1])
    selector.register(left[-1], selectors.EVENT_READ, "somebody else")
    assert numbers(selector.select(0)) == []


def test_the_loop_of_the_process_reads_all_of_them(readable: list[socket.socket]) -> None:
    loop, read = LookupLoop(), list[int]()
    try:
        for one in readable:
            loop.add_reader(one, lambda one=one: (read.append(one.fileno()), one.recv(1)))
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert len(read) <= MOST + 1, "the loop's own wakeup is one of them"
        for _ in range(4):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert sorted(read) == sorted(one.fileno() for one in readable)
    finally:
        loop.close()
