"""A secret that cannot be sent is seen while a plan is made, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.adapters.kong.mapping.rules import losses
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef
from stoa_gitops.reconcile.cycle import prepare_plan
from stoa_gitops.reconcile.spec_resolver import SpecResolver
from stoa_gitops.reconcile.unsuitable_secrets import find_unsuitable
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from tests.unit.adapters.kong.token_keys import RSA
from tests.unit.reconcile.rig import rig

MOBILE = Key("application", "acme", "mobile")


def application(sort: str, **names: str) -> Resource:
    credential = {name: {"$secret": f"env:{variable}"} for name, variable in names.items()}
    spec = {"credentials": [{"type": sort, **credential}], "subscriptions": []}
    return Resource(MOBILE, Spec.of(spec), SourceRef("mobile.yaml"))


def unsuitable(resource: Resource, env: dict[str, str]) -> dict[Key, str]:
    def kong(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
        return losses(kind, spec, None)

    desired = DesiredState("kong", "default", "main@1", {resource.key: resource})
    resolver = SpecResolver("default", SecretResolver(SecretPlaces(), env), desired.rights)
    return find_unsuitable(desired, resolver, kong)


TOKENS = application("jwt", key="ACME_PEM", clientId="ACME_ISSUER")


def test_a_key_of_tokens_that_is_none_is_named_without_its_content() -> None:
    found = unsuitable(TOKENS, {"ACME_PEM": "s3cret", "ACME_ISSUER": "https://i.example"})
    assert "is no public key in PEM" in found[MOBILE]
    assert "s3cret" not in found[MOBILE]


def test_a_public_key_is_none() -> None:
    assert not unsuitable(TOKENS, {"ACME_PEM": RSA, "ACME_ISSUER": "https://i.example"})


def test_where_a_reference_does_not_resolve_nothing_is_known() -> None:
    assert not unsuitable(TOKENS, {"ACME_PEM": "s3cret"})


def test_what_is_lost_whatever_the_secret_is_has_its_own_reason() -> None:
    basic = application("basic", username="ACME_USER", password="ACME_PASSWORD")
    assert not unsuitable(basic, {"ACME_USER": "u", "ACME_PASSWORD": "p"})


KEY = {"$secret": "env:ACME_KEY"}
API_KEY = {"credentials": [{"type": "api_key", "key": KEY}]}


@pytest.mark.parametrize(
    ("spec", "value", "said"),
    [
        (API_KEY, "k-1\r", "ends with a carriage return (CR)"),
        (API_KEY, "\ufeffk-1", "begins with a byte order mark"),
        (API_KEY, "k" * 9_000, "is larger than 8 KiB"),
        (API_KEY, "pin", ""),
        (API_KEY, None, ""),
        ({"credentials": [{"type": "jwt", "key": KEY}]}, "-----BEGIN\nX\n", ""),
        ({"credentials": [{"type": "jwt", "key": KEY}]}, "a\0b", "holds a NUL"),
        ({"credentials": [{"type": "basic", "password": KEY}]}, "pässword", ""),
        ({"backend": {"auth": {"value": KEY}}}, "t\n", "ends with a line feed (LF)"),
        ({"backend": {"auth": {"value": KEY}, "fallback": "echo"}}, "t\n", ""),
    ],
)
def test_the_form_of_a_field_decides_what_is_wrong_with_its_secret(
    spec: dict[str, Any], value: str | None, said: str
) -> None:
    one = Resource(MOBILE, Spec.of(spec), SourceRef("a.yaml"))
    desired = DesiredState("memory", "default", "main@1", {MOBILE: one})
    env = {} if value is None else {"ACME_KEY": value}
    resolver = SpecResolver("default", SecretResolver(SecretPlaces(), env), desired.rights)
    messages = find_unsuitable(desired, resolver, None)
    assert set(messages) == ({MOBILE} if said else set())
    if said:
        assert said in messages[MOBILE]
        assert messages[MOBILE].startswith("env:ACME_KEY: the value ")
        assert value not in (None, messages[MOBILE])


async def test_the_plan_says_so_until_the_secret_can_be_sent(tmp_path: Path) -> None:
    key = application("api_key", key="ACME_KEY")
    async with rig(tmp_path) as one:
        one.env["ACME_KEY"] = "a key\r"
        prepared = await prepare_plan(one.session, one.assignment(key))
        (skip,) = prepared.plan.skipped
        assert skip.reason is SkipReason.SECRET
        assert skip.message.startswith("not sent: env:ACME_KEY: the value ends with")
        assert not prepared.plan.changes
        # The same catalog, gateway and session: only the secret was corrected.
        one.env["ACME_KEY"] = "a-key"
        prepared = await prepare_plan(one.session, one.assignment(key))
        assert [change.key for change in prepared.plan.changes] == [MOBILE]
        assert not prepared.plan.skipped
