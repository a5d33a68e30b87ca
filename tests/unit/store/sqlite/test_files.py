"""The files of a store: rights, versions, damage, full disks; no traceback, no half write."""

from __future__ import annotations

import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError, StoreTooNew
from stoa_gitops.store.sqlite import BlockingStore
from stoa_gitops.store.sqlite.database import Database
from stoa_gitops.store.sqlite.migrations import STEPS, migrate
from tests.unit.store.world import BILLING, SCOPE, child, content, entry, ran, record


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_files_are_for_their_owner_only(store: BlockingStore, folder: Path) -> None:
    store.record_cycle(SCOPE, entry(records=(record(),)))
    assert mode(folder) == 0o700
    found = {path.name: mode(path) for path in folder.iterdir()}
    assert found.keys() >= {"state.db", "hmac.key", "state.db-wal"}
    assert set(found.values()) == {0o600}


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    BlockingStore.open(tmp_path).close()
    assert mode(tmp_path) == 0o755


def test_a_store_of_a_later_version_is_refused_and_left_as_it_is(folder: Path) -> None:
    BlockingStore.open(folder).close()
    with sqlite3.connect(folder / "state.db") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = content(folder)
    with pytest.raises(
        StoreTooNew, match=r"later version .* \(schema 99, this one knows 7\).*--state"
    ):
        BlockingStore.open(folder)
    assert content(folder) == before


def test_another_programs_database_is_refused_and_left_as_it_is(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "state.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = content(folder)
    with pytest.raises(StoreError, match="another program"):
        BlockingStore.open(folder)
    assert content(folder) == before


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(folder: Path) -> None:
    folder.mkdir()
    (folder / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 99)
    before = content(folder)
    with pytest.raises(StoreError, match=r"is damaged or is not a store.*move it aside"):
        BlockingStore.open(folder)
    assert content(folder) == before


def test_damage_in_the_middle_is_found_at_the_start(folder: Path) -> None:
    with BlockingStore.open(folder) as store:
        store.record_cycle(SCOPE, entry(records=(record(),) * 50))
    path = folder / "state.db"
    raw = bytearray(path.read_bytes())
    raw[4096 : 4096 * 6] = b"\xa5" * 4096 * 5
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="damaged"):
        BlockingStore.open(folder)
    assert path.read_bytes() == raw


def test_a_damaged_key_is_named_and_left_as_it_is(folder: Path) -> None:
    BlockingStore.open(folder).close()
    (folder / "hmac.key").write_bytes(b"short")
    with pytest.raises(StoreError, match=r"hmac.key is damaged \(5 bytes"):
        BlockingStore.open(folder)
    assert (folder / "hmac.key").read_bytes() == b"short"


def test_a_link_in_the_place_of_the_store_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "state.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be opened"):
        BlockingStore.open(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot be created.*--state"):
        BlockingStore.open(tmp_path / "file")


def test_a_step_that_fails_leaves_the_shape_before_it(tmp_path: Path) -> None:
    def broken(db: object) -> None:
        db.execute("CREATE TABLE half (a)")  # type: ignore[attr-defined]
        raise RuntimeError("half way")

    database = Database(tmp_path / "state.db")
    with pytest.raises(RuntimeError):
        migrate(database, (*STEPS, broken))
    assert database.pragma("user_version") == len(STEPS)
    assert not database.rows("SELECT 1 FROM sqlite_master WHERE name = 'half'")
    migrate(database, STEPS)
    database.close()


def test_a_store_of_an_earlier_shape_is_brought_forward_with_its_records(folder: Path) -> None:
    folder.mkdir()
    database = Database(folder / "state.db")
    migrate(database, STEPS[:1])
    with database.transaction():
        database.execute(
            "INSERT INTO inventory VALUES ('default', 'kong-prod', 'https://kong:8001', "
            "'api/acme/billing', x'7b7d', '7', 'r', '{}', 0, 0, '2026-01-01T00:00:00+00:00')"
        )
    database.close()
    with BlockingStore.open(folder) as store:
        assert store.load_records(SCOPE)[BILLING].gateway_id == "7"
        assert store.record_cycle(SCOPE, entry()) == 1


def test_a_quarantine_of_an_earlier_shape_has_no_place(folder: Path) -> None:
    folder.mkdir()
    database = Database(folder / "state.db")
    migrate(database, STEPS[:4])
    with database.transaction():
        database.execute(
            "INSERT INTO quarantine VALUES ('default', 'kong-prod', 'https://kong:8001', "
            "'api/acme/billing', 'd', '3.5', 'no', '2026-01-01T00:00:00+00:00', '')"
        )
    database.close()
    with BlockingStore.open(folder) as store:
        assert store.load_quarantine(SCOPE)[BILLING].source is None
        assert store.list_scopes("default") == [SCOPE]


AS_NOBODY = """
import os, pathlib, sys
from stoa_gitops.errors import StoreError
from stoa_gitops.store.sqlite import BlockingStore
import sqlite_utils
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    BlockingStore.open(pathlib.Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def test_a_folder_without_access_is_said_so_with_the_next_step(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    said = ran(AS_NOBODY, tmp_path / "state")
    tmp_path.chmod(0o700)
    assert "cannot be created (Permission denied): choose another folder with --state" in said


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_store_that_cannot_be_written_is_said_so(open_folder: Path) -> None:
    BlockingStore.open(open_folder).close()
    (open_folder / "state.db").chmod(0o400)
    said = ran(AS_NOBODY, open_folder)
    assert "state.db cannot be opened (Permission denied): give this user write access" in said


FULL = """
import os, pathlib, resource, sys
from datetime import UTC, datetime
from stoa_gitops.errors import StoreError
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.store import CycleEntry, Scope
from stoa_gitops.store.sqlite import BlockingStore
scope = Scope("default", "kong-prod", "https://kong:8001")
def records(count):
    return tuple(
        AppliedRecord(Key("api", "acme", f"a{n}"), Spec.of({"x": "y" * 900}), "1", "r")
        for n in range(count)
    )
store = BlockingStore.open(pathlib.Path(sys.argv[1]))
store.record_cycle(scope, CycleEntry("me", "r", "d", datetime.now(UTC), records=records(3)))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    store.record_cycle(scope, CycleEntry("me", "r", "d", datetime.now(UTC), records=records(5000)))
except StoreError as error:
    print(error)
print(len(store.load_records(scope)), len(store.list_cycles()))
store.record_cycle(scope, CycleEntry("me", "r", "d", datetime.now(UTC)))
print(len(store.list_cycles()))
"""


def test_a_full_disk_is_said_so_and_nothing_of_the_step_is_stored(folder: Path) -> None:
    said, kept, after = ran(FULL, folder).splitlines()
    assert "the disk is full or failing. Nothing of this step was stored; free some space" in said
    assert kept == "3 1"
    assert after == "2"
    with BlockingStore.open(folder) as store:
        assert len(store.load_records(SCOPE)) == 3


HALF = """
import pathlib, sys
from stoa_gitops.store.sqlite import BlockingStore
store = BlockingStore.open(pathlib.Path(sys.argv[1]))
with store._database.transaction() as db:
    db.execute("DELETE FROM inventory")
    db.execute("DELETE FROM cycles")
    print("deleted", flush=True)
    sys.stdin.read()
"""


def test_a_process_killed_in_the_middle_of_a_write_leaves_what_was_there(folder: Path) -> None:
    with BlockingStore.open(folder) as store:
        store.record_cycle(SCOPE, entry(records=(record(),)))
    with child(HALF, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "deleted\n"
        process.kill()
        process.wait(timeout=120)
    with BlockingStore.open(folder) as store:
        assert store.load_records(SCOPE) == {BILLING: record()}
        assert len(store.list_cycles()) == 1
        assert store.record_cycle(SCOPE, entry()) == 2


def test_a_reader_goes_on_while_another_process_writes(folder: Path) -> None:
    with BlockingStore.open(folder, busy_timeout=0.05) as store:
        store.record_cycle(SCOPE, entry(records=(record(),)))
        with child(HALF, folder) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "deleted\n"
            assert store.load_records(SCOPE) == {BILLING: record()}
            with pytest.raises(StoreError, match=r"locked by another process for 0.05 s"):
                store.record_cycle(SCOPE, entry())
        assert store.record_cycle(SCOPE, entry()) == 2


TOGETHER = """
import pathlib, sys
from datetime import UTC, datetime
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.model.secret import Secret
from stoa_gitops.store import CycleEntry, Scope
from stoa_gitops.store.sqlite import BlockingStore
sys.stdin.readline()
store = BlockingStore.open(pathlib.Path(sys.argv[1]))
scope = Scope("default", "kong-prod", "https://kong:8001")
for n in range(25):
    kept = AppliedRecord(Key("api", sys.argv[2], f"a{n}"), Spec.of({"n": n}), "1", "r")
    store.record_cycle(scope, CycleEntry(sys.argv[2], "r", "d", datetime.now(UTC), records=(kept,)))
print(store.hash_secrets({"x": Secret("x")}))
"""


def test_two_processes_make_and_use_one_store_at_once(folder: Path) -> None:
    with child(TOGETHER, folder, "one") as one, child(TOGETHER, folder, "two") as two:
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=120) for process in (one, two)]
        assert [err for _, err in answers] == ["", ""]
        assert answers[0][0] == answers[1][0]
    with BlockingStore.open(folder) as store:
        assert len(store.load_records(SCOPE)) == 50
        assert len(store.list_cycles(limit=100)) == 50
    assert {path.name for path in folder.iterdir()} >= {"state.db", "hmac.key"}
    assert not list(folder.glob(".hmac*"))
