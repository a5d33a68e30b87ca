"""Whose a variable is, and what an operator's grant changes about that."""

from __future__ import annotations

import pytest

from stoa_gitops.model.grants import Grants, TenantGrants
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.model.secret_rights import SecretRights, inner_tenants, variable_prefix
from stoa_gitops.secrets import SecretPlaces, find_refusal

TENANTS = ("acme", "acme-mobile", "acme-mobile-eu", "shop", "3com", "stoa", "edge")
RIGHTS = SecretRights(
    Grants({"shop": TenantGrants(env=("SHARED_", "ACME_MOBILE_PUBLIC"))}),
    inner_tenants(TENANTS),
    frozenset({"env:EDGE_ADMIN_TOKEN"}),
)


@pytest.mark.parametrize(
    ("tenant", "variable", "may"),
    [
        ("acme", "ACME_KEY", True),
        ("acme", "ACME_", True),
        ("acme", "ACME", False),
        ("acme", "ACMEKEY", False),
        ("acme", "acme_KEY", False),
        ("acme", "Acme_KEY", False),
        ("acme", "SHOP_KEY", False),
        # The longest name of a tenant that fits has it.
        ("acme", "ACME_MOBILE_KEY", False),
        ("acme-mobile", "ACME_MOBILE_KEY", True),
        ("acme-mobile", "ACME_KEY", False),
        ("acme-mobile", "ACME_MOBILE_EU_KEY", False),
        ("acme-mobile-eu", "ACME_MOBILE_EU_KEY", True),
        ("acme", "ACME_MOBILES_KEY", True),
        ("acme", "ACME__MOBILE_KEY", True),
        # No variable begins with a digit.
        ("3com", "_3COM_KEY", True),
        ("3com", "3COM_KEY", False),
        # Grants, and what none can give.
        ("shop", "SHARED_KEY", True),
        ("acme", "SHARED_KEY", False),
        ("shop", "ACME_MOBILE_PUBLIC_KEY", True),
        ("shop", "ACME_MOBILE_KEY", False),
        ("stoa", "STOA_CONTROL_TOKEN", False),
        ("edge", "EDGE_ADMIN_TOKEN", False),
        ("edge", "EDGE_KEY", True),
        ("", "ANYTHING", True),
    ],
)
def test_a_variable_has_one_owner(tenant: str, variable: str, may: bool) -> None:
    assert RIGHTS.of(tenant).may_use_variable(variable) is may
    refusal = find_refusal(SecretRef("env", variable), RIGHTS.of(tenant), SecretPlaces())
    assert (refusal is None) is may


def test_a_grant_never_gives_what_is_the_programs_or_the_operators() -> None:
    greedy = TenantGrants(env=("S", "STOA_", "EDGE_"))
    rights = SecretRights(Grants({"shop": greedy}), operators=RIGHTS.operators).of("shop")
    assert rights.may_use_variable("SOME")
    assert not rights.may_use_variable("STOA_ADMIN_API_TOKEN")
    assert not rights.may_use_variable("EDGE_ADMIN_TOKEN")


def test_a_refusal_says_what_to_write_where() -> None:
    found = find_refusal(SecretRef("env", "DB_PASSWORD"), RIGHTS.of("acme"), SecretPlaces())
    assert found is not None
    assert found.message == "DB_PASSWORD is no variable of the tenant acme"
    assert "name it ACME_…" in found.hint
    assert "catalog.yaml: `spec: {tenants: {acme: {env: [DB_PASSWORD]}}}`" in found.hint


@pytest.mark.parametrize(
    "text", ["hunter2", "pa55_w0rd", "AKIAIOSFODNN7EXAMPLE", "JBSWY3DPEHPK3PXP", "correcthorse"]
)
def test_what_may_be_the_secret_itself_is_not_quoted(text: str) -> None:
    reference = SecretRef("env", text)
    found = find_refusal(reference, RIGHTS.of("acme"), SecretPlaces())
    assert found is not None
    assert text not in f"{found}{reference.shown}"


@pytest.mark.parametrize("text", ["ACME_KEY", "K", "OAUTH2_CLIENT_ID", "S3_KEY", "A_2", "B2B_X509"])
def test_what_is_written_as_a_variable_is_quoted(text: str) -> None:
    assert SecretRef("env", text).shown == f"env:{text}"


def test_what_this_version_does_not_resolve_is_no_tenants() -> None:
    reference = SecretRef("vault", "kv/acme#key")
    assert find_refusal(reference, RIGHTS.of("acme"), SecretPlaces()) is not None
    assert find_refusal(reference, RIGHTS.of(""), SecretPlaces()) is None


def test_prefixes_follow_names() -> None:
    assert variable_prefix("acme-mobile") == "ACME_MOBILE_"
    assert variable_prefix("3com") == "_3COM_"
    assert inner_tenants(("a", "ab", "a-b", "x-y-z", "x-y")) == {"a-b", "x-y-z"}
