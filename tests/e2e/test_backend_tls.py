"""A client certificate from its file to the backend, and nowhere else."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx

from tests.e2e.catalogs import CatalogFolder
from tests.e2e.running import running, until
from tests.pki import Authority, Issued, serving

NAME = "ledger.internal"


async def test_a_key_goes_to_the_backend_is_replaced_and_is_found_nowhere(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    folder = tmp_path / "secrets" / "acme"
    folder.mkdir(parents=True)
    clients = [authority.issue(name) for name in ("first", "second")]

    def write(client: Issued) -> None:
        for name, text in (("crt", client.certificate), ("key", client.key)):
            (folder / f"ledger.{name}").write_text(text)

    (folder / "ca.crt").write_text(authority.pem)
    write(clients[0])
    catalog = CatalogFolder(tmp_path / "catalog")
    state = tmp_path / "state"
    async with serving(authority.issue("server", NAME), authority) as ledger:
        tls = (
            f"{{certRef: {{file: {folder}/ledger.crt}}, keyRef: {{file: {folder}/ledger.key}},"
            f" caRef: {{file: {folder}/ca.crt}}, serverName: {NAME}}}"
        )
        catalog.write(
            "tenants/acme/apis/ledger/api.yaml",
            "apiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata: {name: ledger}\nspec:\n"
            f'  version: "1"\n  backend:\n    url: {ledger.url}\n    tls: {tls}\n',
        )
        folders = {"STOA_SECRETS_DIR": str(tmp_path / "secrets")}
        async with running(catalog.root, state, **folders) as process:

            async def shown() -> str:
                answer = await process.get("/apis/acme/ledger")
                assert answer.status_code == 200, answer.text
                return str(answer.json()["caller"])

            assert await shown() == "first"
            write(clients[1])
            process.process.send_signal(signal.SIGHUP)

            async def is_second() -> bool | None:
                return True if await shown() == "second" else None

            await until(is_second, "the second certificate at the backend")
            (folder / "ledger.key").write_text(clients[0].key)  # of the other certificate
            headers = {"Authorization": f"Bearer {process.control_token}"}
            async with httpx.AsyncClient(base_url=process.control, timeout=30) as control:

                async def is_refused() -> str | None:
                    plan = (await control.get("/v1/gateways/local/plan", headers=headers)).text
                    return plan if "is not that of the certificate" in plan else None

                outputs = [await until(is_refused, "the plan to name the key that does not fit")]
                paths = ("/v1/status", "/v1/gateways/local", "/v1/audit", "/metrics")
                outputs += [(await control.get(path, headers=headers)).text for path in paths]
            assert await shown() == "second", "what was live stays live"
            outputs.append(json.dumps(await process.admin("/apis")))
            outputs.append(process.log.read_text())
    kept = b"".join(one.read_bytes() for one in state.rglob("*") if one.is_file())
    assert b"ledger" in kept
    for client in clients:
        for text in (client.key, client.certificate):
            line = text.splitlines()[1]
            assert not [output for output in outputs if line in output]
            assert line.encode() not in kept
