from __future__ import annotations

from stoa_gitops.reconcile.queue import DirtyQueue


def test_marks_add_up_until_they_are_taken() -> None:
    queue = DirtyQueue()
    queue.request("kong", "interval")
    queue.request("kong", "catalog changed")
    queue.request("kong", "interval")
    assert queue.is_dirty("kong")
    assert queue.take("kong") == ("interval", "catalog changed")
    assert not queue.is_dirty("kong")
    assert queue.take("kong") == ()


def test_each_mark_is_told_with_its_gateway() -> None:
    queue = DirtyQueue()
    told: list[str] = []
    queue.on_dirty = told.append
    queue.request("kong", "interval")
    queue.request("gravitee", "retry")
    queue.request("kong", "retry")
    assert told == ["kong", "gravitee", "kong"]
    assert queue.take("gravitee") == ("retry",)
    assert queue.is_dirty("kong")


def test_forgetting_a_gateway_drops_its_marks() -> None:
    queue = DirtyQueue()
    queue.request("kong", "interval")
    queue.remove_gateway("kong")
    queue.request("kong", "new")
    assert queue.take("kong") == ("new",)
