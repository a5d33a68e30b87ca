"""Certificates and keys that no gateway could use are named before any call, and never shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.errors import SecretUnsuitable
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef
from stoa_gitops.model.secret import Secret
from stoa_gitops.reconcile.spec_resolver import SpecResolver
from stoa_gitops.reconcile.unsuitable_secrets import find_unsuitable
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from stoa_gitops.secrets.tls_material import find_tls_flaws
from tests.pki import Authority

NOW = datetime.now(UTC)
ORDERS = Key("api", "acme", "orders")
FIELDS = ("certificate", "key", "ca")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def materials(authority: Authority) -> dict[str, str]:
    one, other = authority.issue("one"), authority.issue("other")
    locked = authority.issue("locked", password=b"pass")
    return {
        "ONE": one.certificate, "KEY": one.key, "OTHER": other.key, "LOCKED": locked.key,
        "CA": authority.pem, "BOTH": one.certificate + authority.pem,
        "BROKEN": one.certificate.replace("M", "N"), "TEXT": "s3cret",
        "OLD": authority.issue("old", days=(-9, -2)).certificate,
    }  # fmt: skip


def flaws(authority: Authority, now: datetime = NOW, **named: str) -> list[tuple[str, bool]]:
    texts = materials(authority)
    tls = {name: Secret(texts[text]) for name, text in named.items()}
    found = list(find_tls_flaws({"url": "https://a", "tls": tls}, now))
    for flaw in found:
        assert not [text for text in texts.values() if text.splitlines()[-1] in flaw.message]
    return [(flaw.message.removeprefix("backend.tls: the "), flaw.is_partial) for flaw in found]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"certificate": "ONE", "key": "KEY", "ca": "CA"}, []),
        ({"certificate": "BOTH", "key": "KEY"}, []),
        ({"ca": "BOTH"}, []),
        ({"certificate": "TEXT", "key": "KEY"}, ["client certificate (certRef) is no certificate"]),
        ({"certificate": "KEY", "key": "KEY"}, ["client certificate (certRef) is no certificate"]),
        ({"certificate": "BROKEN", "key": "KEY"}, ["client certificate (certRef) is no "]),
        ({"ca": "TEXT"}, ["CA (caRef) is no certificate in PEM"]),
        ({"certificate": "ONE", "key": "TEXT"}, ["key (keyRef) is no private key in PEM"]),
        ({"certificate": "ONE", "key": "ONE"}, ["key (keyRef) is no private key in PEM"]),
        ({"certificate": "ONE", "key": "LOCKED"}, ["key (keyRef) has a pass phrase"]),
        ({"certificate": "ONE", "key": "OTHER"}, ["key (keyRef) is not that of the certificate"]),
    ],
)
def test_what_cannot_be_used_is_named_with_its_field(
    authority: Authority, named: dict[str, str], said: list[str]
) -> None:
    found = flaws(authority, **named)
    assert len(found) == len(said)
    for (message, is_partial), words in zip(found, said, strict=True):
        assert message.startswith(words)
        assert not is_partial


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_what_has_ended_or_not_begun_is_a_warning(authority: Authority, days: int) -> None:
    # Valid from yesterday until tomorrow; the authority for a month both ways.
    now = NOW + timedelta(days=days * 2)
    found = flaws(authority, now, certificate="ONE", key="KEY", ca="CA")
    words = {-1: "client certificate (certRef) begins on", 1: "client certificate (certRef) ended"}
    assert [is_partial for _, is_partial in found] == [True] * (days != 0)
    assert all(message.startswith(words[days]) for message, _ in found)


def test_of_several_issuers_one_that_has_not_ended_is_enough(authority: Authority) -> None:
    texts = materials(authority)
    tls = {"ca": Secret(texts["OLD"] + texts["CA"])}
    assert not list(find_tls_flaws({"tls": tls}, NOW))
    assert [flaw.is_partial for flaw in find_tls_flaws({"tls": {"ca": Secret(texts["OLD"])}}, NOW)]


def api(authority: Authority, **named: str) -> tuple[Resource, SpecResolver, DesiredState]:
    texts = materials(authority)
    tls = {name: {"$secret": f"env:ACME_{name.upper()}"} for name in named}
    env = {f"ACME_{name.upper()}": texts[text] for name, text in named.items()}
    targets: list[Any] = [
        {"url": "https://a.example", "weight": 1, "tls": tls},
        {"url": "https://b.example", "weight": 1},
    ]
    spec = {"backend": {"url": "https://a.example", "targets": targets}}
    resource = Resource(ORDERS, Spec.of(spec), SourceRef("a.yaml"))
    desired = DesiredState("memory", "default", "main@1", {ORDERS: resource})
    secrets = SecretResolver(SecretPlaces(), env)
    return resource, SpecResolver("default", secrets, desired.rights), desired


def test_an_api_whose_key_does_not_fit_is_not_sent(authority: Authority) -> None:
    resource, resolver, desired = api(authority, certificate="ONE", key="OTHER")
    (message,) = find_unsuitable(desired, resolver, None).values()
    wanted = "the TLS to https://a.example: the key (keyRef) is not that of the certificate"
    assert message.startswith(wanted)
    with pytest.raises(SecretUnsuitable, match="keyRef"):
        resolver(resource)


def test_keys_have_lines_and_more_than_a_header_takes(authority: Authority) -> None:
    resource, resolver, desired = api(authority, certificate="BOTH", key="KEY", ca="CA")
    assert not find_unsuitable(desired, resolver, None)
    value: Any = resolver(resource).value
    shown = value["backend"]["targets"][0]["tls"]
    assert {name: shown[name].reveal() != "" for name in FIELDS} == dict.fromkeys(FIELDS, True)


def test_what_is_not_there_is_said_by_the_plan_and_nothing_else(authority: Authority) -> None:
    _, _, desired = api(authority, certificate="ONE", key="OTHER")
    resolver = SpecResolver("default", SecretResolver(SecretPlaces(), {}), desired.rights)
    assert not find_unsuitable(desired, resolver, None)
