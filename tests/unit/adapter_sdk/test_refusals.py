from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from stoa_gitops.adapter_sdk.capabilities import Capability
from stoa_gitops.adapter_sdk.contract import ListItem, list_item
from stoa_gitops.adapter_sdk.named_groups import named_groups
from stoa_gitops.adapter_sdk.refusals import key_losses, refuse_unread, refuse_unsupported
from stoa_gitops.adapter_sdk.unreadable import UNREADABLE
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret

CAN = {"api": Capability(True), "policy:cors": Capability(False, "it has none")}
BILLING = Key(API, "acme", "billing")


@pytest.mark.parametrize(
    ("name", "words"), [("policy:cors", "it has none"), ("policy:x", "unknown to this adapter")]
)
def test_what_a_gateway_lacks_is_refused_before_losses_are_looked_for(
    name: str, words: str
) -> None:
    def never() -> list[Loss]:
        raise AssertionError

    result = refuse_unsupported([name], CAN, never)
    assert result is not None
    assert words in str(result.error)


def test_what_is_lost_in_part_is_no_reason_to_refuse() -> None:
    part, whole = Loss("a part", is_partial=True), Loss("all of it")
    assert refuse_unsupported(["api"], CAN, lambda: [part]) is None
    result = refuse_unsupported(["api"], CAN, lambda: [part, whole])
    assert result is not None
    assert "all of it" in str(result.error)
    assert "a part" not in str(result.error)


@pytest.mark.parametrize(
    ("text", "is_refused"), [("key-1", False), (" k-1", True), ("kéy", True), ("a\nb", True)]
)
def test_keys_that_no_header_carries_are_named_by_their_number(text: str, is_refused: bool) -> None:
    found = list(key_losses(Secret(text), 1))
    assert bool(found) is is_refused
    assert all("credential 2" in loss.message and text not in loss.message for loss in found)
    assert list(key_losses("env:KEY", 0)) == []


def test_what_could_not_be_read_is_not_adopted() -> None:
    assert "odd" in refuse_unread({"vendor": {UNREADABLE: "odd"}}, "vendor")
    assert refuse_unread({"vendor": {"plugin": "x"}}, "vendor") == ""
    assert refuse_unread({"vendor": None}, "vendor") == ""


@dataclass(frozen=True)
class Group:
    ident: str
    key: Key
    items: tuple[ListItem, ...]


def group(ident: str) -> Group:
    policy = BILLING.policy("cors")
    items = [list_item(key, {}, ident, managed=True) for key in (BILLING, policy)]
    return Group(ident, BILLING, tuple(items))


def rename(one: Group, key: Key, items: tuple[ListItem, ...]) -> Group:
    return replace(one, key=key, items=items)


def test_a_copy_of_an_api_is_foreign_under_a_name_of_its_own() -> None:
    ours, copy = group("0001-aaaaaaaa"), group("0002-bbbbbbbb")
    found = named_groups([copy, ours], {BILLING: ours}, rename, lambda one: one.ident)
    assert found[0] is ours
    assert [one.key for one in found] == [BILLING, Key(API, "acme", "billing-0002-bbb")]
    names = [(item["kind"], item["name"], item["managed"]) for item in found[1].items]
    assert names == [(API, "billing-0002-bbb", False), (POLICY, "billing-0002-bbb.cors", False)]
