"""Which routes lie in places of other tenants, as far as a catalog shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id
from stoa_gitops.model.catalog import CONTESTED, Catalog
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.keys import Key
from stoa_gitops.operations.validate import catalog_reader
from tests.unit.catalog.conftest import HEAD

GATEWAY = HEAD + (
    "kind: GatewayInstance\nmetadata: {name: main}\n"
    "spec: {gatewayType: stoa, environment: dev, baseUrl: 'http://gateway.example'}\n"
)
EVIL = Key("api", "evil", "x")
SHOP = Key("api", "shop", "search")


def api(name: str, *routes: str, gateways: str = "") -> str:
    lines = "".join(f"    - {route}\n" for route in routes)
    return HEAD + (
        f"kind: API\nmetadata: {{name: {name}}}\nspec:\n  version: '1'\n"
        f"  backend: {{url: 'https://b.example'}}\n{gateways}  routes:\n{lines}"
    )


def files(shop: str, evil: str, **more: str) -> dict[str, str]:
    return {
        "gateways/main.yaml": GATEWAY,
        "tenants/shop/tenant.yaml": HEAD + "kind: Tenant\nmetadata: {name: shop}\n",
        "tenants/evil/tenant.yaml": HEAD + "kind: Tenant\nmetadata: {name: evil}\n",
        "tenants/shop/apis/search/api.yaml": shop,
        "tenants/evil/apis/x/api.yaml": evil,
        **{name.replace("__", "/") + ".yaml": text for name, text in more.items()},
    }


def grants(text: str) -> str:
    return HEAD + f"kind: Catalog\nmetadata: {{name: own}}\nspec: {{tenants: {text}}}\n"


def held(catalog: Catalog) -> set[str]:
    return {d.source.path.split("/")[1] for d in catalog.diagnostics if d.code == "route.held"}


def contested(catalog: Catalog) -> set[str]:
    return {d.source.path.split("/")[1] for d in catalog.diagnostics if d.code == CONTESTED}


Read = Callable[..., Catalog]


@pytest.mark.parametrize(
    "route", ["{path: /apis/shop/pay}", "{path: /apis/shop}", "{path: /apis/shop/pay/deep}",
              "{path: /apis/shop/pay, hosts: [a.example]}", "{path: /apis/%73hop/pay}"],
)  # fmt: skip
def test_a_route_in_the_own_place_of_another_tenant_is_an_error(read: Read, route: str) -> None:
    """It is at fault whether its name comes first or last, and its tenant alone is broken."""
    if "%" in route:
        route = route.replace("%73", "s")
    catalog = read(files(api("search", "{path: /apis/shop/pay}"), api("x", route)), bare=True)
    assert held(catalog) == {"evil"}
    assert EVIL not in catalog.desired["main"].resources
    assert SHOP in catalog.desired["main"].resources
    assert catalog.broken_tenants == {"evil"}


def test_the_finding_names_both_places(read: Read) -> None:
    texts = files(api("search", "{path: /apis/shop/pay}"), api("x", "{path: /apis/shop/pay/x}"))
    (finding,) = (d for d in read(texts, bare=True).diagnostics if d.code == "route.held")
    assert finding.source.full == "tenants/evil/apis/x/api.yaml:8:14"
    assert finding.message == (
        "/apis/shop/pay/x lies in /apis/shop/, which is shop's, and would receive requests of"
        " shop/search (tenants/shop/apis/search/api.yaml:8:14)"
    )


def test_a_place_is_free_where_its_name_is_no_tenants(read: Read) -> None:
    catalog = read(files(api("search", "{path: /s}"), api("x", "{path: /apis/v2/x}")), bare=True)
    assert not catalog.diagnostics


@pytest.mark.parametrize("evil", ["/search", "/search/deep"])
def test_what_is_granted_belongs_to_nobody_else(read: Read, evil: str) -> None:
    texts = files(api("search", "{path: /s}"), api("x", f"{{path: {evil}}}"))
    texts["catalog.yaml"] = grants("{shop: {paths: [/search]}}")
    catalog = read(texts, bare=True)
    assert held(catalog) == {"evil"}
    (finding,) = (d for d in catalog.diagnostics if d.code == "route.held")
    assert "(catalog.yaml:4:" in finding.message


def test_the_most_exact_place_counts(read: Read) -> None:
    texts = files(api("search", "{path: /apis/shop/a}"), api("x", "{path: /apis/shop/b/c}"))
    texts["catalog.yaml"] = grants("{evil: {paths: [/apis/shop/b]}, shop: {paths: [/]}}")
    assert not read(texts, bare=True).diagnostics
    texts["tenants/shop/apis/search/api.yaml"] = api("search", "{path: /apis/shop/b}")
    assert held(read(texts, bare=True)) == {"shop"}


@pytest.mark.parametrize("host", ["shop.example", "a.shop.example", "*.b.shop.example"])
def test_a_host_that_is_granted_is_named_by_nobody_else(read: Read, host: str) -> None:
    route = f"{{path: /x, hosts: ['{host}']}}"
    texts = files(api("search", route), api("x", route.replace("/x", "/y")))
    texts["catalog.yaml"] = grants("{shop: {hosts: [shop.example, '*.shop.example']}}")
    assert held(read(texts, bare=True)) == {"evil"}


def test_two_tenants_that_claim_the_same_are_both_told_and_neither_is_broken(read: Read) -> None:
    """Who is there already is not in the catalog, so the plan decides."""
    for route in ("{path: /search}", "{path: /search/deep}", "{path: /search, hosts: [a.example]}"):
        catalog = read(files(api("search", "{path: /search}"), api("x", route)), bare=True)
        assert contested(catalog) == {"shop", "evil"}
        assert catalog.errors
        assert not catalog.blocking_errors
        assert not catalog.broken_tenants
        assert {SHOP, EVIL} <= catalog.desired["main"].resources.keys()


def test_what_takes_nothing_is_not_told(read: Read) -> None:
    for route in (
        "{path: /searching}",
        "{path: /search, methods: [POST], hosts: [a.example]}",
        "{path: /search/x, hosts: [b.example]}",
    ):
        shop = api("search", "{path: /search, methods: [GET], hosts: [a.example]}")
        assert not read(files(shop, api("x", route)), bare=True).diagnostics, route


def test_consent_is_a_field_of_the_holders_route(read: Read) -> None:
    for name in ("evil", "evil/x", "'*'"):
        for path in ("/search", "/apis/shop/search"):
            shop = api("search", f"{{path: {path}, delegates: [{name}]}}")
            texts = files(shop, api("x", f"{{path: {path}/deep}}"))
            assert not read(texts, bare=True).diagnostics
            other = shop.replace(f"[{name}]", "[evil/y]")
            assert read({**texts, "tenants/shop/apis/search/api.yaml": other}, bare=True).errors


def test_only_gateways_that_have_both_count(read: Read) -> None:
    second = GATEWAY.replace("name: main", "name: second").replace("gateway.ex", "second.ex")
    texts = files(
        api("search", "{path: /search}", gateways="  gateways: [main]\n"),
        api("x", "{path: /search}", gateways="  gateways: [second]\n"),
        gateways__second=second,
    )
    assert not read(texts, bare=True).diagnostics


def test_one_tenants_own_routes_collide_as_ever(read: Read) -> None:
    texts = files(api("search", "{path: /search}"), api("x", "{path: /x}"))
    texts["tenants/shop/apis/two/api.yaml"] = api("two", "{path: /search}")
    assert [d.code for d in read(texts, bare=True).errors] == ["route.collision"]
    texts["tenants/shop/apis/two/api.yaml"] = api("two", "{path: /search/deep}")
    assert not read(texts, bare=True).diagnostics


def test_an_edit_of_one_tenant_updates_what_the_other_is_told(write: Callable[..., Path]) -> None:
    """Consent that comes and goes, a tenant that appears, a route that goes away."""
    root = write(
        files(api("search", "{path: /apis/shop/a}"), api("x", "{path: /apis/shop/a/x}")), bare=True
    )
    reader, source = Reader(), FolderSource(root)

    def codes(path: str, text: str | None) -> list[str]:
        file = root / path
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return [d.code for d in reader.read(source.snapshot()).diagnostics]

    shop, evil = "tenants/shop/apis/search/api.yaml", "tenants/evil/apis/x/api.yaml"
    plain = (root / shop).read_text()
    assert codes(shop, plain) == ["route.held"]
    assert codes(shop, plain.replace("shop/a}", "shop/a, delegates: [evil]}")) == []
    assert codes(shop, plain) == ["route.held"]
    assert codes(evil, api("x", "{path: /apis/late/x}")) == []
    late = "tenants/late/tenant.yaml"
    assert codes(late, HEAD + "kind: Tenant\nmetadata: {name: late}\n") == ["route.held"]
    assert codes(late, None) == []
    assert codes(evil, api("x", "{path: /s}")) == []
    assert codes(shop, api("search", "{path: /s/t}")) == [CONTESTED, CONTESTED]
    assert codes(evil, api("x", "{path: /t}")) == []


def test_a_catalog_document_that_cannot_be_read_makes_nobody_guilty(read: Read) -> None:
    texts = files(api("search", "{path: /apis/shop/a}"), api("x", "{path: /apis/shop/a/x}"))
    texts["catalog.yaml"] = "kind: [\n"
    found = {d.code for d in read(texts, bare=True).diagnostics if d.severity is Severity.ERROR}
    assert "route.held" not in found


KONG = GATEWAY.replace("gatewayType: stoa", "gatewayType: kong")
CORS = "  policies:\n  - {type: cors, config: {origins: ['https://a.example']}}\n"


def read_kong(write: Callable[..., Path], documents: dict[str, str]) -> Catalog:
    root = write({**documents, "gateways/main.yaml": KONG}, bare=True)
    return catalog_reader().read(FolderSource(root).snapshot())


@pytest.mark.parametrize("policies", ["", CORS])
def test_options_that_cors_adds_to_a_route_are_contested_like_others(
    policies: str, write: Callable[..., Path]
) -> None:
    shop = api("search", "{path: /search, methods: [OPTIONS]}")
    evil = api("x", "{path: /search, methods: [GET]}", gateways=policies)
    found = read_kong(write, files(shop, evil))
    assert contested(found) == ({"shop", "evil"} if policies else set())


@pytest.mark.parametrize(
    ("other", "policies", "collides"),
    [
        ("OPTIONS", "", False),
        ("OPTIONS", CORS, True),
        # Whichever of the two answers a preflight, it is the tenant's own answer.
        ("POST", CORS, False),
    ],
)
@pytest.mark.parametrize("names", ["ab", "ba"])
def test_options_that_cors_adds_collide_with_a_route_of_the_tenant_that_names_them(
    other: str, policies: str, collides: bool, names: str, write: Callable[..., Path]
) -> None:
    first, second = names
    documents = files(
        api("search", "{path: /other}"), api("x", "{path: /apis/evil/other}"),
        **{f"tenants__shop__apis__{first}__api": api(
            first, "{path: /s, methods: [GET]}", gateways=policies),
           f"tenants__shop__apis__{second}__api": api(
            second, f"{{path: /s, methods: [{other}]}}", gateways=CORS if other == "POST" else "")},
    )  # fmt: skip
    found = [
        d.source.path
        for d in read_kong(write, documents).diagnostics
        if d.code == "route.collision"
    ]
    assert found == (["tenants/shop/apis/b/api.yaml"] if collides else [])


GRAVITEE = GATEWAY.replace("gatewayType: stoa", "gatewayType: gravitee")


@given(
    st.sampled_from(["a", "z"]), st.sampled_from(["a", "b-c", "c", "zz"]),
    st.sampled_from(["/", "/s", "/s/t", "/s/t/u", "/apis/a-b", "/o"]),
)  # fmt: skip
def test_no_commit_of_a_tenant_breaks_what_another_has_where_names_and_paths_are_shared(
    tenant: str, name: str, path: str
) -> None:
    """`name.collision` and `route.nested` of two tenants: a plan decides, not what sorts first."""

    def read(documents: dict[str, str]) -> Catalog:
        data = {name: text.encode() for name, text in documents.items()}
        tree = FolderTree({name: blob_id(text) for name, text in data.items()}, data, ())
        return Reader(gateway_types=gateway_types()).read(tree)

    own = {
        "gateways/main.yaml": GRAVITEE,
        **{f"tenants/{t}/tenant.yaml": HEAD + f"kind: Tenant\nmetadata: {{name: {t}}}\n"
           for t in {"a-b", tenant}},
        "tenants/a-b/apis/c/api.yaml": api("c", "{path: /s/t}"),
    }  # fmt: skip
    alone = read(own)
    both = read({**own, f"tenants/{tenant}/apis/{name}/api.yaml": api(name, f"{{path: {path}}}")})
    key = Key("api", "a-b", "c")
    assert both.desired["main"].resources[key] == alone.desired["main"].resources[key]
    assert "a-b" not in both.broken_tenants
    assert not both.is_all_broken


def test_paths_of_two_tenants_one_below_the_other_are_told_to_both(read: Read) -> None:
    documents = files(api("search", "{path: /s/t}"), api("x", "{path: /s}"))
    found = read({**documents, "gateways/main.yaml": GRAVITEE})
    assert contested(found) == {"shop", "evil"}
    messages = [d.message for d in found.diagnostics if d.code == CONTESTED]
    assert all("lie one below the other, which Gravitee refuses" in text for text in messages)
