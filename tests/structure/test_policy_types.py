"""The data plane enforces each policy type that documents may name, or its adapter says why not."""

from __future__ import annotations

import re

import pytest
from stoa_proxy.policies import POLICIES

from stoa_gitops.adapter_sdk.policy_types import policy_types
from stoa_gitops.adapters.registry import all_infos
from tests.proxy.policies.test_request_and_response_policies import EACH_TYPE
from tests.structure.repository import ROOT

PAGE = (ROOT / "docs" / "data-plane-admin.md").read_text()
CAPABILITIES = (ROOT / "docs" / "capabilities.md").read_text()
# The first column of the table of configs.
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \| `\{", PAGE, re.MULTILINE))


@pytest.mark.parametrize("policy_type", policy_types())
def test_the_data_plane_documents_a_type_or_declares_that_it_has_it_not(policy_type: str) -> None:
    (stoa,) = (info for info in all_infos() if info.name == "stoa")
    capability = stoa.capabilities[f"policy:{policy_type}"]
    # `depends`: the running gateway says whether it is our data plane, which enforces the type.
    assert capability.depends == (policy_type in DOCUMENTED)
    assert capability.depends or (not capability.supported and capability.reason)


@pytest.mark.parametrize("policy_type", policy_types())
def test_people_can_read_what_each_gateway_does_with_a_type(policy_type: str) -> None:
    assert f"policy:{policy_type}" in CAPABILITIES


def test_the_order_of_all_types_is_tested() -> None:
    assert EACH_TYPE.keys() == set(POLICIES.names)


def test_the_page_documents_only_types_that_documents_may_name() -> None:
    assert set(policy_types()) >= DOCUMENTED > {"rate_limit"}
