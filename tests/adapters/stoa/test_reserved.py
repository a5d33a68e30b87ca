"""What the adapter declares of our data plane is what the data plane itself says and does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.api import extensions
from stoa_proxy.admin.routes import parse_prefix
from stoa_proxy.policies import POLICIES

from stoa_gitops.adapters.registry import info_for
from stoa_gitops.adapters.stoa import ADAPTER
from stoa_gitops.adapters.stoa.rules import EXTENDED, RESERVED
from stoa_gitops.catalog.resolution.gateway_support import is_reserved

SEGMENTS = (
    "admin", "health", "ready", "live", "metrics", "orders", "Admin", "administration", "%61dmin",
    "he%61lth", "admin%2Fapis",
)  # fmt: skip
PATHS = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end,
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


def is_refused(path: str) -> bool:
    errors: list[str] = []
    parse_prefix(path, errors)
    assert errors in ([], ["path_prefix is reserved for the gateway itself"])
    return bool(errors)


def test_the_extensions_are_those_that_the_data_plane_names() -> None:
    assert frozenset(extensions(POLICIES)) == EXTENDED


@given(PATHS)
def test_both_sides_agree(path: str) -> None:
    assert is_reserved(path, RESERVED) == is_refused(path)


@pytest.mark.parametrize("path", RESERVED)
def test_everything_on_the_list_is_refused_by_the_gateway(path: str) -> None:
    assert is_refused(path.replace("*", "orders"))
    assert is_refused(path.removesuffix("/*"))


@pytest.mark.parametrize("gateway_type", ADAPTER.types)
def test_every_mode_has_the_list(gateway_type: str) -> None:
    assert info_for(gateway_type).reserved == RESERVED


def test_a_path_that_only_begins_alike_is_free() -> None:
    free = ("/", "/administration", "/health/x", "/ready/live", "/x/admin", "/HEALTH")
    assert not [path for path in free if is_reserved(path, RESERVED)]
