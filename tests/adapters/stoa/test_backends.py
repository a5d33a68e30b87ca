"""Several backends and credentials of all types: to our data plane itself, and back."""

from __future__ import annotations

import json
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.foundation.address_guard import AddressGuard

from stoa_gitops.adapters.stoa import mappers
from stoa_gitops.adapters.stoa.data_plane import data_plane_losses
from stoa_gitops.adapters.stoa.routes import routes_of
from stoa_gitops.adapters.stoa.rules import EXTENDED, PLAIN, capabilities_of, missing_for
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Spec, canonical_duration
from stoa_gitops.model.keys import API
from stoa_gitops.model.secret import Secret
from tests.adapters.stoa.specs import OWNER, spec_of, texts
from tests.adapters.stoa.test_mapping import BILLING, api, held, sent
from tests.laws import examples
from tests.pki import Authority

EVERYWHERE = AddressGuard([ip_network("0.0.0.0/0"), ip_network("::/0")])
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=9)
secrets = printable.map(Secret)
durations = st.integers(100, 60_000).map(lambda ms: canonical_duration(f"{ms}ms"))
checks = st.fixed_dictionaries(
    {"passive": st.fixed_dictionaries({"failures": st.integers(0, 9), "ejectFor": durations})},
    optional={
        "active": st.fixed_dictionaries(
            {
                "path": st.sampled_from(["/", "/up", "/up?full=1"]),
                "interval": durations,
                "timeout": durations,
                "healthyThreshold": st.integers(1, 9),
                "unhealthyThreshold": st.integers(1, 9),
                "statuses": st.lists(
                    st.integers(200, 599), min_size=1, max_size=3, unique=True
                ).map(sorted),
            }
        )
    },
)
auths = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("basic"),
            "username": printable.map(lambda text: Secret(text.replace(":", "."))),
            "password": texts.map(Secret),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("oauth2_client_credentials"),
            "tokenUrl": st.sampled_from(["https://id.example/token", "http://id:8080/t"]),
            "clientId": printable,
            "clientSecret": secrets,
            "scopes": st.lists(
                st.sampled_from(["a", "b:c", "https://x/y"]), unique=True, max_size=3
            ).map(sorted),
        }
    ),
    st.fixed_dictionaries({"in": st.just("header"), "name": st.just("X-Key"), "value": secrets}),
)


_FOLDER = tempfile.TemporaryDirectory()
AUTHORITY = Authority(Path(_FOLDER.name))
CLIENTS = [AUTHORITY.issue(name) for name in ("one", "two")]
identities = st.one_of(
    st.fixed_dictionaries(
        {
            "certificate": st.just(Secret(client.certificate)),
            "key": st.just(Secret(client.key)),
        },
        optional={"ca": st.just(Secret(AUTHORITY.pem)), "serverName": st.just("a.test")},
    )
    for client in CLIENTS
) | st.fixed_dictionaries({"ca": st.just(Secret(AUTHORITY.pem)), "serverName": st.just("b.test")})


@st.composite
def backends(draw: st.DrawFn) -> dict[str, Any]:
    hosts = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True))
    urls = sorted(f"https://{host}.example/v1" for host in hosts)
    targets = [{"url": url, "weight": draw(st.integers(0, 1000))} for url in urls]
    targets[-1]["weight"] = max(1, targets[-1]["weight"])
    for target in targets:
        target |= draw(st.fixed_dictionaries({}, optional={"tls": identities}))
    found: dict[str, Any] = {
        "url": urls[0], "timeout": "30s", "retries": 0, "targets": targets,
        "loadBalancing": draw(
            st.sampled_from(["weighted", "round_robin", "least_connections", "random"])
        ),
    }  # fmt: skip
    found |= draw(st.fixed_dictionaries({}, optional={"healthCheck": checks, "auth": auths}))
    return found


def as_listed(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The routes as the data plane itself takes and lists them."""
    views = []
    for body in routes_of(spec_of(BILLING, value), "acme", EXTENDED):
        _, view = parse_route(Body(sent(body)), EVERYWHERE, Scope(None))
        views.append(json.loads(json.dumps(view)))
    return views


@examples(300)
@given(backends())
def test_backends_come_back_from_the_data_plane_as_they_went(backend: dict[str, Any]) -> None:
    value = api(backend=backend)
    assert data_plane_losses(API, value) == ()
    assert missing_for(value, EXTENDED) is None
    (item,) = mappers.apis_from(as_listed(value), OWNER, EXTENDED)
    assert Spec.of(item["spec"]) == held(value, BILLING, EXTENDED)
    assert item["managed"]


@examples(100)
@given(backends(), st.integers(0, 3), st.integers(0, 1000))
def test_a_weight_that_somebody_moved_shows(
    backend: dict[str, Any], number: int, weight: int
) -> None:
    value = api(backend=backend)
    views = as_listed(value)
    target = views[0]["upstreams"][number % len(views[0]["upstreams"])]
    is_other, target["weight"] = target["weight"] != weight, weight
    (item,) = mappers.apis_from(views, OWNER, EXTENDED)
    assert (Spec.of(item["spec"]) != held(value, BILLING, EXTENDED)) is is_other


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "basic", "username": Secret("u"), "password": None},
        {
            "type": "oauth2_client_credentials", "tokenUrl": "https://id.example/t",
            "clientId": "c", "clientSecret": None, "scopes": [],
        },
    ],
)  # fmt: skip
def test_a_credential_that_leads_nowhere_is_null_with_a_fallback_and_an_error_without(
    auth: dict[str, Any],
) -> None:
    backend = {"url": "https://b.example", "timeout": "30s", "retries": 0, "auth": auth}
    with pytest.raises(SecretUnresolved, match=auth["type"]):
        routes_of(spec_of(BILLING, api(backend=backend)), "acme", EXTENDED)
    value = api(backend={**backend, "fallback": "builtin:echo"})
    views = as_listed(value)
    assert [view["backend_auth"]["value_set"] for view in views] == [False] * len(views)
    (item,) = mappers.apis_from(views, OWNER, EXTENDED)
    # What is desired is a reference, which a secret stands for here.
    full = {name: Secret("s") if part is None else part for name, part in auth.items()}
    value["backend"]["auth"] = full
    assert Spec.of(item["spec"]) == held(value, BILLING, EXTENDED)


def test_a_rotated_secret_shows_by_its_fingerprint() -> None:
    def listed(password: str) -> list[dict[str, Any]]:
        auth = {"type": "basic", "username": Secret("u"), "password": Secret(password)}
        backend = {"url": "https://b.example", "timeout": "30s", "retries": 0, "auth": auth}
        return as_listed(api(backend=backend))

    views = [
        {**view, "backend_auth": other["backend_auth"]}
        for view, other in zip(listed("one"), listed("two"), strict=True)
    ]
    (item,) = mappers.apis_from(views, OWNER, EXTENDED)
    assert "auth" not in item["spec"]["backend"]


@examples(100)
@given(backends(), identities)
def test_tls_that_somebody_replaced_or_took_away_shows(
    backend: dict[str, Any], other: dict[str, Any]
) -> None:
    value = api(backend=backend)
    target = backend["targets"][0]
    views = as_listed(value)
    changed = as_listed(
        api(backend={**backend, "targets": [{**target, "weight": 1, "tls": other}]})
    )
    views[0]["upstreams"][0]["tls"] = changed[0]["upstreams"][0]["tls"]
    (item,) = mappers.apis_from(views[:1], OWNER, EXTENDED)
    seen = item["spec"]["backend"]["targets"][0].get("tls")
    if "tls" not in target:
        return
    written, put = (
        {name: part for name, part in tls.items() if isinstance(part, Secret)}
        for tls in (target["tls"], other)
    )
    if written == put:
        assert seen.get("serverName") == other.get("serverName")
        assert seen.keys() == other.keys()
    else:
        assert seen is None, "it holds what was not written"


@pytest.mark.parametrize("is_several", [False, True])
def test_tls_that_leads_nowhere_is_null_with_a_fallback_and_an_error_without(
    is_several: bool,
) -> None:
    url = "https://b.example"
    tls = {"certificate": Secret(CLIENTS[0].certificate), "key": None}
    backend: dict[str, Any] = {"url": url, "timeout": "30s", "retries": 0}
    if is_several:
        backend |= {"targets": [{"url": url, "weight": 1, "tls": tls}],
                    "loadBalancing": "weighted"}  # fmt: skip
    else:
        backend["tls"] = tls
    with pytest.raises(SecretUnresolved, match=r"the key of the TLS to https://b\.example"):
        routes_of(spec_of(BILLING, api(backend=backend)), "acme", EXTENDED)
    value = api(backend={**backend, "fallback": "builtin:echo"})
    (item,) = mappers.apis_from(as_listed(value), OWNER, EXTENDED)
    tls["key"] = Secret("s")
    assert Spec.of(item["spec"]) == held(value, BILLING, EXTENDED)


@pytest.mark.parametrize("client", [0, 1])
def test_one_backend_has_its_tls_beside_its_url(client: int) -> None:
    tls = {
        "certificate": Secret(CLIENTS[client].certificate), "key": Secret(CLIENTS[client].key),
        "serverName": "orders.internal",
    }  # fmt: skip
    backend = {"url": "https://b.example", "timeout": "30s", "retries": 0, "tls": tls}
    value = api(backend=backend)
    views = as_listed(value)
    (item,) = mappers.apis_from(views, OWNER, EXTENDED)
    assert Spec.of(item["spec"]) == held(value, BILLING, EXTENDED)
    assert CLIENTS[client].key.splitlines()[1] not in json.dumps(views)
    # After a restart the gateway has it no more, which shows as drift.
    for view in views:
        view["backend_tls"] = {**view["backend_tls"], "value_set": False}
    (item,) = mappers.apis_from(views, OWNER, EXTENDED)
    assert "tls" not in item["spec"]["backend"]


@pytest.mark.parametrize(
    ("backend", "word"),
    [
        ({"tls": {"serverName": "a"}}, "no certificate of a document"),
        ({"targets": [{"url": "https://b", "weight": 1}]}, "the first alone"),
        ({"healthCheck": {"passive": {}}}, "health_check:passive"),
        ({"auth": {"type": "basic", "username": None, "password": None}}, "backend_auth:basic"),
        ({"auth": {"type": "oauth2_client_credentials"}}, "beside what the client sends"),
    ],
)
def test_what_the_real_gateway_lacks_is_said_with_a_reason(
    backend: dict[str, Any], word: str
) -> None:
    value = api(backend={"url": "https://b", "timeout": "30s", "retries": 0, **backend})
    assert word in str(missing_for(value, PLAIN))
    assert all(
        not capabilities_of(PLAIN)[name].supported and capabilities_of(EXTENDED)[name].supported
        for name in ("backends", "health_check:active", "backend_auth:oauth2_client_credentials")
    )


@pytest.mark.parametrize(
    ("check", "at"),
    [
        ({"active": {"interval": "99ms", "timeout": "1s"}}, ("active", "interval")),
        ({"active": {"interval": "2d", "timeout": "1s"}}, ("active", "interval")),
        ({"active": {"interval": "1s", "timeout": "61s"}}, ("active", "timeout")),
        ({"passive": {"failures": 1, "ejectFor": "2d"}}, ("passive", "ejectFor")),
    ],
)
def test_a_check_beyond_the_bounds_of_the_data_plane_is_said_at_its_place(
    check: dict[str, Any], at: tuple[str, str]
) -> None:
    backend = {
        "url": "https://b", "timeout": "30s", "retries": 0, "loadBalancing": "weighted",
        "targets": [{"url": "https://b", "weight": 1}], "healthCheck": check,
    }  # fmt: skip
    (loss,) = data_plane_losses(API, api(backend=backend))
    assert loss.at == ("backend", "healthCheck", *at)
