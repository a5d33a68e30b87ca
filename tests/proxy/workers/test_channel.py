"""Messages between two processes of a gateway."""

from __future__ import annotations

import asyncio
import socket

import pytest
from stoa_proxy.errors import WorkerGone
from stoa_proxy.workers.channel import Channel, Message


async def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return await Channel.open(one), await Channel.open(other)


async def test_messages_come_in_their_order_with_values_and_bytes() -> None:
    one, other = await pair()
    taken: list[Message] = []

    async def take(message: Message) -> None:
        taken.append(message)

    reading = asyncio.create_task(other.run(take))
    sent = [Message("a", {"n": 1}), Message("b", {"text": "é\ud800"}, b"\x00" * 300_000)]
    for message in sent:
        one.send(message)
    await one.drain()
    one.close()
    await reading
    await one.run(_ignore)
    assert taken == sent
    assert other.is_gone


async def test_a_call_gets_its_own_answer() -> None:
    one, other = await pair()
    held: list[Message] = []

    async def take(message: Message) -> None:
        held.append(message)
        if len(held) == 2:
            for waiting in reversed(held):
                other.reply(waiting, {"to": waiting.values["n"]}, b"x")

    async def refuse(message: Message) -> None:
        raise AssertionError("an answer is no message")

    tasks = [asyncio.create_task(other.run(take)), asyncio.create_task(one.run(refuse))]
    answers = await asyncio.gather(*(one.call(Message("q", {"n": n}), 60) for n in (1, 2)))
    assert [(answer.values["to"], answer.content) for answer in answers] == [(1, b"x"), (2, b"x")]
    one.close()
    await asyncio.gather(*tasks)
    other.close()


async def test_who_waits_for_an_answer_learns_that_the_other_end_is_gone() -> None:
    one, other = await pair()

    async def end(message: Message) -> None:
        other.close()

    tasks = [asyncio.create_task(channel.run(end)) for channel in (one, other)]
    with pytest.raises(WorkerGone):
        await one.call(Message("q"), 60)
    await asyncio.gather(*tasks)
    with pytest.raises(WorkerGone):
        await one.call(Message("q"), 60)
    one.send(Message("q"))  # to nobody


async def test_an_answer_that_does_not_come_in_time_is_not_waited_for() -> None:
    one, other = await pair()
    with pytest.raises(TimeoutError):
        await one.call(Message("q"), 0.01)
    for channel in (one, other):
        channel.close()
        await channel.run(_ignore)


async def _ignore(message: Message) -> None:
    """Take a message that nobody is interested in."""


def test_the_first_message_is_read_before_there_is_a_loop() -> None:
    one, other = socket.socketpair()

    async def send() -> None:
        channel = await Channel.open(one)
        channel.send(Message("begin", content=b"settings"))
        channel.send(Message("change"))
        await channel.drain()
        channel.close()

    asyncio.run(send())
    assert Channel.read_first(other) == b"settings"
    assert other.recv(4096).endswith(b'["change",{},0]')
    assert Channel.read_first(other) is None
    other.close()
