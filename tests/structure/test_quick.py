"""`make quick` finds the tests of every package."""

from __future__ import annotations

import pytest

from tests import quick
from tests.structure.repository import ROOT


@pytest.mark.parametrize("package", quick.packages())
def test_every_package_has_tests_that_are_there(package: str) -> None:
    commands = list(quick.commands(package))
    assert commands, f"give {package} a folder below tests/unit, or an entry in ALSO"
    assert all((ROOT / path).exists() for path in quick.folders_with_tests(package))


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("planning", "planning"),
        ("stoa_gitops.planning", "planning"),
        ("stoa_gitops/catalog/kinds", "catalog/kinds"),
        ("kinds", "catalog/kinds"),
        ("kong", "adapters/kong"),
        ("proxy", "proxy"),
        ("stoa_proxy.policies", "proxy/policies"),
    ],
)
def test_a_package_is_found_by_its_path_or_a_unique_end_of_it(name: str, package: str) -> None:
    assert quick.find_package(name) == package


@pytest.mark.parametrize("name", ["", "planing", "policies"])
def test_an_unknown_or_unclear_name_lists_the_packages(name: str) -> None:
    with pytest.raises(SystemExit, match="the packages are:\n  adapter_sdk\n"):
        quick.find_package(name)


def test_the_tables_name_packages_that_there_are() -> None:
    assert {*quick.PARALLEL, *quick.ALSO, *quick.RIGS} <= set(quick.packages())
