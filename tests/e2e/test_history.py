"""`history`, `audit`, `events`, `state` and `status --watch`: the store on the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.keys import Key
from stoa_gitops.store import AuditEntry, Scope, Store
from stoa_gitops.store.sqlite import SqliteStore
from tests.children import environment
from tests.e2e.running import DEADLINE, command
from tests.unit.store.world import BILLING, CRM, NOW, SCOPE, entry, outcome, record

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas/output"
POLICY = BILLING.policy("rate_limit")


async def fill(store: Store) -> None:
    """Two cycles of one gateway, one of another that failed, and a condition."""
    records = (record(), record(POLICY), record(CRM, protected=True))
    await store.record_cycle(SCOPE, entry(records=records, outcomes=(outcome(),)))
    await store.record_cycle(SCOPE, replace(entry(), revision="main@2"))
    west = Scope("default", "kong-west", "https://west:8001")
    await store.record_cycle(west, entry(error="it does not answer"))
    down = Condition("GatewayReachable", ConditionStatus.FALSE, "Timeout", "no answer", 1, NOW)
    await store.save_conditions("kong-west", [down])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    write(tmp_path / "state", fill)
    return tmp_path / "state"


def write(folder: Path, what: Any) -> None:
    async def work() -> None:
        store = await SqliteStore.open(folder)
        try:
            await what(store)
        finally:
            await store.close()

    asyncio.run(work())


def document(capsys: pytest.CaptureFixture[str], schema: str, *arguments: str) -> Any:
    assert main([*arguments, "--output", "json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return found["items"]


def test_history_is_newest_first(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--state", str(state))
    cycles = document(capsys, "history", "history", *flags)
    assert [cycle["number"] for cycle in cycles] == [3, 2, 1]
    assert cycles[0]["error"] == "it does not answer"
    assert cycles[2]["outcomes"] == {"applied": 1}
    (latest,) = document(capsys, "history", "history", "kong-prod", "--limit", "1", *flags)
    assert latest["revision"] == "main@2"
    assert main(["history", *flags]) == Exit.OK
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith("#3  ")
    assert text[1] == "    it does not answer"
    assert text[2].endswith("main@2  nothing to change  by run")


def test_audit_can_be_narrowed(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--state", str(state))
    (found,) = document(capsys, "audit", "audit", "--gateway", "kong-prod", *flags)
    assert (found["key"], found["action"], found["status"]) == (str(BILLING), "update", "applied")
    old = AuditEntry(NOW - timedelta(days=9_000), "me", "kong-prod", "", "suspend", "applied")
    write(state, lambda store: store.append_audit([old]))
    assert len(document(capsys, "audit", "audit", *flags)) == 2
    assert len(document(capsys, "audit", "audit", "--since", "1h", *flags)) == 1
    assert len(document(capsys, "audit", "audit", "--since", "1990-01-01", *flags)) == 2
    assert main(["audit", *flags]) == Exit.OK
    assert "suspend" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["history", "kong-nord"], "no gateway 'kong-nord' is known; there is: kong-prod"),
        (["history", "--limit", "0"], "--limit: '0' is no number from 1 to 100,000"),
        (["events", "--gateway", "kong-nord"], "no gateway 'kong-nord' is known"),
        (["events", "--limit", "-1"], "--limit"),
        (["audit", "--since", "yesterday"], "--since: 'yesterday' is neither a duration"),
        (["state", "list", "--gateway", "kong-nord"], "no gateway 'kong-nord' is known"),
        (["state", "show", "kong-prod", "api/acme/x"], "nothing is known of api/acme/x"),
        (["state", "show", "kong-prod", "x"], "'x' is not a key"),
        (["state", "forget", "kong-prod", "api/acme/x", "--yes"], "nothing is known of"),
        (["state", "forget", "kong-prod", str(BILLING)], "add --yes"),
        (["status", "--watch", "--every", "1ms"], "--every: '1ms' is no time of 200ms or more"),
    ],
)
def test_what_is_refused_says_why(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*arguments, "--state", str(state)]) == Exit.USAGE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["history", "audit", "events", "state list"])
def test_without_a_store_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([*name.split(), "--state", str(tmp_path / "none")]) == Exit.USAGE
    assert "nothing is known in" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_owned_objects_are_listed_and_shown(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--state", str(state))
    items = document(capsys, "inventory", "state", "list", *flags)
    assert [item["key"] for item in items] == [str(BILLING), str(CRM), str(POLICY)]
    assert items[1]["protected"] is True
    assert document(capsys, "inventory", "state", "list", "--tenant", "other", *flags) == []
    assert main(["state", "list", *flags]) == Exit.OK
    assert "kong-prod  api/acme/crm                    main@1  id-crm  " in capsys.readouterr().out
    assert main(["state", "show", "kong-prod", str(CRM), *flags]) == Exit.OK
    shown = json.loads(capsys.readouterr().out)
    jsonschema.validate(shown, json.loads((SCHEMAS / "owned-object.json").read_text()))
    assert shown["items"][0]["spec"] == {"name": "crm"}


def test_forgetting_an_api_takes_its_policies_along_and_is_audited(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--state", str(state))
    assert main(["state", "forget", "kong-prod", str(BILLING), "--yes", *flags]) == Exit.OK
    assert capsys.readouterr().out == "kong-prod: 2 objects forgotten\n"
    (left,) = document(capsys, "inventory", "state", "list", *flags)
    assert left["key"] == str(CRM)
    trail = document(capsys, "audit", "audit", *flags)
    assert [item["key"] for item in trail if item["action"] == "forget"] == [
        str(POLICY), str(BILLING),
    ]  # fmt: skip


def test_objects_of_several_catalogs_are_forgotten_by_the_owners_name(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Scope("other", "kong-prod", "https://kong:8001")
    write(state, lambda store: store.record_cycle(other, entry(records=(record(),))))
    flags = ("kong-prod", str(BILLING), "--yes", "--state", str(state))
    assert main(["state", "forget", *flags]) == Exit.USAGE
    assert "several catalogs own these there (default, other)" in capsys.readouterr().err
    assert main(["state", "forget", "--owner", "other", *flags]) == Exit.OK
    assert capsys.readouterr().out == "kong-prod: 1 object forgotten\n"
    items = document(capsys, "inventory", "state", "list", "--state", str(state))
    assert {item["owner"] for item in items} == {"default"}


def test_events_are_oldest_first_and_each_is_there_once(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "--output", "jsonl", "--state", str(state)]) == Exit.OK
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    schema = json.loads((SCHEMAS / "event.json").read_text())
    for event in events:
        jsonschema.validate(event, schema)
    assert sorted(event["source"] for event in events) == [
        "audit", "condition", "cycle", "cycle", "cycle",
    ]  # fmt: skip
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    first = [event["source"] for event in events if event["gateway"] == "kong-prod"]
    assert first == ["audit", "cycle", "cycle"]
    revisions = [event["message"][:6] for event in events if event["source"] == "cycle"]
    assert revisions == ["main@1", "main@2", "main@1"]
    assert main(["events", "--gateway", "kong-west", "--state", str(state)]) == Exit.OK
    text = capsys.readouterr().out
    assert "GatewayReachable is False (Timeout): no answer" in text
    assert "kong-prod" not in text


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until SIGINT, after which its exit code is 130."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == Exit.INTERRUPTED
    finally:
        process.kill()
        process.communicate()


def test_events_are_followed_until_ctrl_c(state: Path) -> None:
    flags = ("--limit", "1", "--output", "jsonl", "--state", str(state))
    with following("events", "--follow", *flags) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        write(state, lambda store: store.record_cycle(SCOPE, replace(entry(), revision="main@9")))
        second = json.loads(process.stdout.readline())
    assert first != second
    assert second["message"] == "main@9: nothing to change"


def test_a_status_is_shown_again_when_it_changes(state: Path) -> None:
    flags = ("--output", "json", "--every", "200ms", "--state", str(state))
    with following("status", "--watch", *flags) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        added = Scope("default", "kong-new", "https://new")
        write(state, lambda store: store.record_cycle(added, entry(records=(record(),))))
        second = json.loads(process.stdout.readline())
    names = [{item["name"] for item in one["items"]} for one in (first, second)]
    assert names[1] - names[0] == {"kong-new"}


def test_a_key_of_no_tenant_is_a_key_too(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alias = Key("alias", "", "echo")
    write(state, lambda store: store.record_cycle(SCOPE, entry(records=(record(alias),))))
    assert main(["state", "show", "kong-prod", "alias/-/echo", "--state", str(state)]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["items"][0]["key"] == "alias/-/echo"
