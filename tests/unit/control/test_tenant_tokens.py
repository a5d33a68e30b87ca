"""A tenant's token reads what is that tenant's, and nothing else."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import httpx
import pytest

from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.auth import Access
from stoa_gitops.control.route import Route
from stoa_gitops.control.tenant_tokens import TenantTokens
from tests.unit.control.conftest import TENANT_TOKENS, TOKEN, Served
from tests.unit.control.test_access import ask, path_of

ACME = {"Authorization": f"Bearer {TENANT_TOKENS['acme']}"}
RIVAL = {"Authorization": f"bearer  {TENANT_TOKENS['rival']}"}


async def get(served: Served, query: str, headers: dict[str, str]) -> httpx.Response:
    return await ask(served, "GET", f"/v1/snapshots{query}", headers)


async def test_a_tenant_sees_its_own_errors_whatever_it_asks(served: Served) -> None:
    for headers, tenant, other in ((ACME, "acme", "rival"), (RIVAL, "rival", "acme")):
        for query in ("", f"?tenant={tenant}", "?api=r9", "?cursor=5"):
            answer = await get(served, query, headers)
            assert answer.status_code == 200, answer.text
            assert {one["tenantId"] for one in answer.json()["items"]} == {tenant}
        answer = await get(served, f"?tenant={other}", headers)
        assert answer.status_code == 403
        assert "items" not in answer.text


async def test_a_tenant_sees_its_own_usage_whatever_it_asks(served: Served) -> None:
    for headers, tenant, other in ((ACME, "acme", "rival"), (RIVAL, "rival", "acme")):
        for query in ("", f"?tenant={tenant}", "?api=r9", "?by=hour"):
            answer = await ask(served, "GET", f"/v1/usage{query}", headers)
            assert {one["tenantId"] for one in answer.json()["items"]} == {tenant}
        answer = await ask(served, "GET", f"/v1/usage?tenant={other}", headers)
        assert answer.status_code == 403
    assert [one.tenant for one in served.operations.usages] == ["acme"] * 4 + ["rival"] * 4


@pytest.mark.parametrize(
    "tenant",
    ["rival", "acme,rival", "*", "", " acme", "ACME", "acme/../rival", "%00acme", "acme\u200b"],
)
async def test_no_spelling_of_another_tenant_shows_it(served: Served, tenant: str) -> None:
    answer = await get(served, f"?tenant={quote(tenant)}", ACME)
    shown = answer.json().get("items", []) if answer.status_code == 200 else []
    assert {one["tenantId"] for one in shown} <= {"acme"}
    if tenant:
        assert answer.status_code in (400, 403)
    answer = await get(served, f"?tenant=acme&tenant={quote(tenant)}", ACME)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "route",
    [one for one in ROUTES if one.access not in (Access.OPEN, Access.OPTIONAL_KEY, Access.TENANT)],
    ids=lambda route: f"{route.method} {route.path}",
)
async def test_everything_else_is_closed_to_it(served: Served, route: Route) -> None:
    before = list(served.operations.asked)
    answer = await ask(served, route.method, path_of(route), ACME)
    assert answer.status_code == (403 if route.access is Access.BEARER else 401)
    assert served.operations.asked == before


async def test_paths_and_methods_that_are_not_there_are_closed_to_it(served: Served) -> None:
    assert (await ask(served, "GET", "/v1/nothing", ACME)).status_code == 403
    assert (await ask(served, "DELETE", "/v1/gateways", ACME)).status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        TENANT_TOKENS["acme"][:-1], TENANT_TOKENS["acme"] + "x",
        hashlib.sha256(TENANT_TOKENS["acme"].encode()).hexdigest(), "acme",
    ],
)  # fmt: skip
async def test_a_wrong_token_is_no_tenants(served: Served, sent: str) -> None:
    answer = await get(served, "", {"Authorization": f"Bearer {sent}"})
    assert answer.status_code == 401
    basic = {"Authorization": f"Basic {TENANT_TOKENS['acme']}"}
    assert (await get(served, "", basic)).status_code == 401
    assert (await get(served, "", {"Authorization": f"Bearer {TOKEN}"})).status_code == 200


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_a_file_has_several_tokens_of_a_tenant_and_comments() -> None:
    lines = (
        f"# ours\n\nacme {digest('a')}  # until May\r\nacme\t{digest('b')}\nrival {digest('c')}\n"
    )
    tokens = TenantTokens.parse("\ufeff" + lines)
    assert [tokens.find(one) for one in (b"a", b"b", b"c", b"d", b"")] == [
        "acme", "acme", "rival", None, None,
    ]  # fmt: skip
    assert digest("a") not in repr(tokens)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acme secret-in-clear", "line 1 is not"),
        (f"acme {digest('a')}\nAcme {digest('b')}", "line 2 is not"),
        (digest("a"), "line 1 is not"),
        (f"acme {digest('a')} {digest('b')}", "line 1 is not"),
        (f"acme {digest('a')}\nrival {digest('a')}", "line 2 has the token of another tenant"),
    ],
)
def test_a_line_that_is_none_is_said_without_what_is_in_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        TenantTokens.parse(text)
    assert "secret-in-clear" not in str(refused.value)
    assert digest("a") not in str(refused.value)
