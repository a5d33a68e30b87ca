"""A reader that goes from tree to tree says what one says that sees the last tree only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog import Reader
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.errors import CatalogError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from tests.laws import examples
from tests.unit.catalog import edits

STEPS = int(os.environ.get("STOA_TEST_EDITS", "12"))
"""Trees of one script; more of them are run by hand after a change of what is kept."""


def unsupported(gateway: GatewayInstance, capability: str) -> str | None:
    """Let one type of gateway do less, and by what its document says."""
    if gateway.gateway_type != "kong":
        return None
    lacks = {
        "policy:cors",
        "hosts",
        "credential:basic",
        *(("api",) if gateway.backends_deny else ()),
    }
    return "it has no such thing" if capability in lacks else None


def fresh(tree: Tree) -> Catalog:
    return Reader(unsupported=unsupported, gateway_types=gateway_types()).read(tree)


@examples(25)
@given(st.integers(0, 2**32))
@example(6)  # a finding names a place in another file, which moves in that one
@example(367)
def test_after_any_edits_a_reader_says_what_a_fresh_one_says(seed: int) -> None:
    reader = Reader(unsupported=unsupported, gateway_types=gateway_types())
    for number, tree in enumerate(edits.trees(seed, STEPS)):
        assert reader.read(tree) == fresh(tree), f"seed {seed}, tree {number}"


@pytest.mark.slow
def test_scripts_make_every_sort_of_finding_and_resources_beside_them() -> None:
    codes: set[str] = set()
    most = 0
    for seed in range(25):
        reader = Reader(unsupported=unsupported, gateway_types=gateway_types())
        for tree in edits.trees(seed, 40):
            catalog = reader.read(tree)
            codes |= {found.code for found in catalog.diagnostics}
            most = max(most, *(len(state.resources) for state in catalog.desired.values()), 0)
    assert codes >= {
        "route.collision", "route.nested", "name.collision", "backend.address",
        "gateway.unsupported",
        "ref.policy", "ref.gateway", "ref.api", "ref.plan", "ref.tenant", "ref.alias",
        "ref.openapi",
        "variable.unset", "patch.identity", "document.duplicate", "document.place", "name.folder",
        "limit.apis", "openapi.schema", "environment.mixup", "file.size", "policy.type-twice",
    }  # fmt: skip
    assert most >= 10


@pytest.mark.slow
def test_a_catalog_that_was_given_out_is_never_changed_by_later_edits() -> None:
    reader = Reader(unsupported=unsupported, gateway_types=gateway_types())
    given_out = [(reader.read(tree), fresh(tree)) for tree in edits.trees(7, 20)]
    assert all(one == other for one, other in given_out)


def test_resources_that_did_not_change_stay_the_same_objects() -> None:
    reader = Reader(unsupported=unsupported, gateway_types=gateway_types())
    shared = 0
    before: Catalog | None = None
    for tree in edits.trees(11, 25):
        now = reader.read(tree)
        for name, state in now.desired.items():
            old = before.desired.get(name) if before is not None else None
            for key, resource in state.resources.items():
                known = old.resources.get(key) if old is not None else None
                if known == resource:
                    shared += 1
                    assert known is resource
        before = now
    assert shared > 20


class Gone(Tree):
    """A tree whose files were taken away after it was listed."""

    def __init__(self, tree: Tree) -> None:
        self.revision, self.files = tree.revision, tree.files

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            raise CatalogError(f"{path} is gone")
            yield path, b""


def test_after_a_reading_that_failed_the_next_one_is_whole_again() -> None:
    reader = Reader(unsupported=unsupported, gateway_types=gateway_types())
    *_, first, second, third = edits.trees(3, 12)
    reader.read(first)
    with pytest.raises(CatalogError):
        reader.read(
            Gone(edits.tree({"tenants/acme/tenant.yaml": b"new"}, edits.random.Random(1), 1))
        )
    for tree in (second, third):
        assert reader.read(tree) == fresh(tree)
