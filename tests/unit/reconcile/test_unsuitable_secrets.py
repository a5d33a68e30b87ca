"""Secrets that cannot be sent: said by the plan, without any part of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource, SourceRef
from stoa_gitops.model.secret import Secret
from stoa_gitops.reconcile.cycle import prepare_plan
from stoa_gitops.reconcile.unsuitable_secrets import find_unsuitable
from tests.unit.reconcile.rig import rig
from tests.unit.reconcile.world import BILLING, resource

MOBILE = Key("application", "acme", "mobile")
KEY = {"$secret": "env:ACME_KEY"}
API_KEY = {"credentials": [{"type": "api_key", "key": KEY}]}


def found(spec: dict[str, Any], value: str | None) -> dict[Key, str]:
    resources = {MOBILE: Resource(MOBILE, Spec.of(spec), SourceRef("a.yaml"))}
    secret = None if value is None else Secret(value)
    return find_unsuitable(resources, {"env:ACME_KEY": secret, "env:OTHER": Secret("\r")})


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
    messages = found(spec, value)
    assert set(messages) == ({MOBILE} if said else set())
    if said:
        assert said in messages[MOBILE]
        assert messages[MOBILE].startswith("env:ACME_KEY: the value ")
        assert value not in (None, messages[MOBILE])


async def test_a_plan_skips_what_it_could_not_write(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        one.env = {"ACME_KEY": "a-secret-key\r"}
        secret = {"$secret": "env:ACME_KEY"}
        wanted = resource(spec={"displayName": "B", "backend": {"auth": {"value": secret}}})
        prepared = await prepare_plan(one.session, one.assignment(wanted))
        (skip,) = prepared.plan.skipped
        assert (skip.key, skip.reason, skip.is_failure) == (BILLING, SkipReason.SECRET, True)
        assert "ends with a carriage return (CR)" in skip.message
        assert "a-secret-key" not in repr(prepared.plan)
        one.env = {"ACME_KEY": "a-secret-key"}
        again = await prepare_plan(one.session, one.assignment(wanted))
        assert [change.key for change in again.plan.changes] == [BILLING]
