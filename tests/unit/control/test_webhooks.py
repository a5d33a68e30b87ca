"""Deliveries of Git servers: each form of signature, right, wrong and tampered with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.control.webhooks import Deliveries, delivery_id, verification
from stoa_gitops.model.secret import Secret
from tests.unit.control.conftest import NOW, SECRET, Served, serving
from tests.unit.control.test_routes import is_problem

PATH = "/v1/webhooks/git"
BODY = json.dumps({"ref": "refs/heads/main"}).encode()
WRONG = "whsec_d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nd3I="
Sign = Callable[[bytes, str], dict[str, str]]


def github(body: bytes, secret: str) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": "g-1"}


def gitea(body: bytes, secret: str) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Gitea-Signature": digest, "X-Gitea-Delivery": "t-1"}


def gitlab(body: bytes, secret: str) -> dict[str, str]:
    return {"X-Gitlab-Token": secret, "X-Gitlab-Event-UUID": "l-1"}


def signed(body: bytes, secret: str, at: int | None = None) -> dict[str, str]:
    moment = str(int(NOW.timestamp()) if at is None else at)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = b"s-1." + moment.encode() + b"." + body
    digest = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": "s-1", "webhook-timestamp": moment, "webhook-signature": f"v1,{digest}",
    }  # fmt: skip


FORMS = [github, gitea, gitlab, signed]


@pytest.mark.parametrize("sign", FORMS)
async def test_a_right_signature_makes_the_catalog_dirty_once(served: Served, sign: Sign) -> None:
    for expected in ("accepted", "duplicate"):
        answer = await served.client.post(PATH, content=BODY, headers=sign(BODY, SECRET))
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"status": expected}
        assert served.operations.looks == 1


@pytest.mark.parametrize("sign", FORMS)
async def test_a_wrong_secret_is_refused(served: Served, sign: Sign) -> None:
    answer = await served.client.post(PATH, content=BODY, headers=sign(BODY, WRONG))
    is_problem(answer, 401)
    assert served.operations.looks == 0
    assert 'webhooks_total{status="refused"} 1.0' in (await served.get("/metrics")).text


@pytest.mark.parametrize("sign", [github, gitea, signed])
async def test_a_body_that_was_tampered_with_is_refused(served: Served, sign: Sign) -> None:
    answer = await served.client.post(PATH, content=BODY + b" ", headers=sign(BODY, SECRET))
    is_problem(answer, 401)
    assert served.operations.looks == 0


async def test_the_bearer_token_does_not_stand_for_a_signature(served: Served) -> None:
    is_problem(await served.client.post(PATH, content=BODY), 401)
    assert served.operations.looks == 0


async def test_without_a_secret_there_is_no_webhook() -> None:
    async with serving(secret=None) as served:
        answer = await served.client.post(PATH, content=BODY, headers=github(BODY, ""))
        assert "STOA_GIT_WEBHOOK_SECRET" in is_problem(answer, 404)["detail"]


async def test_a_body_is_not_parsed_and_a_large_one_is_hashed_as_it_comes(served: Served) -> None:
    body = b"\x00{[no json" * 500_000
    answer = await served.client.post(PATH, content=body, headers=github(body, SECRET))
    assert answer.status_code == 202


async def test_a_delivery_over_the_bound_is_413(served: Served) -> None:
    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(27):
            yield b"x" * 1024 * 1024

    answer = await served.client.post(PATH, content=endless(), headers=github(b"", SECRET))
    is_problem(answer, 413)
    assert served.operations.looks == 0


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_an_old_or_early_timestamp_is_refused(served: Served, seconds: int) -> None:
    at = int((NOW + timedelta(seconds=seconds)).timestamp())
    answer = await served.client.post(PATH, content=BODY, headers=signed(BODY, SECRET, at))
    is_problem(answer, 401)


def is_right(headers: dict[str, str], secret: str = SECRET, body: bytes = BODY) -> bool:
    check = verification(headers, Secret(secret), NOW)
    if check is None:
        return False
    check.update(body)
    return check.is_right()


def test_a_timestamp_of_another_time_does_not_fit_the_signature() -> None:
    headers = signed(BODY, SECRET) | {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}
    assert not is_right(headers)


def test_one_right_signature_of_several_is_enough_while_a_key_is_rotated() -> None:
    both = signed(BODY, SECRET)
    both["webhook-signature"] = (
        signed(BODY, WRONG)["webhook-signature"] + " " + both["webhook-signature"]
    )
    assert is_right(both)


def test_a_signing_token_that_is_no_key_signs_nothing() -> None:
    assert not is_right(signed(BODY, "whsec_"), "whsec_")
    assert not is_right(signed(BODY, SECRET), "a-plain-secret")


@pytest.mark.parametrize("sign", [github, gitea, signed])
def test_a_wrong_signature_is_not_rescued_by_a_right_token(sign: Sign) -> None:
    assert not is_right({**sign(BODY, WRONG), **gitlab(BODY, SECRET)})


@given(st.text(max_size=80))
def test_no_text_passes_for_a_signature(text: str) -> None:
    for name in ("X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"):
        assert is_right({name: text}) == (name == "X-Gitlab-Token" and text == SECRET)
    moment = str(int(NOW.timestamp()))
    assert not is_right(
        {"webhook-id": "s-1", "webhook-timestamp": moment, "webhook-signature": text}
    )
    assert not is_right(signed(BODY, SECRET) | {"webhook-timestamp": text})


@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_body_in_parts_is_the_same_body(body: bytes, cut: int) -> None:
    for sign in FORMS:
        check = verification(sign(body, SECRET), Secret(SECRET), NOW)
        assert check is not None
        check.update(body[:cut])
        check.update(body[cut:])
        assert check.is_right()


def test_the_last_deliveries_are_known_and_no_more_than_that() -> None:
    deliveries = Deliveries(limit=2)
    assert [deliveries.is_new(i) for i in ("a", "b", "a", "c", "b", "a")] == [
        True, True, False, True, True, True,
    ]  # fmt: skip
    assert deliveries.is_new("")
    assert deliveries.is_new("")


def test_an_id_is_cut_so_that_memory_is_bounded() -> None:
    assert len(delivery_id({"X-GitHub-Delivery": "x" * 5_000})) == 200
