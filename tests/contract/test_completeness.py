"""No adapter stays untested: each has a rig, and tells people about each capability it lacks."""

from __future__ import annotations

import pytest

from stoa_gitops.adapter_sdk.info import AdapterInfo
from stoa_gitops.adapters.registry import all_infos
from stoa_gitops.model.kinds import EXTENDED_CAPABILITIES
from tests.contract.rigs import ADAPTERS, rigs_of


@pytest.mark.parametrize("info", all_infos(), ids=lambda info: info.name)
def test_every_public_adapter_has_a_rig(info: AdapterInfo) -> None:
    """The template and the gateway in memory are no exceptions."""
    assert rigs_of(info.name), (
        f"adapters/{info.name} is not tested by the contract suite: write"
        f" tests/adapters/{info.name}/rig.py with RIGS (docs/writing-an-adapter.md)"
    )


def test_every_rig_is_one_of_an_adapter() -> None:
    folders = {path.parent.name for path in ADAPTERS.glob("*/rig.py")}
    assert folders == {info.name for info in all_infos()}


@pytest.mark.parametrize("info", all_infos(), ids=lambda info: info.name)
def test_every_adapter_declares_the_capabilities_that_most_gateways_lack(info: AdapterInfo) -> None:
    for name in (*EXTENDED_CAPABILITIES, "archive", "soap"):
        capability = info.capabilities[name]
        assert capability.supported or capability.reason
