"""Field changes: paths, ownership, order, and what is withheld."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.canonical import JsonObject, canonical_bytes
from stoa_gitops.planning.differ import differences, mask_sensitive

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)


def paths(before: JsonObject, after: JsonObject, owned: JsonObject | None = None) -> list[str]:
    return [change.dotted for change in differences(before, after, owned)]


@given(objects)
def test_a_tree_does_not_differ_from_itself(tree: JsonObject) -> None:
    assert differences(tree, tree, tree) == ()


@given(objects, objects, objects)
def test_the_order_of_mappings_has_no_influence(
    before: JsonObject, after: JsonObject, owned: JsonObject
) -> None:
    turned = [dict(reversed(tree.items())) for tree in (before, after, owned)]
    assert differences(*turned) == differences(before, after, owned)


@given(objects, objects)
def test_every_path_is_told_once(before: JsonObject, after: JsonObject) -> None:
    found = [change.path for change in differences(before, after, before)]
    assert len(found) == len(set(found))


def test_names_are_sorted_and_list_items_come_by_index() -> None:
    before: JsonObject = {"z": 1, "routes": [{"path": f"/{i}"} for i in range(12)]}
    after: JsonObject = {"z": 2, "routes": [{"path": f"/x{i}"} for i in range(12)]}
    assert paths(before, after) == [*(f"routes.{i}.path" for i in range(12)), "z"]


def test_a_longer_list_shows_what_was_added_and_a_shorter_one_what_went() -> None:
    assert [(c.dotted, c.before, c.after) for c in differences({"a": [1]}, {"a": [1, 2]})] == [
        ("a.1", None, 2)
    ]
    assert [(c.dotted, c.before, c.after) for c in differences({"a": [1, 2]}, {"a": [1]})] == [
        ("a.1", 2, None)
    ]


def test_a_field_that_nobody_wanted_or_applied_is_not_ours() -> None:
    assert paths({"a": 1, "server": "x"}, {"a": 1}, {"a": 1}) == []


def test_an_optional_field_of_the_canonical_form_is_ours_also_where_nobody_wrote_it() -> None:
    """A fallback, a required claim or a header that somebody added by hand is drift."""
    wanted: JsonObject = {
        "backend": {"url": "x"}, "config": {"requiredClaims": {}, "request": {"set": {"A": "1"}}},
        "identifiers": {},
    }  # fmt: skip
    seen: JsonObject = {
        "access": "subscribed", "description": "x", "owner": "them",
        "backend": {"url": "x", "fallback": "y", "auth": {"in": "header", "value": "hunter2"}},
        "config": {"requiredClaims": {"a": "b"}, "request": {"set": {"A": "1", "B": "2"}}},
        "identifiers": {"crm": "1"},
    }  # fmt: skip
    found = differences(seen, wanted, wanted)
    assert [change.dotted for change in found] == [
        "access", "backend.auth", "backend.fallback", "config.request.set.B",
        "config.requiredClaims.a", "description", "identifiers.crm", "owner",
    ]  # fmt: skip
    assert "hunter2" not in repr(found)


def test_a_field_that_was_applied_and_is_gone_from_git_is_a_change() -> None:
    assert paths({"a": 1, "note": "x"}, {"a": 1}, {"a": 1, "note": "x"}) == ["note"]


def test_items_of_a_list_are_owned_whole() -> None:
    assert paths({"a": [{"p": 1, "extra": 2}]}, {"a": [{"p": 1}]}) == ["a.0.extra"]


def test_null_and_absent_are_one() -> None:
    assert paths({"a": None}, {}, {"a": None}) == []


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert paths({"a": True, "b": 1.0}, {"a": 1, "b": 1}) == ["a"]


def test_what_a_gateway_shows_in_the_place_of_a_secret_is_not_compared() -> None:
    after: JsonObject = {"key": {"$secret": "env:K"}}
    for shown in ({"key": {"$secret": ""}}, {"key": "plain"}, {}):
        assert differences(shown, after) == ()


def test_references_are_compared_only_when_asked_for() -> None:
    before: JsonObject = {"key": {"$secret": "env:A"}}
    after: JsonObject = {"key": {"$secret": "env:B"}}
    assert differences(before, after, before) == ()
    (change,) = differences(before, after, before, with_references=True)
    assert (change.before, change.after) == ({"$secret": "env:A"}, {"$secret": "env:B"})


def test_a_value_at_a_place_of_secrets_is_withheld() -> None:
    before: JsonObject = {
        "credentials": [{"type": "basic", "username": "u", "password": "hunter2"}]
    }
    after: JsonObject = {"credentials": [{"type": "basic", "username": "u"}]}
    (change,) = differences(before, after, before)
    assert (change.dotted, change.before, change.after) == ("credentials.0.password", None, None)
    assert change.sensitive
    assert change.note == "changed"


def test_a_whole_object_is_shown_with_its_secrets_masked_and_its_references_whole() -> None:
    auth: JsonObject = {"in": "header", "name": "X", "value": "hunter2"}
    assert mask_sensitive(auth, ("backend", "auth")) == {
        "in": "header",
        "name": "X",
        "value": "***",
    }
    wanted: JsonObject = {"credentials": [{"type": "api_key", "key": {"$secret": "env:K"}}]}
    (change,) = differences({"credentials": []}, wanted)
    assert change.after == {"type": "api_key", "key": {"$secret": "env:K"}}


@given(st.text("xyz", min_size=1, max_size=5))
def test_a_plain_secret_of_a_gateway_never_appears(tail: str) -> None:
    value = f"s3cr3t-{tail}"
    before: JsonObject = {
        "backend": {"auth": {"in": "header", "name": "X", "value": value}},
        "credentials": [{"type": "api_key", "key": value}, {"type": "jwt", "token": value}],
    }
    for after in ({}, {"backend": {"url": "x"}, "credentials": []}, {"backend": 1}):
        told = differences(before, after, before)
        assert told
        assert value not in repr(told)


@given(objects)
def test_scrubbing_leaves_what_is_no_secret(tree: JsonObject) -> None:
    assert canonical_bytes(mask_sensitive(tree, ())) == canonical_bytes(tree)
