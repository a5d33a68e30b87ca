"""What commands say where no process runs: from the store, without making one, and safely shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stoa_gitops.cli.main import main
from stoa_gitops.cli.status_source import memory_text
from stoa_gitops.cli.status_text import gateway_text, status_text, table_lines
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood
from stoa_gitops.report.events import moment
from stoa_gitops.report.style import Style
from stoa_gitops.state_folder import last_good_file as last_good
from stoa_gitops.store import CycleEntry, Quarantined, Scope
from stoa_gitops.store.sqlite import BlockingStore
from tests.e2e.catalogs import GATEWAY, CatalogFolder
from tests.unit.reconcile.world import KONG
from tests.unit.store.world import BILLING, CRM, NOW, SCOPE, record

PLACE = SourceRef("tenants/acme/apis/crm/api.yaml", 3, 5)
SCHEMA = Path(__file__).parents[3] / "schemas/output/status.json"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A store in which one gateway took one object and refused another."""
    change = Change(Action.CREATE, BILLING)
    with BlockingStore.open(tmp_path / "state", clock=lambda: NOW) as store:
        message = "schema \x1b[2J violation"
        entry = CycleEntry(
            "me@here",
            "main@1",
            "d" * 64,
            NOW,
            outcomes=(Outcome(change, Status.APPLIED),),
            records=(record(BILLING),),
            quarantined=(Quarantined(CRM, "x", "kong 3.5", message, NOW, source=PLACE),),
        )
        store.record_cycle(SCOPE, entry)
    return tmp_path / "state"


def documents(state: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main([*arguments, "--state", str(state), "--output", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_looking_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = documents(tmp_path / "nothing", capsys, "status")
    assert (code, document["items"]) == (1, [])
    assert main(["gateways", "show", "x", "--state", str(tmp_path / "nothing")]) == 64
    assert not (tmp_path / "nothing").exists()


def test_the_store_gives_the_same_form(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = documents(state, capsys, "status")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert code == 1
    assert [item["name"] for item in document["items"]] == ["kong-prod"]
    _, page = documents(state, capsys, "gateways", "list")
    assert page == {"items": document["items"], "next": None}
    _, shown = documents(state, capsys, "gateways", "show", "kong-prod")
    assert shown["objects"] == 1
    assert shown["quarantined"][0]["key"] == str(CRM)
    assert main(["gateways", "show", "kong-prod", "--state", str(state)]) == 0
    words = f"Quarantined {CRM} (tenants/acme/apis/crm/api.yaml:3:5) since"
    assert words in capsys.readouterr().out
    assert shown["lastCycle"]["actor"] == "me@here"


def test_nothing_is_well_where_nothing_runs(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = documents(state, capsys, "status")
    assert (code, document["well"], document["source"]) == (1, False, "store")
    assert main(["status", "--state", str(state)]) == 1
    assert capsys.readouterr().out.startswith("No process runs here; ")


@pytest.mark.parametrize("command", [["status"], ["gateways", "list"]])
def test_what_the_store_knows_is_said_with_its_age(
    command: list[str], state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command, "--state", str(state)])
    assert re.search(
        r"^kong-prod .* 1 object, changed \d+ \w+ ago;", capsys.readouterr().out, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (400_000, "4 d"), (-5, "0 s")],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(seconds: int, words: str) -> None:
    changed = NOW - timedelta(seconds=seconds)
    assert memory_text(2, changed, NOW) == f"2 objects, changed {words} ago"
    assert memory_text(0, None, NOW) == "0 objects, never changed from here"


def test_which_gateways_have_documents_is_known_without_a_process(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = replace(KONG, name="new", suspended=True)
    named = replace(KONG, name=SCOPE.gateway)
    last_good.write_last_good(state, LastKnownGood("default", "main@1", ("acme",), (named, new)))
    other = Scope("default", "gone", "http://gone")
    with BlockingStore.open(state) as store:
        store.record_cycle(other, CycleEntry("me", "main@1", "d", NOW, records=(record(BILLING),)))
    _, document = documents(state, capsys, "status")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    found = {i["name"]: (i["bound"], i["type"], i["suspended"]) for i in document["items"]}
    assert found == {
        "gone": (False, None, False),
        "kong-prod": (True, "memory", False),
        "new": (True, "memory", True),
    }
    _, shown = documents(state, capsys, "gateways", "show", "new")
    assert (shown["bound"], shown["objects"]) == (True, 0)
    assert main(["status", "--state", str(state)]) == 1
    lines = [x for x in capsys.readouterr().out.splitlines() if "no document known here" in x]
    assert [x.split()[0] for x in lines] == ["gone"]


@pytest.mark.parametrize("verb", ["show", "suspend", "resume"])
def test_a_gateway_of_another_catalog_is_refused(
    verb: str, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last_good.write_last_good(
        state, LastKnownGood("default", "main@1", (), (replace(KONG, name="kong-prod"),))
    )
    catalog = CatalogFolder(tmp_path / "catalog")
    arguments = ["gateways", verb, "kong-prod", "--state", str(state), "--catalog"]
    assert main([*arguments, str(catalog.root)]) == 64
    assert "the catalog has no gateway 'kong-prod'; there is: local" in capsys.readouterr().err
    catalog.write("gateways/kong-prod.yaml", GATEWAY.replace("local", "kong-prod"))
    (catalog.root / "gateways/local.yaml").unlink()
    assert main([*arguments, str(catalog.root)]) == 0


def test_an_orphaned_gateway_is_shown_whatever_the_catalog(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = str(CatalogFolder(tmp_path / "catalog").root)
    where = ["--state", str(state), "--catalog", catalog]
    assert main(["gateways", "show", "kong-prod", *where]) == 0


def test_several_catalogs_on_one_gateway_are_forgotten_one_at_a_time(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Scope("another", SCOPE.gateway, SCOPE.base_url)
    with BlockingStore.open(state) as store:
        store.record_cycle(other, CycleEntry("me", "m@1", "d", NOW, records=(record(CRM),)))
    forget = ["gateways", "forget", "kong-prod", "--state", str(state), "--yes"]
    assert main(forget) == 64
    assert "--owner" in capsys.readouterr().err
    assert main([*forget, "--owner", "nobody"]) == 64
    assert main([*forget, "--owner", "another"]) == 0
    with BlockingStore.open(state) as store:
        assert set(store.load_records(SCOPE)) == {BILLING}
        assert store.load_records(other) == {}
        assert store.list_audit(limit=1)[0].action == "forget"


def test_forgetting_without_a_terminal_and_without_yes_is_refused(state: Path) -> None:
    assert main(["gateways", "forget", "kong-prod", "--state", str(state)]) == 64
    with BlockingStore.open(state) as store:
        assert set(store.load_records(SCOPE)) == {BILLING}


def test_words_of_a_gateway_cannot_move_the_cursor(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gateways", "show", "kong-prod", "--state", str(state)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "schema \\u001b[2J violation" in out


def test_a_gateway_without_objects_has_no_empty_note() -> None:
    item = {
        "name": "edge", "type": "stoa", "environment": "dev", "status": "ONLINE", "bound": True,
        "suspended": True, "revision": "main@1", "recap": {"ok": 0, "failed": 0},
    }  # fmt: skip
    assert list(table_lines([item], Style())) == ["edge  ONLINE  stoa, dev  main@1  suspended"]


def test_a_document_that_no_gateway_has_registered_for_says_so_in_its_line() -> None:
    item = {
        "name": "edge", "type": "stoa_proxy", "environment": "dev", "status": "OFFLINE",
        "bound": True, "suspended": False, "revision": None, "recap": None,
        "conditions": [{"type": "Bound", "status": "False", "reason": "NoGateway"}],
    }  # fmt: skip
    assert list(table_lines([item], Style())) == [
        "edge  OFFLINE  stoa_proxy, dev  -  no gateway has registered for it"
    ]


def test_everything_that_is_not_as_it_should_be_is_said() -> None:
    item = {
        "name": "edge", "type": "stoa", "environment": "dev", "status": "OFFLINE", "bound": True,
        "suspended": True, "revision": None, "cycles": 0, "recap": {"ok": 0, "failed": 2},
        "conditions": [
            {"type": "InSync", "status": "False", "reason": "ApplyFailed", "message": "a: b",
             "lastTransition": "2026-05-01T12:00:00.5+00:00"},
            {"type": "Suspended", "status": "True", "reason": "Requested", "message": "by me",
             "lastTransition": "2026-05-01T12:00:00.5+00:00"},
        ],
    }  # fmt: skip
    catalog = {
        "owner": "x",
        "revision": None,
        "errors": 1,
        "warnings": 0,
        "unreadable": "no answer",
    }
    document = {
        "source": "process",
        "version": "1",
        "ready": False,
        "catalog": catalog,
        "items": [item],
    }
    text = status_text(document, Style(), where="http://127.0.0.1:8000")
    assert text.splitlines() == [
        "stoa-gitops 1 at http://127.0.0.1:8000: starting",
        "Catalog not read yet: 1 error, 0 warnings; `stoa-gitops validate` names them",
        "The catalog cannot be read: no answer",
        "",
        "edge  OFFLINE  stoa, dev  -  suspended; failed=2",
        "edge: InSync is False (ApplyFailed): a: b",
        "edge: Suspended is True (Requested): by me",
    ]
    more = gateway_text({**item, "objects": 3, "quarantined": [], "lastCycle": None}, Style())
    assert "Objects of ours: 3" in more
    assert f"InSync is False since {moment('2026-05-01T12:00:00+00:00')} (ApplyFailed)" in more
    registration = {
        "name": "gw-1-edgemcp-dev", "hostname": "gw-1", "mode": "edge-mcp", "version": "0.9.25",
        "tenant": None, "registeredAt": "2026-05-01T12:00:00+00:00",
        "startedAt": "2026-05-01T12:00:00+00:00", "lastBeatAt": "2026-05-01T12:00:30+00:00",
        "routes": 1, "policies": 0, "requests": None, "errorRate": None, "uptime": 30,
        "shared": False, "adminUrl": "http://gw-1:8080",
    }  # fmt: skip
    never = {**item["conditions"][0], "type": "Configurable", "reason": "NeverAsks"}
    registered = {**item, "conditions": [never], "registration": registration}
    shown = gateway_text(
        {**registered, "objects": 1, "quarantined": [], "lastCycle": None}, Style()
    )
    assert "gets nothing" in shown.splitlines()[0]
    assert "host" not in shown.splitlines()[0], "its name says it"
    flapping = {**registration, "hostname": "名前", "registrations": 14}
    (line,) = table_lines([{**registered, "registration": flapping}], Style())
    assert "host 名前" in line
    assert "registered 14 times within 10 min" in line
    assert "Admin API: http://gw-1:8080" in shown
    assert "1 route, 0 policies, up for 30 s" in shown
