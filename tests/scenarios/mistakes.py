"""A catalog in which everything depends on everything, and the mistakes that people make in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Files: TypeAlias = dict[str, bytes]
Mistake: TypeAlias = Callable[[Files], object]

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"


UNREADABLE = b"\0unreadable"
"""Stands for the bytes of a file that the system does not let us read."""


def document(kind: str, name: str, spec: str) -> bytes:
    return f"{HEAD}kind: {kind}\nmetadata:\n  name: {name}\nspec:\n{spec}".encode()


CART = "tenants/shop/apis/cart/api.yaml"
LIMIT = "tenants/shop/policies/limit.yaml"
MOBILE = "tenants/shop/applications/mobile.yaml"
TENANT = "tenants/shop/tenant.yaml"
PROD = "environments/prod.yaml"
EDGE = "gateways/edge.yaml"
CATALOG = "catalog.yaml"

GOOD: Files = {
    CATALOG: document("Catalog", "default", "  {}\n"),
    EDGE: document(
        "GatewayInstance",
        "edge",
        "  gatewayType: stoa\n  environment: prod\n  baseUrl: http://edge.example\n",
    ),
    "gateways/spare.yaml": document(
        "GatewayInstance",
        "spare",
        "  gatewayType: stoa\n  environment: prod\n  baseUrl: http://spare.example\n",
    ),
    PROD: document(
        "Environment",
        "prod",
        "  variables: {CART: cart.example}\n"
        "  patches:\n"
        "    - kind: API\n      name: search\n      patch: {spec: {displayName: Found}}\n",
    ),
    TENANT: document("Tenant", "shop", "  gateways: [edge, spare]\n  policies: [headers]\n"),
    "tenants/shop/policies/headers.yaml": document(
        "Policy", "headers", "  type: headers\n  config: {request: {set: {X-Shop: shop}}}\n"
    ),
    LIMIT: document("Policy", "limit", "  type: rate_limit\n  config: {requests: 9, window: 1m}\n"),
    CART: document(
        "API",
        "cart",
        '  version: "1"\n  backend: {url: "https://${CART}"}\n  policies: [limit]\n'
        "  plans: [{name: free, perMinute: 9, tenants: ['*']}, {name: gold, perMinute: 99}]\n",
    ),
    "tenants/shop/apis/cart/openapi.yaml": (
        b"openapi: 3.0.3\ninfo: {title: Cart, version: '1'}\npaths: {}\n"
    ),
    "tenants/shop/apis/search/api.yaml": document(
        "API",
        "search",
        '  version: "1"\n  backend: {url: https://search.example}\n'
        "  plans: [{name: free, perMinute: 9}]\n",
    ),
    "tenants/shop/apis/news/api.yaml": document(
        "API", "news", '  version: "1"\n  backend: {url: https://news.example}\n'
    ),
    MOBILE: document(
        "Application",
        "mobile",
        "  credentials: [{type: api_key, keyRef: {env: SHOP_MOBILE}}]\n"
        "  subscriptions:\n    - {api: cart, plan: gold}\n    - {api: search, plan: free}\n",
    ),
    "tenants/shop/applications/kiosk.yaml": document(
        "Application",
        "kiosk",
        "  credentials: [{type: api_key, keyRef: {env: SHOP_KIOSK}}]\n"
        "  subscriptions:\n    - {api: cart, plan: free}\n",
    ),
    "tenants/guest/tenant.yaml": document("Tenant", "guest", "  {}\n"),
    "tenants/guest/apis/maps/api.yaml": document(
        "API",
        "maps",
        '  version: "1"\n  backend: {url: https://maps.example}\n'
        "  plans: [{name: free, perMinute: 9}]\n",
    ),
    "tenants/guest/applications/only.yaml": document(
        "Application",
        "only",
        "  credentials: [{type: api_key, keyRef: {env: GUEST_ONLY}}]\n"
        "  subscriptions:\n    - {api: shop/cart, plan: free}\n",
    ),
    "tenants/guest/applications/both.yaml": document(
        "Application",
        "both",
        "  credentials: [{type: api_key, keyRef: {env: GUEST_BOTH}}]\n"
        "  subscriptions:\n    - {api: shop/cart, plan: free}\n    - {api: maps, plan: free}\n",
    ),
}
"""Applications of both tenants subscribe to shop/cart; another one in each to something else."""


ONE_OF_EACH = (CATALOG, EDGE, PROD, TENANT, LIMIT, CART, MOBILE)


def replaced(path: str, old: str, new: str) -> Mistake:
    def make(files: Files) -> None:
        assert old.encode() in files[path], (path, old)
        files[path] = files[path].replace(old.encode(), new.encode())

    return make


def becomes(path: str, data: bytes) -> Mistake:
    return lambda files: files.update({path: data})


def deleted(path: str) -> Mistake:
    return lambda files: files.pop(path)


def renamed(path: str, to: str) -> Mistake:
    return lambda files: files.update({to: files.pop(path)})


def _in_each_file(name: str, data: Callable[[bytes], bytes]) -> dict[str, Mistake]:
    return {f"{name}: {path}": becomes(path, data(GOOD[path])) for path in ONE_OF_EACH}


MISTAKES: dict[str, Mistake] = {
    **_in_each_file("a bracket too many", lambda data: data + b"more: [\n"),
    **_in_each_file("an unknown field", lambda data: data + b"nonsense: 1\n"),
    **_in_each_file("no UTF-8", lambda data: data + b"# \xff\xfe\n"),
    **_in_each_file(
        "conflict markers",
        lambda data: b"<<<<<<< HEAD\n" + data + b"=======\n" + data + b">>>>>>> other\n",
    ),
    **_in_each_file("unreadable", lambda _: UNREADABLE),
    **_in_each_file("empty", lambda data: b""),
    **_in_each_file("a wrong kind", lambda data: data.replace(b"kind: ", b"kind: Foo", 1)),
    # Names of applications, gateways and the catalog are their own: another one is a decision.
    "an environment under another name": replaced(PROD, "name: prod", "name: production"),
    "an environment nobody knows": replaced(EDGE, "environment: prod", "environment: prd"),
    "an API in JSON": renamed(CART, CART.replace(".yaml", ".json")),
    "an API folder without its document": deleted(CART),
    "a policy in JSON": renamed(LIMIT, LIMIT.replace(".yaml", ".json")),
    "an application in JSON": renamed(MOBILE, MOBILE.replace(".yaml", ".json")),
    "a tenant in JSON": renamed(TENANT, TENANT.replace(".yaml", ".json")),
    "an environment in JSON": renamed(PROD, PROD.replace(".yaml", ".json")),
    "a gateway in JSON": renamed(EDGE, EDGE.replace(".yaml", ".json")),
    **{
        name: mistake
        for name, mistake in _in_each_file(
            "another name", lambda data: data.replace(b"name: ", b"name: other-", 1)
        ).items()
        if "/applications/" not in name and name.startswith("another name: tenants/")
    },
    **_in_each_file("no name", lambda data: data.replace(b"  name: ", b"  nam: ", 1)),
    **_in_each_file("a tab", lambda data: data.replace(b"  name", b"\tname", 1)),
    **_in_each_file("twice", lambda data: data + b"---\n" + data),
    **_in_each_file("spec is a text", lambda data: data[: data.index(b"spec:")] + b"spec: text\n"),
    "an unknown field of a policy": replaced(LIMIT, "window", "windw"),
    "a wrong type": replaced(LIMIT, "requests: 9", "requests: many"),
    "a value out of range": replaced(LIMIT, "requests: 9", "requests: 0"),
    "an unknown type of policy": replaced(LIMIT, "type: rate_limit", "type: rate_limits"),
    "a policy that is not there": replaced(CART, "[limit]", "[limits]"),
    "a policy that is gone": deleted(LIMIT),
    "a default policy that is gone": deleted("tenants/shop/policies/headers.yaml"),
    "a policy in two files": becomes("tenants/shop/policies/again.yaml", GOOD[LIMIT]),
    "a policy under another name": renamed(LIMIT, "tenants/shop/apis/limit.yaml"),
    "two policies of one type": replaced(CART, "[limit]", "[limit, limit]"),
    "an unset variable": replaced(CART, "${CART}", "${CARD}"),
    "a variable that is gone": replaced(PROD, "CART: cart.example", "CARD: cart.example"),
    "a variable of a wrong type": replaced(PROD, "CART: cart.example", "CART: [1]"),
    "a patch that makes an API wrong": replaced(PROD, "displayName: Found", "displayname: Found"),
    "a patch that changes a name": replaced(
        PROD, "{spec: {displayName: Found}}", "{metadata: {name: found}}"
    ),
    "a backend without a scheme": replaced(CART, "https://", ""),
    "an OpenAPI document that is none": becomes("tenants/shop/apis/cart/openapi.yaml", b"paths: ["),
    "an OpenAPI document that is not there": replaced(
        CART, "  policies", "  openapi: nowhere.yaml\n  policies"
    ),
    "an alias that is not there": replaced(CART, 'url: "https://${CART}"', "alias: ekko"),
    "a gateway that is not there": replaced(CART, "  policies", "  gateways: [edg]\n  policies"),
    "a default gateway that is not there": replaced(TENANT, "[edge, spare]", "[edg, spare]"),
    "a plan that is gone": replaced(CART, ", {name: gold, perMinute: 99}", ""),
    "a plan under another name": replaced(CART, "name: gold", "name: golden"),
    "plans that are gone": replaced(
        "tenants/shop/apis/search/api.yaml", "  plans: [{name: free, perMinute: 9}]\n", ""
    ),
    "a plan that is not there": replaced(MOBILE, "plan: gold", "plan: golden"),
    "an API that is not there": replaced(MOBILE, "api: search", "api: serach"),
    "a subscription twice": replaced(MOBILE, "api: search, plan: free", "api: cart, plan: gold"),
    "an API whose folder has another name": renamed(CART, "tenants/shop/apis/card/api.yaml"),
    "an API in the wrong folder": renamed(CART, "tenants/shop/policies/cart.yaml"),
    "a credential as a value": replaced(MOBILE, "keyRef: {env: SHOP_MOBILE}", "key: abcdefgh12345"),
    "a tenant without a document": deleted(TENANT),
    "a route that another API has": replaced(
        "tenants/shop/apis/search/api.yaml",
        "  plans",
        "  routes: [{path: /apis/shop/cart}]\n  plans",
    ),
    "a gateway without a type": replaced(EDGE, "  gatewayType: stoa\n", ""),
}
