"""A long-running process: a start with something broken, SIGHUP, and the ways it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from stoa_gitops.catalog import Reader, open_source
from stoa_gitops.cli.run import TextPresenter
from stoa_gitops.daemon import process as process_module
from stoa_gitops.daemon import signals
from stoa_gitops.daemon import supervisor as supervising
from stoa_gitops.daemon.listeners import Address
from stoa_gitops.daemon.process import Process, ProcessOptions
from stoa_gitops.daemon.supervisor import BackgroundFailed
from stoa_gitops.reconcile.catalog_watcher import CatalogWatcher
from tests.children import environment
from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.gateways import TOKEN, data_plane, document
from tests.e2e.running import DEADLINE, Running, command, run_command, running, until
from tests.e2e.test_gateways import catalog_for
from tests.streams import stream_server


async def status(process: Running) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {process.control_token}"}
    async with httpx.AsyncClient(timeout=30) as client:
        found = await client.get(process.control + "/v1/status", headers=headers)
    answer: dict[str, object] = found.json()
    return answer


async def test_a_start_without_any_catalog_gives_the_embedded_gateway_what_was_live(
    tmp_path: Path,
) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    state = tmp_path / "state"
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("demo", one)
        async with running(catalog.root, state) as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
        aside = tmp_path / "aside"
        catalog.root.rename(aside)
        async with running(catalog.root, state) as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
            shutil.copytree(aside, catalog.root)
            catalog.api("demo", two)
            await process.answers("/apis/acme/demo", lambda r: r.text == "two")
        assert "what was applied last stays" in process.log.read_text()


async def test_a_start_without_any_catalog_and_without_anything_known_ends_in_words(
    tmp_path: Path,
) -> None:
    code, _, err = await run_command(
        "run",
        "--catalog",
        str(tmp_path / "nowhere"),
        "--state",
        str(tmp_path / "state"),
        "--control-listen",
        "127.0.0.1:0",
        "--gateway-listen",
        "127.0.0.1:0",
    )
    assert code == 1
    assert "there is no folder" in err
    assert "Traceback" not in err


@pytest.mark.heavy
@pytest.mark.parametrize("broken", ["gateways/local.yaml", "catalog.yaml"])
async def test_a_start_with_a_broken_document_of_all_tenants_keeps_what_was_live(
    tmp_path: Path, broken: str
) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    catalog.write(
        "catalog.yaml",
        "apiVersion: gostoa.dev/v1alpha1\nkind: Catalog\nmetadata: {name: platform}\n",
    )
    state = tmp_path / "state"
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, state) as process:
            before = await process.admin("/apis")
        catalog.write(broken, "kind: [\n")
        async with running(catalog.root, state) as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
            assert {route["id"] for route in await process.admin("/apis")} == {
                route["id"] for route in before
            }


async def test_a_rotated_secret_file_is_applied_at_once_after_sighup(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "acme" / "key"
    secret.parent.mkdir(parents=True)
    secret.write_text("the-first-key")
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one:
        catalog.api("demo", one, "  plans:\n    - {name: gold, perMinute: 600}\n")
        catalog.write(
            "tenants/acme/applications/mobile.yaml",
            "apiVersion: gostoa.dev/v1alpha1\nkind: Application\nmetadata: {name: mobile}\nspec:\n"
            "  displayName: Mobile\n  owner: team@acme.example\n"
            f"  credentials: [{{type: api_key, keyRef: {{file: {secret}}}}}]\n"
            "  subscriptions: [{api: demo, plan: gold}]\n",
        )
        folders = {"STOA_SECRETS_DIR": str(tmp_path / "secrets")}
        async with running(catalog.root, tmp_path / "state", **folders) as process:
            old = {"X-API-Key": "the-first-key"}
            new = {"X-API-Key": "the-second-key"}
            assert (await process.get("/apis/acme/demo", **old)).status_code == 200
            secret.write_text("the-second-key")
            process.process.send_signal(signal.SIGHUP)

            async def rotated() -> bool | None:
                answer = await process.get("/apis/acme/demo", **new)
                return True if answer.status_code == 200 else None

            await until(rotated, "the new key to open the API")
            assert (await process.get("/apis/acme/demo", **old)).status_code == 401
        assert "the-first-key" not in process.log.read_text()
        assert "the-second-key" not in process.log.read_text()


async def test_sighup_reads_the_control_token_and_the_webhook_secret_again(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    state, secret = tmp_path / "state", tmp_path / "secret"
    secret.write_text("the-first-secret\n")
    variables = {"STOA_GIT_WEBHOOK_SECRET_FILE": str(secret)}

    async def delivered(control: str, text: str) -> int:
        async with httpx.AsyncClient(timeout=30) as client:
            headers = {"X-Gitlab-Token": text}
            return (await client.post(f"{control}/v1/webhooks/git", headers=headers)).status_code

    async def asked(control: str, text: str) -> int:
        async with httpx.AsyncClient(timeout=30) as client:
            headers = {"Authorization": f"Bearer {text}"}
            return (await client.get(f"{control}/v1/status", headers=headers)).status_code

    async with running(catalog.root, state, **variables) as process:
        assert await delivered(process.control, "the-first-secret") == 202
        secret.write_text("the-second-secret\n")
        (state / "control-token").write_text("another-control-token\n")
        process.process.send_signal(signal.SIGHUP)

        async def is_replaced() -> bool | None:
            code = await asked(process.control, "another-control-token")
            return True if code == 200 else None

        await until(is_replaced, "the other control token")
        assert await asked(process.control, process.control_token) == 401
        assert await delivered(process.control, "the-first-secret") == 401
        assert await delivered(process.control, "the-second-secret") == 202
        assert (await run_command("status", "--state", str(state)))[0] == 0, "runtime.json has it"

        secret.write_text("tiny")
        process.process.send_signal(signal.SIGHUP)

        async def is_said() -> bool | None:
            return True if "stay as they were" in process.log.read_text() else None

        await until(is_said, "a warning")
        assert await delivered(process.control, "the-second-secret") == 202
    log = process.log.read_text()
    words = "SIGHUP: reloaded: control token (changed), webhook secret (changed), "
    words += "tenant tokens (unchanged), the files that"
    assert words in log
    assert not any(word in log for word in ("-secret\n", "another-control-token", "tiny"))


async def test_where_a_new_control_token_cannot_be_told_to_commands_it_is_said_and_made_good(
    tmp_path: Path,
) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, tmp_path / "state") as process:
            file = process.state / "runtime.json"
            file.unlink()
            file.mkdir()  # in the way, as a full disk is
            (process.state / "control-token").write_text("another-control-token\n")
            process.process.send_signal(signal.SIGHUP)

            async def is_said() -> bool | None:
                words = f"{file} cannot be written"
                return True if words in process.log.read_text() else None

            await until(is_said, "a warning")
            assert "stay as they were" not in process.log.read_text(), "they are in force"
            file.rmdir()
            answer = httpx.post(
                f"{process.control}/v1/gateways/local/reconcile",
                headers={"Authorization": "Bearer another-control-token"},
                timeout=30,
            )
            assert answer.status_code == 202

            async def is_told() -> bool | None:
                return True if file.exists() else None

            await until(is_told, "the file with the new token")
            assert (await run_command("status", "--state", str(process.state)))[0] == 0


async def test_a_process_needs_no_file_to_reach_its_own_gateway(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("demo", one)
        async with running(catalog.root, tmp_path / "state") as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
            (process.state / "runtime.json").unlink()
            catalog.api("demo", two)
            await process.answers("/apis/acme/demo", lambda r: r.text == "two")


async def test_every_line_of_a_cycle_carries_its_id(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, tmp_path / "state", "--debug") as process:
            await process.get("/apis/acme/demo")
        lines = [json.loads(x) for x in process.log.read_text().splitlines() if x.startswith("{")]
        inside = [x for x in lines if "cycle" in x]
        assert {x["gateway"] for x in inside} == {"local"}
        first = inside[0]["cycle"]
        words = [x["message"] for x in inside if x["cycle"] == first]
        assert words[0] == "local: cycle (catalog changed)"
        assert words[-1] == "local: changed=1"


@contextlib.asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that never responds: its address, and whether somebody connected."""
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    async with stream_server(hang) as port:
        yield f"http://127.0.0.1:{port}", asked


async def begun(
    catalog: str, state: Path, log: IO[bytes] | int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(
            "run",
            "--catalog",
            catalog,
            "--state",
            str(state),
            "--control-listen",
            "127.0.0.1:0",
            "--gateway-listen",
            "127.0.0.1:0",
        ),
        env=environment(GATEWAY_TOKEN=TOKEN),
        stdout=log,
        stderr=log,
    )


async def ended_in_order(process: asyncio.subprocess.Process) -> bool:
    """Tell a process to end, and whether it did so itself: END_SECONDS later it is killed (1)."""
    process.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(process.wait(), DEADLINE) == 0


async def test_told_to_end_while_a_gateway_hangs_the_process_ends_within_its_bound(
    tmp_path: Path,
) -> None:
    async with hanging() as (url, asked):
        process = await begun(str(catalog_for(tmp_path / "c", slow=url).root), tmp_path / "state")
        await asyncio.wait_for(asked.wait(), DEADLINE)
        assert await ended_in_order(process)


@pytest.mark.heavy
async def test_told_to_end_while_the_first_reading_hangs_the_process_ends_in_order(
    tmp_path: Path,
) -> None:
    async with hanging() as (url, asked):
        process = await begun(f"{url}/catalog.git", tmp_path / "state")
        await asyncio.wait_for(asked.wait(), DEADLINE)
        assert await ended_in_order(process)


async def test_told_to_end_twice_the_process_ends_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with hanging() as (url, asked):
        with log.open("wb") as err:
            catalog = catalog_for(tmp_path / "c", slow=url)
            process = await begun(str(catalog.root), tmp_path / "state", err)
        await asyncio.wait_for(asked.wait(), DEADLINE)

        async def ended() -> int | None:
            # `send_signal` would reap a process that has ended, and its exit code were lost.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            return process.returncode

        # Told once, it ends in order, with 0.
        assert await until(ended, "the end") == 128 + signal.SIGTERM
    assert "exiting immediately" in log.read_text()


@pytest.mark.heavy
async def test_a_gateway_whose_document_goes_keeps_what_it_has_and_is_worked_no_more(
    tmp_path: Path,
) -> None:
    async with data_plane() as gateway, data_plane() as second:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url, other=second.base_url)
        catalog.api("demo", "http://backend.example.org")
        async with running(catalog.root, tmp_path / "state", GATEWAY_TOKEN=TOKEN) as process:
            (catalog.root / "gateways/other.yaml").unlink()
            catalog.write(
                "tenants/acme/tenant.yaml",
                "apiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
                "spec: {displayName: Acme, gateways: [edge]}\n",
            )

            async def gone() -> bool | None:
                items = (await status(process))["items"]
                bound = [item["name"] for item in items if item.get("bound", True)]  # type: ignore[attr-defined]
                return True if bound == ["edge"] else None

            await until(gone, "the gateway to be dismissed")
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(timeout=30) as client:
                routes = await client.get(f"{second.base_url}/admin/apis", headers=headers)
            assert [route["path_prefix"] for route in routes.json()] == ["/apis/acme/demo"]
        assert "other was removed from the catalog" in process.log.read_text()


@pytest.mark.heavy
async def test_conditions_keep_their_times_over_a_restart(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    catalog.api("demo", "http://backend.example.org")
    times = []
    for _ in range(2):
        async with running(catalog.root, tmp_path / "state") as process:
            (item,) = (await status(process))["items"]  # type: ignore[misc]
            (in_sync,) = (c for c in item["conditions"] if c["type"] == "InSync")
            assert in_sync["status"] == "True"
            times.append(in_sync["lastTransition"])
    assert times[0] == times[1]


@pytest.mark.heavy
async def test_a_store_of_a_later_version_is_left_as_it_is(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    catalog.api("demo", "http://backend.example.org")
    once = (
        "run", "--once", "--catalog", str(catalog.root), "--state", str(tmp_path / "state"),
        "--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0",
    )  # fmt: skip
    assert (await run_command(*once))[0] == 0
    file = tmp_path / "state/state.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = file.read_bytes()
    code, _, err = await run_command(*once)
    assert code == 1
    assert "later version" in err
    assert "Traceback" not in err
    assert file.read_bytes() == before


@pytest.mark.heavy
async def test_a_full_disk_is_reported_and_the_next_start_recovers(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = CatalogFolder(tmp_path / "c")
        catalog.write("gateways/local.yaml", document("local", gateway.base_url))
        for number in range(120):
            catalog.api(f"api-{number}", "http://b.example.org", f"  description: {'d' * 900}\n")
        once = (
            "run", "--once", "--catalog", str(catalog.root), "--state", str(tmp_path / "state"),
            "--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0",
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command(*once[:1], *once[2:]),
            env=environment(GATEWAY_TOKEN=TOKEN),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_small_files,
        )
        assert process.stderr is not None
        said = b""
        while b"the disk is full" not in said:
            line = await asyncio.wait_for(process.stderr.readline(), DEADLINE)
            assert line, said
            said += line
        known = {c["type"]: c["reason"] for c in await conditions_of(tmp_path / "state")}
        assert known["InSync"] == "StoreError"
        process.send_signal(signal.SIGTERM)
        _, rest = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert b"Traceback" not in said + rest
        code, out, err = await run_command(*once, GATEWAY_TOKEN=TOKEN)
        assert code == 0, out + err
        assert "ok=120 changed=0" in out or "No changes" in out


async def conditions_of(state: Path) -> list[dict[str, str]]:
    """Ask the process of a state folder for the conditions of its gateway, by the command line."""
    _, out, err = await run_command("status", "--state", str(state), "--output", "json")
    document = json.loads(out)
    assert not document["well"], err
    conditions: list[dict[str, str]] = document["items"][0]["conditions"]
    return conditions


@pytest.mark.heavy
async def test_a_single_round_on_a_full_disk_comes_to_an_end(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = CatalogFolder(tmp_path / "c")
        catalog.write("gateways/local.yaml", document("local", gateway.base_url))
        for number in range(120):
            catalog.api(f"api-{number}", "http://b.example.org", f"  description: {'d' * 900}\n")
        process = await asyncio.create_subprocess_exec(
            *command(
                "run",
                "--once",
                "--catalog",
                str(catalog.root),
                "--state",
                str(tmp_path / "state"),
                "--control-listen",
                "127.0.0.1:0",
                "--gateway-listen",
                "127.0.0.1:0",
            ),
            env=environment(GATEWAY_TOKEN=TOKEN),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_small_files,
        )
        _, said = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert process.returncode == 3
        assert b"the disk is full" in said


def _small_files() -> None:
    """What a child of this test may write into one file: less than its store will need."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))
    os.umask(0o077)


@pytest.mark.heavy
@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_reader_of_stdout_that_goes_away_does_not_end_following(
    tmp_path: Path, form: str
) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    state = tmp_path / "state"
    reader, writer = os.pipe()
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("demo", one)
        async with running(catalog.root, state, "--output", form, stdout=writer) as process:
            os.close(writer)
            os.close(reader)
            for backend, answer in ((two, "two"), (one, "one"), (two, "two")):
                catalog.api("demo", backend)
                await process.answers("/apis/acme/demo", lambda r, a=answer: r.text == a)  # type: ignore[misc]
    assert process.process.returncode == 0
    assert "Traceback" not in process.log.read_text()


async def test_a_background_task_that_keeps_failing_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: CatalogWatcher, __: asyncio.Event) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(CatalogWatcher, "watch", fails)
    monkeypatch.setattr(supervising, "MAX_FAILURES", 1)
    ends: list[int] = []
    monkeypatch.setattr(signals, "exit_now", ends.append)
    # A process that is about to end by itself gets a signal: that is the first one.
    monkeypatch.setattr(process_module, "kill_after", lambda _: signal.raise_signal(signal.SIGTERM))
    catalog = CatalogFolder(tmp_path / "catalog")
    process = Process(
        ProcessOptions(tmp_path / "state", Address("127.0.0.1", 0), Address("127.0.0.1", 0)),
        open_source(str(catalog.root), cache_dir=tmp_path),
        Reader(),
        TextPresenter(),
    )
    with pytest.raises(BackgroundFailed, match="watching the catalog kept failing"):
        await process.run()
    assert ends == []


async def test_a_second_run_with_one_state_folder_is_refused_and_leaves_the_first(
    tmp_path: Path,
) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    state = tmp_path / "state"
    where = ("--catalog", str(catalog.root), "--state", str(state))
    ports = ("--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0")
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, state) as process:
            before = (state / "runtime.json").read_text()
            code, out, err = await run_command("run", *where, *ports)
            assert (code, out) == (1, "")
            assert f"process {process.process.pid}" in err
            assert process.control in err
            assert process.gateway in err
            assert process.admin_token not in err
            assert (state / "runtime.json").read_text() == before
            code, out, _ = await run_command("plan", *where, "--detailed-exitcode")
            assert code == 0, out
            assert (await run_command("status", "--state", str(state)))[0] == 0
            process.process.send_signal(signal.SIGKILL)
            await process.process.wait()
        async with running(catalog.root, state) as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
