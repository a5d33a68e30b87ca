from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.catalog.export.overlay import yaml_text
from stoa_gitops.catalog.export.three_way.edited_yaml import EditedYaml, NotEditable
from stoa_gitops.catalog.export.three_way.merge import ABSENT, Edit, Item, merge, shown_path


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def merged(base: Any, mine: Any, new: Any) -> tuple[Any, list[str]]:
    """Return the tree after a merge, through YAML, and the paths that a person keeps."""
    edits, kept = merge(base, mine, new)
    text = EditedYaml(yaml_text(mine)).with_edits(edits)
    return EditedYaml(text).tree, [shown_path(one.path) for one in kept]


@pytest.mark.parametrize(
    ("base", "mine", "new", "expected", "kept"),
    [
        (spec(a=1), spec(a=1), spec(a=2), spec(a=2), []),
        (spec(a=1), spec(a=9), spec(a=1), spec(a=9), []),
        (spec(a=1), spec(a=9), spec(a=2), spec(a=9), ["spec.a"]),
        (spec(a=1), spec(a=2), spec(a=2), spec(a=2), []),
        (spec(a=1), spec(a=1, b=7), spec(a=1, c=3), spec(a=1, b=7, c=3), []),
        (spec(a=1, b=2), spec(a=1, b=2), spec(a=1), spec(a=1), []),
        (spec(a=1, b=2), spec(a=1), spec(a=1, b=3), spec(a=1), ["spec.b"]),
        (spec(a=1, b=2), spec(a=1, b=5), spec(a=1), spec(a=1, b=5), ["spec.b"]),
    ],
)
def test_what_a_person_changed_stays_and_the_rest_follows(
    base: Any, mine: Any, new: Any, expected: Any, kept: list[str]
) -> None:
    assert merged(base, mine, new) == (expected, kept)


def test_policies_and_routes_are_compared_one_by_one() -> None:
    def document(*policies: dict[str, Any]) -> dict[str, Any]:
        return spec(policies=list(policies))

    key, renamed = (
        {"type": "api_key", "config": {"name": name}} for name in ("X-Key", "X-Api-Key")
    )
    limit = {"type": "rate_limit", "config": {"requests": 5}}
    tree, kept = merged(document(key), document(limit, key), document(renamed))
    assert tree == document(limit, renamed)
    assert kept == []
    tree, kept = merged(document(key), document(limit), document(renamed))
    assert tree == document(limit)
    assert kept == ["spec.policies[api_key]"]
    tree, _ = merged(document(key), document(key, limit), spec(policies=[]))
    assert tree == document(limit)


def test_lists_that_nothing_tells_apart_are_one_value() -> None:
    twice = spec(routes=[{"path": "/a"}, {"path": "/a"}])
    edits, kept = merge(twice, twice, spec(routes=[{"path": "/b"}]))
    assert edits == [Edit(("spec", "routes"), [{"path": "/b"}])]
    assert kept == []


values = st.recursive(
    st.integers(0, 3),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3), st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)
trees = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(trees, trees, trees)
def test_a_merge_takes_everything_from_one_side_where_the_other_is_as_before(
    base: Any, mine: Any, new: Any
) -> None:
    assert merged(base, copy.deepcopy(base), new)[0] == new
    assert merged(base, mine, base) == (mine, [])
    tree, _ = merged(base, mine, new)
    again, _ = merged(new, tree, new)
    assert again == tree


@pytest.mark.parametrize("indent", ["- type: x", "  - type: x", "    - type: x"])
def test_an_edit_changes_its_line_alone(indent: str) -> None:
    text = f"""\
# Who owns this: team red
spec:
  version: '1.0'   # as the contract says
  policies:
  {indent}
  backend:
    url: "https://a.example"
"""
    changed = EditedYaml(text).with_edits([Edit(("spec", "version"), "1.1")])
    assert changed == text.replace("'1.0'", "'1.1'")
    assert EditedYaml(text).with_edits([]) == text


def test_items_are_added_removed_and_changed_where_they_stand() -> None:
    text = "spec:\n  routes:\n    - path: /a # first\n    - path: /b\n"
    edits = [
        Edit(("spec", "routes", Item("path", "/b")), ABSENT),
        Edit(("spec", "routes", Item("path", "/c")), {"path": "/c"}),
    ]
    changed = EditedYaml(text).with_edits(edits)
    assert changed == "spec:\n  routes:\n    - path: /a # first\n    - path: /c\n"


@pytest.mark.parametrize("text", ["a: [", "- a", "a: 1\n---\nb: 2\n", "a: 1\na: 2\n"])
def test_what_is_no_single_document_is_not_edited(text: str) -> None:
    with pytest.raises(NotEditable):
        EditedYaml(text)
