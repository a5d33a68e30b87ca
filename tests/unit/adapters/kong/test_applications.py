"""What an application becomes."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.kong.entities.entity import ApiParts, NodeInfo
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.mappers import compile_application, decompile_application
from stoa_gitops.adapters.kong.mapping.rules import losses, project
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.keys import APPLICATION
from stoa_gitops.model.secret import Secret
from tests.unit.adapters.kong import token_keys
from tests.unit.adapters.kong.specs import (
    BILLING,
    MOBILE,
    NEW,
    OLD,
    OWNER,
    application_of,
    parts_of,
)


def value(**fields: Any) -> dict[str, Any]:
    base = {"displayName": "M", "credentials": [], "subscriptions": [], "identifiers": {}}
    return {**base, **fields}


def trees(sort: str, found: dict[str, Any], *apis: ApiParts) -> list[dict[str, Any]]:
    known = {api.key: api for api in apis}
    entities = compile_application(application_of(found), known, NEW, OWNER)
    return [entity.tree for entity in entities if entity.type == sort]


def api(*plans: dict[str, Any], **policies: Any) -> ApiParts:
    spec = {
        "displayName": "B", "version": "1", "active": True, "routes": [], "plans": list(plans),
        "backend": {"url": "https://b.example", "timeout": "30s", "retries": 0},
    }  # fmt: skip
    return parts_of(spec, policies)


def test_a_consumer_is_called_by_tenant_and_name() -> None:
    (consumer,) = trees("consumers", value())
    assert consumer["username"] == "acme.mobile"
    assert trees("acls", value())[0]["group"] == "acme"


def test_a_subscription_is_a_group() -> None:
    found = [
        {"api": "billing"},
        {"api": "billing", "plan": "gold", "expiresAt": "2027-01-01T00:00:00Z"},
        {"api": "shop/cart"},
    ]
    acls = trees("acls", value(subscriptions=found))
    assert [acl["group"] for acl in acls[1:]] == ["acme.billing", "acme.billing.gold", "shop.cart"]
    assert acls[2]["tags"] == ["stoa-managed-by:default", "stoa-expires:2027-01-01T00:00:00Z"]


def test_a_key_leaves_a_print_of_itself() -> None:
    one, other = (
        trees("keyauth_credentials", value(credentials=[{"type": "api_key", "key": Secret(key)}]))[
            0
        ]
        for key in ("k-1", "k-2")
    )
    assert one["key"] == "k-1"
    assert one["tags"][1].startswith("stoa-print:")
    assert "k-1" not in one["tags"][1]
    assert one["tags"] != other["tags"]
    assert one["id"] == other["id"]


def token_secret(key: str, node: NodeInfo = NEW) -> dict[str, Any]:
    credential = {"type": "jwt", "key": Secret(key), "clientId": Secret("https://id.example")}
    found = application_of(value(credentials=[credential]))
    entities = compile_application(found, {}, node, OWNER)
    (secret,) = (entity.tree for entity in entities if entity.type == "jwt_secrets")
    return secret


@pytest.mark.parametrize("algorithm", sorted(token_keys.PUBLIC))
def test_the_key_of_tokens_tells_their_algorithm(algorithm: str) -> None:
    key = token_keys.PUBLIC[algorithm]
    secret = token_secret(key)
    assert secret["key"] == "https://id.example"
    assert (secret["rsa_public_key"], secret["algorithm"]) == (key, algorithm)
    assert "secret" not in secret


@pytest.mark.parametrize(
    "key",
    [
        token_keys.RSA.strip(),
        "\n" + token_keys.RSA + " \n\n",
        token_keys.RSA.replace("\n", "\r\n"),
        token_keys.RSA.replace("\n", " \n"),
    ],
)
def test_line_ends_and_blanks_after_them_are_no_part_of_a_key(key: str) -> None:
    assert token_secret(key)["algorithm"] == "RS256"


def test_a_compressed_point_is_a_key_too() -> None:
    assert token_secret(token_keys.P256_SHORT)["algorithm"] == "ES256"


@pytest.mark.parametrize("algorithm", ["ES512", "EdDSA"])
def test_an_algorithm_that_came_later_is_refused_before(algorithm: str) -> None:
    with pytest.raises(Inexpressible, match=f"for {algorithm}, which Kong knows from 3.7 on"):
        token_secret(token_keys.PUBLIC[algorithm], OLD)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("a shared secret", "no public key in PEM"),
        (token_keys.CERTIFICATE, "is a certificate"),
        (token_keys.CERTIFICATE + token_keys.P256, "is a certificate"),
        (token_keys.JWK, "is a JSON Web Key"),
        (token_keys.PKCS1, "PKCS #1"),
        (token_keys.RSA_1024, "no algorithm for"),
        (token_keys.SECP256K1, "no algorithm for"),
        (token_keys.X25519, "no algorithm for"),
        (token_keys.P256.replace("BEGIN PUBLIC", "BEGIN PRIVATE"), "is a private key"),
        (token_keys.P256 + token_keys.P384, "no public key in PEM"),
        ("".join(token_keys.P256.splitlines()[1:-1]), "no public key in PEM"),
        (token_keys.P256.replace("MFkw", "MFow"), "and is none"),
        (token_keys.P256.replace("MFkw", "MF!w"), "no public key in PEM"),
        (" " + token_keys.P256, "indented"),
        (token_keys.P256.replace("\n", "\n  "), "indented"),
        (token_keys.P256.replace("\n", ""), "run together"),
        (token_keys.P256.replace("\n", "\n\n", 2), "apart"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", "no public key in PEM"),
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused_without_being_shown(key: str, words: str) -> None:
    with pytest.raises(Inexpressible, match=words) as caught:
        token_secret(key)
    assert key.splitlines()[-1][:12] not in str(caught.value) or "-----" in key


@given(st.sampled_from(sorted(token_keys.PUBLIC)), st.data())
def test_a_key_with_one_other_byte_in_its_frame_is_no_key(algorithm: str, data: Any) -> None:
    lines = token_keys.PUBLIC[algorithm].splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    # The frame: tags, lengths and identifiers before the key's own number.
    at = data.draw(st.integers(0, 11))
    der[at] ^= data.draw(st.integers(1, 255))
    key = "\n".join([lines[0], base64.b64encode(der).decode(), lines[-1]])
    with pytest.raises(Inexpressible):
        token_secret(key)


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        (
            {"type": "basic", "username": Secret("u"), "password": Secret("p")},
            "user name and password",
        ),
        ({"type": "oauth2", "clientId": Secret("u")}, "need a database"),
        ({"type": "jwt", "key": Secret("k")}, "without `clientIdRef`"),
        ({"type": "jwt", "clientId": Secret("k")}, "without `keyRef`"),
        ({"type": "magic"}, "credentials of type magic"),
    ],
)
def test_credentials_that_kong_does_not_know_are_refused(
    credential: dict[str, Any], words: str
) -> None:
    found = losses(APPLICATION, value(credentials=[credential]), None)
    assert [one.is_partial for one in found if words in one.message] == [False]
    with pytest.raises(Inexpressible, match="credential 1"):
        trees("consumers", value(credentials=[credential]))


@pytest.mark.parametrize("found", [None, Secret("")])
@pytest.mark.parametrize("field", ["key", "clientId"])
def test_a_credential_that_leads_nowhere_is_unresolved(field: str, found: Secret | None) -> None:
    credential = {"type": "jwt", "key": Secret("k"), "clientId": Secret("i"), field: found}
    with pytest.raises(SecretUnresolved, match=f"the {field} of credential 1 leads nowhere"):
        trees("jwt_secrets", value(credentials=[credential]))


def test_a_shared_secret_that_is_there_stays_and_is_told() -> None:
    found = application_of(
        value(credentials=[{"type": "jwt", "key": Secret("shared"), "clientId": Secret("i")}])
    )
    entities = compile_application(found, {}, NEW, OWNER, keeps=True)
    parts, left = decompile_application(entities, NEW, OWNER, MOBILE)
    assert "no public key in PEM" in str(left["application"]["credentials.0.key"])
    assert compile_application(parts, {}, NEW, OWNER, keeps=True) == entities


GOLD = {"name": "gold", "perSecond": 10, "perMinute": 100, "perDay": 5000, "burst": 3}
TO_GOLD = value(subscriptions=[{"api": "billing", "plan": "gold"}])


def test_a_plan_limits_its_subscriber() -> None:
    (limit,) = trees("plugins", TO_GOLD, api(GOLD))
    assert limit["config"] == {"second": 10, "minute": 100, "day": 5000}
    assert limit["consumer"] == {"id": MOBILE.identifier(OWNER)}
    assert limit["service"] == {"id": BILLING.identifier(OWNER)}
    assert limit["tags"][1] == "stoa-limit:acme.billing second=10 minute=100 day=5000"
    assert "stoa-limited" in trees("acls", TO_GOLD, api(GOLD))[1]["tags"]


def test_the_apis_own_limits_go_into_the_plans_for_only_those_would_count() -> None:
    rate = {"requests": 60, "window": "1m", "by": "consumer"}
    quota = {"requests": 9000, "period": "month", "by": "consumer"}
    (limit,) = trees("plugins", TO_GOLD, api(GOLD, rate_limit=rate, quota=quota))
    assert limit["config"] == {"second": 10, "minute": 60, "day": 5000, "month": 9000}


def test_a_generous_limit_of_the_api_does_not_raise_the_plans() -> None:
    rate = {"requests": 900, "window": "1m", "by": "consumer"}
    (limit,) = trees("plugins", TO_GOLD, api(GOLD, rate_limit=rate))
    assert limit["config"]["minute"] == 100


def test_two_plans_of_one_api_are_one_limit_with_the_lower_numbers() -> None:
    both = [{"api": "billing", "plan": "gold"}, {"api": "billing", "plan": "slow"}]
    slow = {"name": "slow", "perMinute": 7}
    (limit,) = trees("plugins", value(subscriptions=both), api(GOLD, slow))
    assert limit["config"] == {"second": 7, "minute": 7, "day": 5000}


@pytest.mark.parametrize(
    "apis", [(), (api(),), (api({"name": "gold"}),), (api({"name": "gold", "burst": 3}),)]
)
def test_without_numbers_there_is_no_limit(apis: tuple[ApiParts, ...]) -> None:
    assert trees("plugins", TO_GOLD, *apis) == []
    assert "stoa-limited" not in trees("acls", TO_GOLD, *apis)[1]["tags"]


def test_the_projection_keeps_credentials_withheld_and_subscriptions() -> None:
    credentials = [
        {"type": "api_key", "key": {"$secret": "env:K"}, "username": {"$secret": "env:U"}},
        {"type": "jwt", "key": {"$secret": "env:K"}, "clientId": {"$secret": "env:I"}},
    ]
    hidden = {"$secret": ""}
    assert project(APPLICATION, value(credentials=credentials, owner="o")) == {
        "credentials": [
            {"type": "api_key", "key": hidden},
            {"type": "jwt", "key": hidden, "clientId": hidden},
        ],
        "subscriptions": [],
        "kong": None,
    }


def test_the_order_of_credentials_survives_one_that_is_gone() -> None:
    keys = [{"type": "api_key", "key": Secret(f"k-{n}")} for n in range(5)]
    entities = compile_application(application_of(value(credentials=keys)), {}, NEW, OWNER)
    rest = [entity for entity in entities if entity.tree.get("key") != "k-2"]
    parts, _ = decompile_application(rest, NEW, OWNER, MOBILE)
    found: Any = parts.value["credentials"]
    assert [one["key"].reveal() for one in found] == ["k-0", "k-1", "k-3", "k-4"]


ENDED = {"api": "billing", "expiresAt": "2026-01-01T00:00:00Z", "ended": True}


def test_a_right_that_ended_closes_that_api_to_this_application_alone() -> None:
    """The tenant's group opens all APIs without plans; a plugin of the consumer shuts one."""
    found = value(subscriptions=[ENDED, {"api": "shop"}])
    assert [acl["group"] for acl in trees("acls", found, api(api_key={}))] == ["acme", "acme.shop"]
    (closing,) = trees("plugins", found, api(api_key={}))
    assert closing["name"] == "request-termination"
    assert closing["config"]["status_code"] == 403
    assert closing["consumer"] == {"id": MOBILE.identifier(OWNER)}
    assert closing["service"] == {"id": BILLING.identifier(OWNER)}


def test_a_right_that_ended_is_read_back_and_its_loss_is_drift() -> None:
    found = value(subscriptions=[ENDED])
    known = {BILLING: api(api_key={})}
    written = compile_application(application_of(found), known, NEW, OWNER)
    parts, left = decompile_application(written, NEW, OWNER, MOBILE)
    assert (parts.value["subscriptions"], left) == ([ENDED], {})
    opened = [one for one in written if one.type != "plugins"]
    assert decompile_application(opened, NEW, OWNER, MOBILE)[0].value["subscriptions"] == []
    changed = [
        replace(one, text=one.text.replace(b"403", b"200")) if one.type == "plugins" else one
        for one in written
    ]
    assert decompile_application(changed, NEW, OWNER, MOBILE)[1]


def test_where_nothing_can_close_one_api_none_is_open_by_the_tenant_alone() -> None:
    node = replace(NEW, plugins=NEW.plugins - {"request-termination"})
    found = application_of(value(subscriptions=[ENDED, {"api": "shop"}]))
    entities = compile_application(found, {BILLING: api(api_key={})}, node, OWNER)
    assert [one.tree["group"] for one in entities if one.type == "acls"] == ["acme.shop"]
    parts, left = decompile_application(entities, node, OWNER, MOBILE)
    assert (parts.value["subscriptions"], left) == ([ENDED, {"api": "shop"}], {})
