"""Nothing that one tenant commits changes what requests of another tenant's callers meet, or
whether the other's commits are applied.

The catalog is read, planned and applied as ever, by the real code on both sides; what a request
meets is what the data plane's own store and router say. The one exception is written down in
docs/catalog.md: below its own `/apis/<tenant>/` a tenant may take what a shallower route had.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.admin.store import Store
from stoa_proxy.core.match import select_route
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.http.targets import read_target

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.stoa.routes import routes_of
from stoa_gitops.adapters.stoa.rules import EXTENDED
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import API, Key
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.planning import BrokenScope, PlanContext
from tests.laws import examples
from tests.unit.planning.world import NOW, Gateway

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"
PATHS = ("/", "/apis", "/apis/shop", "/apis/shop/a", "/apis/shop/a/b", "/s", "/s/a", "/apis/evil/a")
HOSTS = ((), (), ("shop.test",), ("*.test",), ("evil.test", "*.shop.test"))
REQUESTS = tuple(
    itertools.product(
        ("/", "/x", "/apis", "/apis/shop", "/apis/shop/a", "/apis/shop/a/b/c", "/s", "/s/a/x",
         "/apis/other"),
        ("shop.test", "a.shop.test", "evil.test", "other"),
        ("GET", "POST"),
    )
)  # fmt: skip
TEXTS = (
    "catalog.yaml",
    "gateways/main.yaml",
    "tenants/shop/tenant.yaml",
    "tenants/evil/tenant.yaml",
)

Documents = Mapping[str, str]


def common(granted: list[str]) -> dict[str, str]:
    tenants = f"{{shop: {{paths: {granted}}}}}".replace("'", '"')
    return dict(
        zip(
            TEXTS,
            (
                f"{HEAD}kind: Catalog\nmetadata: {{name: own}}\nspec: {{tenants: {tenants}}}\n",
                (
                    f"{HEAD}kind: GatewayInstance\nmetadata: {{name: main}}\n"
                    "spec: {gatewayType: stoa, environment: dev, baseUrl: embedded}\n"
                ),
                f"{HEAD}kind: Tenant\nmetadata: {{name: shop}}\n",
                f"{HEAD}kind: Tenant\nmetadata: {{name: evil}}\n",
            ),
            strict=True,
        )
    )


def api(tenant: str, name: str, routes: list[dict[str, Any]], *, more: str = "", to: str) -> str:
    lines = "".join(
        f"  - {{path: {r['path']}, hosts: {list(r['hosts'])}, methods: {list(r['methods'])}}}\n"
        for r in routes
    )
    return (
        f"{HEAD}kind: API\nmetadata: {{name: {name}{more}}}\nspec:\n  version: '1'\n"
        f"  backend: {{url: 'https://{tenant}-{name}.example/{to}'}}\n  routes:\n{lines}"
    )


routes = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(PATHS),
            "hosts": st.sampled_from(HOSTS),
            "methods": st.sampled_from(((), (), ("GET",), ("POST",))),
        }
    ),
    min_size=1,
    max_size=2,
)
MOVED = ", annotations: {gostoa.dev/moved-from: api/shop/a}"


def documents(tenant: str, more: st.SearchStrategy[str]) -> st.SearchStrategy[Documents]:
    names = ("a", "b") if tenant == "shop" else ("0", "a", "z")
    texts = [
        st.none() | st.builds(
            lambda routes, more, name=name: (
                more if more == "{" else api(tenant, name, routes, more=more, to="one")
            ),
            routes, more,
        )
        for name in names
    ]  # fmt: skip
    return st.tuples(*texts).map(
        lambda found: {
            f"tenants/{tenant}/apis/{name}/api.yaml": text
            for name, text in zip(names, found, strict=True)
            if text is not None
        }
    )


shops = documents("shop", st.just(""))
evils = documents("evil", st.sampled_from(("", "", "", MOVED, "{")))


class Life:
    """One catalog and the gateway that it is applied to."""

    def __init__(self, granted: list[str]) -> None:
        self.gateway = Gateway()
        self._common = common(granted)
        self._reader: Reader = catalog_reader()

    def commit(self, *parts: Documents) -> Catalog:
        files = dict(self._common)
        for part in parts:
            files.update(part)
        data = {path: text.encode() for path, text in files.items()}
        tree = FolderTree({path: blob_id(text) for path, text in data.items()}, data, ())
        catalog = self._reader.read(tree)
        context = PlanContext(NOW, broken=BrokenScope.of(catalog))
        for _ in range(3):  # what waits for a removal comes in the cycle after it
            self.gateway.cycle(catalog.desired["main"], context, force=True)
        return catalog

    def specs(self, tenant: str) -> dict[Key, Spec]:
        return {key: spec for key, spec in self.gateway.objects.items() if key.tenant == tenant}

    def answers(self) -> dict[tuple[str, str, str], str]:
        """Return the tenant that answers each request."""
        store, guard = Store(), AddressGuard()
        for key, spec in sorted(self.gateway.objects.items()):
            if key.kind == API:
                told = ObjectSpec(key, key.identifier("own"), "own", spec.value)
                for body in routes_of(told, key.tenant, EXTENDED):
                    store.put_route(*parse_route(Body(body), guard, Scope(None)))
        found = {}
        for request in REQUESTS:
            path, host, method = request
            match = store.table.find(host, read_target(path).segments)
            route = select_route(match, method) if match is not None else None
            if route is not None:
                found[request] = route.tenant_id
        return found


@given(shops, evils, evils, st.sampled_from(([], ["/s"], ["/"])))
@examples(100)
def test_callers_of_one_tenant_meet_what_they_met(
    shop: Documents, before: Documents, after: Documents, granted: list[str]
) -> None:
    life = Life(granted)
    life.commit(shop, before)
    was = life.answers()
    life.commit(shop, after)
    now = life.answers()
    lost = {request for request, who in was.items() if who == "shop" != now.get(request)}
    assert not lost


@given(shops, evils, st.data())
@examples(60)
def test_commits_of_one_tenant_are_applied_whatever_the_other_commits(
    shop: Documents, evil: Documents, data: st.DataObject
) -> None:
    """Edits of what is live, removals, and new APIs in the own place."""
    alone, beside = Life([]), Life([])
    for life in (alone, beside):
        life.commit(shop)
    beside.commit(shop, evil)
    edited = {path: text.replace("/one'", "/two'") for path, text in shop.items()}
    for path in data.draw(st.sets(st.sampled_from(sorted(shop)))) if shop else ():
        del edited[path]
    route = {"path": "/apis/shop/new", "hosts": (), "methods": ()}
    edited["tenants/shop/apis/new/api.yaml"] = api("shop", "new", [route], to="two")
    alone.commit(edited)
    beside.commit(edited, evil)
    assert beside.specs("shop") == alone.specs("shop")


def test_a_consent_that_is_taken_back_gives_the_requests_back() -> None:
    def shop(consent: str) -> Documents:
        text = api("shop", "a", [], to="one") + f"  - {{path: /apis/shop/a{consent}}}\n"
        return {"tenants/shop/apis/a/api.yaml": text}

    def taker(*paths: str) -> Documents:
        routes = [{"path": path, "hosts": (), "methods": ()} for path in paths]
        return {"tenants/evil/apis/z/api.yaml": api("evil", "z", routes, to="one")}

    life, asked = Life([]), ("/apis/shop/a/b/c", "other", "GET")
    for paths in (("/apis/shop/a/b",), ("/apis/shop/a/b", "/apis/evil/z")):
        life.commit(shop(", delegates: [evil]"), taker(*paths))
        assert life.answers()[asked] == "evil"
        catalog = life.commit(shop(""), taker(*paths))
        assert life.answers()[asked] == "shop"
        (found,) = [d for d in catalog.diagnostics if d.code == "route.held"]
        assert found.source.path == "tenants/evil/apis/z/api.yaml"
        assert "shop/a" in found.message
        # Who wrote no document that anybody can read keeps nothing by that either.
        life.commit(shop(", delegates: [evil]"), taker(*paths))
        assert life.answers()[asked] == "evil"
        life.commit(shop(""), {"tenants/evil/apis/z/api.yaml": "{"})
        assert life.answers()[asked] == "shop"
