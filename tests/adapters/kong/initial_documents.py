"""What was loaded before a run of recorded exchanges, where the loading itself was not
recorded.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

Document = dict[str, Any]


def recorded_id(name: str) -> str:
    """Ids of the recorded entities: s1, s2 ... services, r1 ... routes, c1 ... consumers."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _services(count: int) -> list[Document]:
    return [
        {
            "id": recorded_id(f"s{n}"),
            "name": f"svc{n}",
            "host": "127.0.0.1",
            "port": 18090,
            "tags": [
                "all",
                "odd" if n % 2 else "even",
                f"t{n}",
                *(["managed:x y"] if n % 50 == 0 else []),
            ],
        }
        for n in range(count)
    ]


def _payload(**sections: list[Document]) -> Document:
    return {"_format_version": "3.0", **sections}


_SERVICE = {"id": recorded_id("s1"), "name": "acme.billing.v1", "host": "127.0.0.1", "port": 18090}
_ROUTE = {
    "id": recorded_id("r1"),
    "name": "r0",
    "paths": ["/acme"],
    "service": {"id": recorded_id("s1")},
}
_CONSUMER = {"id": recorded_id("c1"), "username": "a"}
_TARGET = {
    "id": recorded_id("t1"), "target": "127.0.0.1:18090", "upstream": {"id": recorded_id("u1")}
}  # fmt: skip
_CHECKED = {"passive": {"unhealthy": {"http_failures": 1}}}


def _upstream(**more: Any) -> Document:
    return {"id": recorded_id("u1"), "name": "up1", **more}


def _basic_auth(password: str, **envelope: Any) -> Document:
    credential = {
        "id": "4e1586cb-151b-530e-9d46-10b31324079c", "username": "bu", "password": password,
        "consumer": {"id": recorded_id("c1")},
    }  # fmt: skip
    return {**_payload(consumers=[_CONSUMER], basicauth_credentials=[credential]), **envelope}


_HASH = "e80f30b4dfffb5bcf41153b6593f1d8831cb8808"
_KEYED = _payload(
    services=[{"id": recorded_id("s1"), "name": "s", "host": "127.0.0.1", "port": 18090}],
    routes=[_ROUTE],
    plugins=[
        {"name": "key-auth", "service": "s"},
        {"name": "rate-limiting", "service": "s", "config": {"minute": 3}},
    ],
    consumers=[_CONSUMER],
    keyauth_credentials=[{"consumer": "a", "key": "KEY-PLACEHOLDER"}],
)
_MOCK = {"status_code": 200, "content_type": "application/json", "body": '{"mock":true}'}

INITIAL_DOCUMENTS: dict[str, Document] = {
    "hashed-twice": _basic_auth(_HASH),
    "hash-kept": _basic_auth(_HASH, _transform=False),
    "single-writes": _payload(
        services=[_SERVICE],
        routes=[_ROUTE],
        consumers=[_CONSUMER],
        upstreams=[_upstream()],
        targets=[_TARGET],
    ),
    "many": _payload(
        services=_services(250),
        routes=[{**_ROUTE, "paths": ["/a"]}],
        consumers=[_CONSUMER],
    ),
    "fewer": _payload(services=_services(120)),
    "fewest": _payload(services=_services(50)),
    "health-checks": _payload(upstreams=[_upstream(healthchecks=_CHECKED)], targets=[_TARGET]),
    "nested": _payload(
        services=_services(2),
        routes=[
            {"id": recorded_id(f"r{n}"), "name": f"r{n}", "paths": [f"/{n}"], "service": "svc1"}
            for n in range(30)
        ],
    ),
    "proxy-key": _KEYED,
    "proxy-mock": {**_KEYED, "plugins": [{"name": "request-termination", "config": _MOCK}]},
}

# Single writes that had been made to the Kong with a database: (method, path, body).
INITIAL_WRITES: dict[str, list[tuple[str, str, Document]]] = {
    "postgres": [
        ("POST", "/upstreams", {"name": "up"}),
        *(
            (
                "PUT",
                f"/services/{recorded_id(f'pg{n}')}",
                {"name": f"pg{n}", "host": "h", "tags": ["page"]},
            )
            for n in range(12)
        ),
    ],
    "postgres-nested": [
        ("PUT", f"/services/{recorded_id('z1')}", {"name": "z1", "host": "h"}),
        ("POST", "/services/z1/routes", {"name": "zr", "paths": ["/z"], "tags": ["t1"]}),
    ],
}


def document_with_plugin(plugin: Document) -> str:
    """The payload in which the defaults of a plugin were seen."""
    service = {"id": recorded_id("s1"), "name": "s", "host": "h"}
    whole = {"id": recorded_id("p"), "service": {"id": service["id"]}, **plugin}
    return json.dumps(_payload(services=[service], plugins=[whole]))
