"""What holds for every object that Kong can hold."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, NodeInfo
from stoa_gitops.adapters.kong.mapping.mappers import (
    api_items,
    application_item,
    compile_api,
    compile_application,
    decompile_api,
    decompile_application,
    strip_defaults,
)
from stoa_gitops.adapters.kong.mapping.rules import losses, project
from stoa_gitops.adapters.kong.node.edit import apply_changes
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    ForeignEntities,
    NodeSnapshot,
    group_from_entities,
)
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.secret import withheld
from tests.unit.adapters.kong.readback import read_back
from tests.unit.adapters.kong.specs import (
    BILLING,
    MOBILE,
    OWNER,
    api_parts,
    apis,
    application_of,
    applications,
    nodes,
    parts_of,
    policies,
    texts,
)

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
NAME = re.compile(r"[A-Za-z0-9._~-]+")
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def reread(entities: tuple[Entity, ...], node: NodeInfo) -> list[Entity]:
    """Send entities to Kong and read them back, in another order."""
    found = [Entity.of(e.type, strip_defaults(e.type, read_back(e, node), node)) for e in entities]
    return sorted(found, key=lambda entity: entity.id)


@given(api_parts, nodes)
def test_an_api_comes_back_as_it_was_written(parts: ApiParts, node: NodeInfo) -> None:
    entities = compile_api(parts, node, OWNER)
    assert decompile_api(reread(entities, node), node, OWNER, BILLING) == (parts, {})
    assert compile_api(parts, node, OWNER) == entities


@given(api_parts, nodes)
def test_a_full_answer_reads_like_the_sparse_one(parts: ApiParts, node: NodeInfo) -> None:
    entities = compile_api(parts, node, OWNER)
    full = [Entity.of(e.type, read_back(e, node)) for e in entities]
    assert decompile_api(full, node, OWNER, BILLING) == (parts, {})


@given(api_parts, nodes)
def test_nothing_is_sent_that_kong_fills_in(parts: ApiParts, node: NodeInfo) -> None:
    for entity in compile_api(parts, node, OWNER):
        assert strip_defaults(entity.type, read_back(entity, node), node) == entity.tree
        assert strip_defaults(entity.type, entity.tree, node) == entity.tree


@given(apis, policies(whole=True), nodes)
def test_the_items_are_what_the_projection_says(
    api: dict[str, Any], found: dict[str, dict[str, Any]], node: NodeInfo
) -> None:
    parts = parts_of(api, found)
    items = {item["kind"] + item["name"]: item for item in api_items(parts, {}, managed=True)}
    assert items.pop("apibilling")["spec"] == project(API, withheld(api))
    for policy_type, config in found.items():
        spec = {"api": "billing", "type": policy_type, "priority": 1, "config": config}
        assert not [one for one in losses(POLICY, spec, node) if not one.is_partial]
        assert items.pop(f"policybilling.{policy_type}")["spec"] == project(POLICY, spec)
    assert not items


@given(api_parts, nodes)
def test_ids_and_names_are_such_as_kong_takes(parts: ApiParts, node: NodeInfo) -> None:
    entities = compile_api(parts, node, OWNER)
    assert len({entity.id for entity in entities}) == len(entities)
    for entity in entities:
        tree = entity.tree
        assert UUID.fullmatch(entity.id)
        assert NAME.fullmatch(tree.get("name", "-"))
        assert entity.type != "upstreams" or HOST.fullmatch(tree["name"])
        assert tree["tags"][0] == "stoa-managed-by:default"
        assert all("," not in tag and "/" not in tag and tag.isascii() for tag in tree["tags"])


@given(apis.filter(lambda api: "auth" in api["backend"]), nodes)
def test_no_backend_credential_is_listed(api: dict[str, Any], node: NodeInfo) -> None:
    marked = "s3cr3t-value"
    api["backend"]["auth"]["value"] = type(api["backend"]["auth"]["value"])(marked)
    entities = compile_api(parts_of(api, {}), node, OWNER)
    assert any(marked.encode() in entity.text for entity in entities)
    parts, left = decompile_api(entities, node, OWNER, BILLING)
    assert marked not in str(api_items(parts, left, managed=True))
    assert marked not in repr(entities)


@given(applications, api_parts, nodes)
def test_an_application_comes_back_as_it_was_written(
    value: dict[str, Any], api: ApiParts, node: NodeInfo
) -> None:
    by = {config["by"] for name, config in api.policies.items() if name in ("rate_limit", "quota")}
    known = {BILLING: api} if by <= {"consumer"} else {}
    parts = application_of(value)
    entities = compile_application(parts, known, node, OWNER)
    again, left = decompile_application(reread(entities, node), node, OWNER, MOBILE)
    assert (again, left) == (parts, {})
    assert compile_application(again, known, node, OWNER) == entities
    assert application_item(again, left, managed=True)["spec"] == project(
        APPLICATION, withheld(value)
    )
    for entity in entities:
        assert strip_defaults(entity.type, read_back(entity, node), node) == entity.tree


@given(applications, nodes)
def test_the_ids_of_an_application_are_its_own(value: dict[str, Any], node: NodeInfo) -> None:
    entities = compile_application(application_of(value), {}, node, OWNER)
    assert len({entity.id for entity in entities}) == len(entities)
    assert all(UUID.fullmatch(entity.id) for entity in entities)


@given(api_parts, nodes, st.randoms(use_true_random=False))
def test_any_field_that_somebody_changed_is_seen(
    parts: ApiParts, node: NodeInfo, random: Any
) -> None:
    entities = list(compile_api(parts, node, OWNER))
    index = random.randrange(len(entities))
    changed = entities[index]
    tree = read_back(changed, node)
    flag = {
        "services": "enabled",
        "plugins": "enabled",
        "routes": "preserve_host",
        "upstreams": "use_srv_name",
        "targets": "weight",
    }[changed.type]
    tree[flag] = tree[flag] + 1 if flag == "weight" else not tree[flag]
    entities[index] = Entity.of(changed.type, tree)
    again, left = decompile_api(entities, node, OWNER, BILLING)
    if flag == "weight" and parts.api is not None and "targets" in parts.api["backend"]:  # type: ignore[operator]
        # Of several backends a document says the weights.
        assert again != parts
        return
    assert again == parts
    assert sum(len(fields) for fields in left.values()) == 1


odd_values = st.recursive(
    # What a response can hold: JSON has no NaN, and what is beyond all floats is read as a text.
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


def with_odd_value(entity: Entity, node: NodeInfo, data: Any) -> Entity:
    """Replace one field of an entity, at any depth but its id, by any value."""
    tree = read_back(entity, node)
    holder = tree
    name = data.draw(st.sampled_from(sorted(tree.keys() - {"id"})))
    while isinstance(holder[name], dict) and holder[name] and data.draw(st.booleans()):
        holder = holder[name]
        name = data.draw(st.sampled_from(sorted(holder)))
    holder[name] = data.draw(odd_values)
    return Entity.of(entity.type, tree)


@given(api_parts, nodes, st.booleans(), st.data())
def test_no_value_makes_an_api_unreadable(
    parts: ApiParts, node: NodeInfo, managed: bool, data: Any
) -> None:
    entities = list(compile_api(parts, node, OWNER))
    at = data.draw(st.integers(0, len(entities) - 1))
    entities[at] = with_odd_value(entities[at], node, data)
    group = group_from_entities(BILLING, entities, node, OWNER, managed=managed)
    assert all(item["managed"] is managed for item in group.items)
    # Every item is JSON, and the API is listed whatever became of it.
    assert "api" in {item["kind"] for item in group.items if Spec.of(item["spec"])} or not parts.api
    apply_changes_of_nothing(group, node)


def apply_changes_of_nothing(group: EntityGroup, node: NodeInfo) -> None:
    snapshot = NodeSnapshot(node, OWNER, {group.key: group}, ForeignEntities({}))
    assert apply_changes(snapshot, []).groups == {group.key: group}


@given(applications, nodes, st.booleans(), st.data())
def test_no_value_makes_an_application_unreadable(
    value: dict[str, Any], node: NodeInfo, managed: bool, data: Any
) -> None:
    entities = list(compile_application(application_of(value), {}, node, OWNER))
    at = data.draw(st.integers(0, len(entities) - 1))
    entities[at] = with_odd_value(entities[at], node, data)
    group = group_from_entities(MOBILE, entities, node, OWNER, managed=managed)
    (item,) = group.items
    assert (item["managed"], bool(Spec.of(item["spec"]))) == (managed, True)
