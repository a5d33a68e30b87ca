from __future__ import annotations

import gc

from aiohttp import web

from stoa_gitops.adapter_sdk.http.body_memo import BodyMemo
from stoa_gitops.adapter_sdk.packed_list import PackedList
from tests.unit.adapter_sdk.serving import Handler, answering, served


def answer(*names: str) -> Handler:
    return answering(lambda: web.json_response([{"name": name} for name in names]))


async def test_equal_bodies_of_two_gateways_are_one_value() -> None:
    memo, made = BodyMemo(), []

    def transform(items: list[dict[str, str]]) -> PackedList:
        made.append(len(items))
        return PackedList(items)

    async with served(answer("a")) as one, served(answer("a")) as two, served(answer("b")) as other:
        lists = [
            await each.client.get_json(
                "/v1/things", "the list", list, transform=transform, memo=(memo, "things")
            )
            for each in (one, two, other)
        ]
        assert lists[0] is lists[1]
        assert list(lists[2]) == [{"name": "b"}]
        assert made == [1, 1]
        another = await two.client.get_json(
            "/v1/things", "the list", list, transform=transform, memo=(memo, "other things")
        )
        assert another is not lists[0]


async def test_a_value_that_nobody_holds_is_dropped() -> None:
    memo = BodyMemo()
    value = PackedList([{"name": "a"}])
    memo.add("things", b"[]", value)
    assert memo.find("things", b"[]") is value
    del value
    gc.collect()
    assert memo.find("things", b"[]") is None
