from __future__ import annotations

from dataclasses import replace

import pytest

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.grants import UNKNOWN_GRANTS, Grants, TenantGrants
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret_rights import SecretRights
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood, fill_from_last_good
from tests.unit.reconcile.world import KONG, catalog, resource

GOOD = catalog(resource())
FINDING = Diagnostic(Severity.ERROR, "yaml.syntax", "broken", SourceRef("gateways/kong.yaml"))


def broken(**values: object) -> Catalog:
    """A reading in which something that concerns every tenant is broken."""
    return replace(GOOD, is_all_broken=True, diagnostics=(FINDING,), **values)  # type: ignore[arg-type]


def last() -> LastKnownGood:
    found = LastKnownGood.of(GOOD)
    assert found is not None
    return found


def test_a_gateway_whose_document_is_broken_stands_with_what_was_applied_last() -> None:
    found = fill_from_last_good(broken(gateways=(), desired={}), last())
    assert found.gateways == (KONG,)
    assert found.desired["kong"].resources == {}
    assert found.is_all_broken
    assert found.errors == (FINDING,)


def test_grants_that_cannot_be_read_are_those_that_were_read_last() -> None:
    """What was applied with them is live, and an embedded gateway gets it again after a restart."""
    granted = SecretRights(Grants({"acme": TenantGrants(env=("SHARED_",))}))
    mine = replace(last(), secret_rights=granted)
    unknown = SecretRights(UNKNOWN_GRANTS)
    found = fill_from_last_good(broken(secret_rights=unknown), mine)
    assert found.secret_rights == granted
    assert [state.rights for state in found.desired.values()] == [granted]
    assert fill_from_last_good(broken(), mine).secret_rights == GOOD.secret_rights


def test_a_gateway_that_was_removed_from_an_unbroken_catalog_is_gone() -> None:
    read = replace(GOOD, gateways=(), desired={})
    assert fill_from_last_good(read, last()) is read


def test_gateways_that_can_be_read_are_taken_as_they_are_read() -> None:
    changed = replace(KONG, interval=5.0)
    found = fill_from_last_good(broken(gateways=(changed,)), last())
    assert found.gateways == (changed,)


def test_a_reading_that_lost_its_owner_is_not_used_for_objects() -> None:
    mine = replace(last(), owner="platform")
    found = fill_from_last_good(broken(), mine)
    assert found.owner == "platform"
    assert {state.owner for state in found.desired.values()} == {"platform"}
    assert all(not state.resources for state in found.desired.values())
    assert found.errors == (FINDING,)


@pytest.mark.parametrize("owner", ["platform", "default"])
def test_a_catalog_whose_document_is_gone_keeps_its_name_and_what_it_granted(owner: str) -> None:
    granted = SecretRights(Grants({"acme": TenantGrants(env=("SHARED_",))}))
    mine = replace(last(), owner=owner, secret_rights=granted, has_document=True)
    found = fill_from_last_good(GOOD, mine)
    assert (found.owner, found.is_all_broken) == (owner, True)
    assert found.secret_rights == granted
    assert [(state.owner, state.rights) for state in found.desired.values()] == [(owner, granted)]
    assert [error.code for error in found.errors] == ["catalog.no-document"]
    assert f"`metadata: {{name: {owner}}}`" in found.errors[0].hint


def test_a_catalog_without_a_document_is_one_as_long_as_it_never_had_any() -> None:
    assert fill_from_last_good(GOOD, last()) is GOOD
    documented = replace(GOOD, has_document=True)
    renamed = LastKnownGood.of(replace(documented, owner="platform"))
    assert fill_from_last_good(documented, renamed) is documented


def test_a_second_embedded_gateway_does_not_come_back() -> None:
    old = replace(KONG, name="old", base_url="embedded")
    new = replace(KONG, name="new", base_url="embedded")
    read = broken(gateways=(new,), desired={"new": GOOD.desired["kong"]})
    found = fill_from_last_good(read, LastKnownGood("default", "main@0", (), (old,)))
    assert found.gateways == (new,)


def test_only_an_unbroken_catalog_with_gateways_is_kept() -> None:
    assert LastKnownGood.of(broken()) is None
    assert LastKnownGood.of(replace(GOOD, gateways=())) is None


def test_without_anything_to_read_every_gateway_stands_with_what_was_applied_last() -> None:
    found = last().catalog()
    assert (found.gateways, found.is_all_broken) == ((KONG,), True)
    assert all(not state.resources for state in found.desired.values())
