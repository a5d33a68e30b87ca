"""`try`: one request through the embedded gateway of a process that runs, from the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from tests.children import environment
from tests.e2e.running import command, running

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-the-test"
ORDERS = "/apis/acme/orders/1"


def run(state: Path, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command("try", *arguments, "--state", str(state)),
        env=environment(ACME_MOBILE_KEY=KEY, MY_AUTH="Bearer header-secret"),
        input=data,
        capture_output=True,
        check=False,
    )


def document(done: subprocess.CompletedProcess[bytes]) -> Any:
    assert done.returncode == Exit.OK, done.stderr.decode()
    found = json.loads(done.stdout)
    jsonschema.validate(found, json.loads((ROOT / "schemas/output/trace.json").read_text()))
    return found


async def test_a_request_is_tried_and_explained(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with running(ROOT / "catalog-example", state, ACME_MOBILE_KEY=KEY):
        as_json = ("--output", "json")
        found = document(run(state, "get", ORDERS, "--key-ref", "env:ACME_MOBILE_KEY", *as_json))
        assert found["route"]["name"] == "orders"
        assert found["consumer"]["name"] == "mobile"
        assert (found["answer"]["status"], found["answer"]["source"]) == (200, "echo")
        refused = document(run(state, "GET", ORDERS, "--explain", *as_json))
        assert (refused["sent"], refused["answer"]["status"]) == (False, 401)
        body = run(
            state, "POST", ORDERS, "--data", "@-", "--key-ref", "env:ACME_MOBILE_KEY",
            "--header-ref", "X-Auth-Token: env:MY_AUTH", *as_json, data=b"from stdin",
        )  # fmt: skip
        assert "from stdin" in document(body)["answer"]["body"]
        assert b"header-secret" not in body.stdout
        assert KEY.encode() not in body.stdout
        text = run(state, "GET", ORDERS, "--key-ref", "env:ACME_MOBILE_KEY").stdout.decode()
        assert "caller   mobile (tenant acme)" in text
        assert "answer   200 from the built-in echo" in text
        wrong = run(state, "GET", ORDERS, "--expect", "200")
        assert (wrong.returncode, wrong.stderr) == (Exit.FAILED, b"expected 200, got 401\n")
        assert run(state, "GET", ORDERS, "--expect", "401").returncode == Exit.OK
        odd = run(state, "GET", ORDERS, "--client", "somewhere")
        assert odd.returncode == Exit.USAGE
        assert b"client_address is not an address" in odd.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("GE T", "/a"), "'GE T' is no method of HTTP"),
        (("GET", "a"), "'a' is no path: it begins with /: /a?"),
        (("GET", "http://x/a"), "is no path"),
        (("GET", "/a#b"), "write blanks, # and letters beyond ASCII as %XX"),
        (("GET", "/a", "--header", "Cookie: a=b"), "--header-ref 'Cookie: env:NAME'"),
        (("GET", "/a", "--header", "sk_live_secret"), "--header: write 'NAME: VALUE'"),
        (("GET", "/a", "--key-ref", "hunter2"), "--key-ref: not a secret reference"),
        (("GET", "/a", "--key-ref", "env:NOT_THERE"), "the variable is not set"),
        (("GET", "/a", "--data", "@/not/there"), "/not/there cannot be read"),
        (("GET", "/a", "--expect", "fine"), "'fine' is no status of HTTP"),
    ],
)
def test_what_makes_no_request_is_said_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["try", *arguments]) == Exit.USAGE
    error = capsys.readouterr().err
    assert said in error
    assert "sk_live" not in error


def test_without_a_process_it_says_what_to_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", "GET", "/a", "--state", str(tmp_path)]) == Exit.FAILED
    assert "start `stoa-gitops run` with the same --state" in capsys.readouterr().err
