"""What holds for every object that Gravitee can hold."""

from __future__ import annotations

import copy
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.marks import marks_in
from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.apis import compile_api, decompile_api
from stoa_gitops.adapters.gravitee.mapping.rules import losses, project
from stoa_gitops.adapters.gravitee.node.snapshot import api_items, build_group
from stoa_gitops.adapters.gravitee.writing.schemas import _faults
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret, withheld
from tests.adapters.gravitee.double.plugins import POLICIES
from tests.unit.adapters.gravitee.specs import (
    BILLING,
    NEW,
    OWNER,
    api_parts,
    apis,
    infos,
    names,
    parts_of,
    policies,
    policy_spec,
    read_back,
    texts,
    versions,
)

HRID = re.compile("[a-zA-Z][a-zA-Z0-9_-]{1,254}[a-zA-Z0-9]")


@given(api_parts, infos, versions)
def test_an_api_comes_back_as_it_was_written(
    parts: ApiParts, info: GatewayInfo, version: tuple[int, int]
) -> None:
    definition = compile_api(parts, info, OWNER)
    held = read_back(definition, version)
    assert decompile_api(held, info, OWNER, BILLING) == (parts, {})
    again = read_back(held, version)
    assert decompile_api(again, info, OWNER, BILLING) == (parts, {})


@given(apis, policies(), infos)
def test_the_items_are_what_the_projection_says(
    api: dict[str, Any], found: dict[str, dict[str, Any]], info: GatewayInfo
) -> None:
    parts = parts_of(api, found)
    items = {item["kind"] + item["name"]: item for item in api_items(parts, {}, managed=True)}
    assert items.pop("apibilling")["spec"] == project(API, withheld(api))
    for policy_type, config in found.items():
        spec = policy_spec(policy_type, config)
        assert not [one for one in losses(POLICY, spec, info) if not one.is_partial]
        assert items.pop(f"policybilling.{policy_type}")["spec"] == project(POLICY, spec)
    assert not items


@given(api_parts)
def test_what_is_written_fits_the_schemas_of_its_plugins(parts: ApiParts) -> None:
    definition: Any = reveal(compile_api(parts, NEW, OWNER), [])
    steps = [
        step
        for holder in (definition, *definition["plans"])
        for flow in holder["flows"]
        for step in (*flow["request"], *flow["response"])
    ]
    for step in steps:
        assert list(_faults(step["configuration"], POLICIES[step["policy"]])) == []


@given(api_parts)
def test_names_are_such_as_every_version_takes(parts: ApiParts) -> None:
    definition = compile_api(parts, NEW, OWNER)
    assert HRID.fullmatch(definition["hrid"])
    hrids = [plan["hrid"] for plan in definition["plans"]]
    assert len(set(hrids)) == len(hrids) > 0
    assert all(HRID.fullmatch(hrid) for hrid in hrids)
    assert all(len(plan["name"]) <= 64 for plan in definition["plans"])
    assert all(len(label) <= 64 for label in definition["labels"])


@given(names, names, names, names)
def test_two_objects_never_have_one_name(one: str, two: str, other: str, fourth: str) -> None:
    first, second = Key(API, one, two), Key(API, other, fourth)
    assert (hrid_of(first) == hrid_of(second)) == (first == second)


@given(apis.filter(lambda api: "auth" in api["backend"]))
def test_no_backend_credential_is_listed(api: dict[str, Any]) -> None:
    marked = "s3cr3t-value"
    api["backend"]["auth"]["value"] = Secret(marked)
    definition = compile_api(parts_of(api, {}), NEW, OWNER)
    assert marked not in repr(definition)
    held = read_back(definition, (4, 12))
    assert marked in str(held)
    parts, left = decompile_api(held, NEW, OWNER, BILLING)
    assert marked not in str(api_items(parts, left, managed=True))


def _leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [leaf for name, item in tree.items() for leaf in _leaves(item, (*path, name))]
    if isinstance(tree, list):
        return [leaf for index, item in enumerate(tree) for leaf in _leaves(item, (*path, index))]
    return [path]


IGNORED = frozenset({
    "hrid", "notifyMembers", "visibility", "lifecycleState", "labels", "categories", "type", "mode",
    "validation", "description", "entrypoints",
})  # fmt: skip
"""Fields that the portal's people may change, or that say nothing of what requests do."""


@given(st.builds(parts_of, apis, policies()), st.randoms(use_true_random=False))
def test_any_field_that_somebody_changed_is_seen(parts: ApiParts, random: Any) -> None:
    definition = compile_api(parts, NEW, OWNER)
    held = read_back(definition, (4, 12))
    marks = marks_in(held)
    sent: Any = reveal(definition, [])
    places = [path for path in _leaves(sent) if not IGNORED.intersection(path)]
    *holders, last = random.choice(places)
    tree = held
    for name in holders:
        tree = tree[name]
    value = tree[last]
    match value:
        case "STARTED" | "STOPPED":
            tree[last] = "STOPPED" if value == "STARTED" else "STARTED"
        case bool():
            tree[last] = not value
        case int():
            tree[last] = value + 1
        case _:
            tree[last] = f"{value}x"
    again, left = decompile_api(held, NEW, OWNER, BILLING)
    # Without its marks it is another's.
    assert (again, left) != (parts, {}) or marks_in(held) != marks, (*holders, last)


odd_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


@given(api_parts, st.data())
def test_no_value_makes_an_api_unlisted(parts: ApiParts, data: Any) -> None:
    held = read_back(compile_api(parts, NEW, OWNER), (4, 12))
    plans = held.pop("plans")
    tree: Any = held
    name = data.draw(st.sampled_from(sorted(tree.keys() - {"id"})))
    while isinstance(tree[name], (dict, list)) and tree[name] and data.draw(st.booleans()):
        tree = tree[name]
        keys = sorted(tree) if isinstance(tree, dict) else range(len(tree))
        name = data.draw(st.sampled_from(list(keys)))
    tree[name] = data.draw(odd_values)
    group = build_group(copy.deepcopy(held), plans, (), NEW, OWNER)
    assert group.items or parts.api is None
    assert all(Spec.of(item["spec"]) for item in group.items)
