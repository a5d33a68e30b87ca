"""`import openapi`: documents from files and URLs, again over an earlier import, and bad input."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import web

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from tests.children import environment
from tests.e2e.running import command, running
from tests.e2e.test_bad_input import without_rights

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas/output/import.json").read_text())
HEAD = "apiVersion: gostoa.dev/v1alpha1\n"
GATEWAY = HEAD + (
    "kind: GatewayInstance\nmetadata: {name: local}\n"
    "spec: {gatewayType: stoa, environment: dev, baseUrl: 'http://gateway.example'}\n"
)
PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pet Store", "version": "1.0"},
    "servers": [{"url": "https://pets.example/v1"}],
    "tags": [{"name": "pets"}],
    "paths": {},
}
OWN = "tenants/acme/apis/pet-store"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a catalog in `catalog`, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOA_GITOPS_CATALOG", "catalog")
    write("catalog/gateways/local.yaml", GATEWAY)
    write("catalog/tenants/acme/tenant.yaml", HEAD + "kind: Tenant\nmetadata: {name: acme}\n")
    return tmp_path


def write(path: str, content: Any) -> str:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text)
    return path


def imported(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.OK
) -> list[dict[str, Any]]:
    """Run the command, check its JSON, and return what became of each document."""
    assert main(["import", "openapi", "--output", "json", *arguments]) == code
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    found: list[dict[str, Any]] = document["imports"]
    return found


def is_valid(capsys: pytest.CaptureFixture[str]) -> bool:
    code = main(["validate"])
    capsys.readouterr()
    return code == Exit.OK


def reason(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return why the only document of a command is refused."""
    (one,) = imported(capsys, *arguments, code=Exit.INVALID)
    assert one["outcome"] == "refused"
    assert not Path("catalog/tenants/acme/apis").exists()
    return str(one["reason"])


def test_a_document_becomes_an_api_of_a_valid_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "openapi", write("pets.json", PETS)]) == Exit.OK
    out, err = capsys.readouterr()
    names = ["api.yaml", "openapi.json", ".imported.json"]
    assert out.splitlines() == [f"catalog/{OWN}/{name}" for name in names]
    assert "api/acme/pet-store: named after 'Pet Store' of pets.json" in err
    assert "1 document: 1 created" in err
    text = Path(f"catalog/{OWN}/api.yaml").read_text()
    assert "url: https://pets.example/v1" in text
    assert Path(f"catalog/{OWN}/openapi.json").read_text() == json.dumps(PETS)
    assert is_valid(capsys)


def test_an_import_over_an_earlier_one_keeps_what_a_person_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys, write("pets.json", PETS))
    file = Path(f"catalog/{OWN}/api.yaml")
    mine = "# Ask team red\n" + file.read_text().replace("Pet Store", "Our pets")
    file.write_text(mine)
    assert imported(capsys, "pets.json")[0]["outcome"] == "unchanged"
    assert file.read_text() == mine
    changed = {
        **PETS,
        "info": {"title": "Pets", "version": "2.0"},
        "servers": [{"url": "https://pets.example/v2"}],
    }
    write("pets.json", changed)
    (one,) = imported(capsys, "pets.json")
    assert one["outcome"] == "updated"
    assert one["api"] == "api/acme/pet-store"
    assert one["kept"] == [{"field": "spec.displayName", "yours": "Our pets", "imported": "Pets"}]
    text = file.read_text()
    assert text.startswith("# Ask team red\n")
    assert "displayName: Our pets" in text
    assert "url: https://pets.example/v2" in text
    assert json.loads(Path(f"catalog/{OWN}/openapi.json").read_text()) == changed
    assert main(["fmt", "--check", f"catalog/{OWN}"]) == Exit.OK
    capsys.readouterr()
    assert imported(capsys, "pets.json")[0]["outcome"] == "unchanged"
    assert is_valid(capsys)


def test_an_openapi_document_that_a_person_changed_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys, write("pets.json", PETS))
    copy = write(f"catalog/{OWN}/openapi.json", {**PETS, "tags": []})
    write("pets.json", {**PETS, "tags": [{"name": "other"}]})
    (one,) = imported(capsys, "pets.json")
    assert [kept["field"] for kept in one["kept"]] == ["openapi.json"]
    assert json.loads(Path(copy).read_text())["tags"] == []


def test_an_api_that_was_written_by_hand_is_never_overwritten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = HEAD + (
        "kind: API\nmetadata: {name: pet-store}\n"
        "spec: {version: '1', backend: {url: 'https://mine.example'}}\n"
    )
    write(f"catalog/{OWN}/api.yaml", text)
    (one,) = imported(capsys, write("pets.json", PETS), "--name", "pet-store", code=Exit.INVALID)
    assert "exists and was not imported" in one["reason"]
    assert Path(f"catalog/{OWN}/api.yaml").read_text() == text
    (one,) = imported(capsys, "pets.json")
    assert one["api"] == "api/acme/pet-store-v1-0"


def test_two_apis_of_one_name_get_two_names_or_a_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    newer = {**PETS, "info": {"title": "Pet store", "version": "2.0"}}
    files = [write("a.json", PETS), write("b.json", newer), write("c.json", newer)]
    first, second, third = imported(capsys, *files, code=Exit.INVALID)
    assert first["api"] == "api/acme/pet-store"
    assert second["api"] == "api/acme/pet-store-v2-0"
    assert third["outcome"] == "refused"
    assert "the name pet-store is taken by a.json" in third["reason"]
    assert "choose another name with --name" in third["reason"]
    # The base path of all is one route: the first has it.
    assert "path: /v1" in Path(f"catalog/{OWN}/api.yaml").read_text()
    assert is_valid(capsys)


def test_one_bad_document_blocks_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = imported(
        capsys, write("pets.json", PETS), write("bad.yaml", "a: ["), code=Exit.INVALID
    )
    assert good["outcome"] == "created"
    assert bad["reason"].startswith("bad.yaml:")
    assert is_valid(capsys)


def test_a_document_that_breaks_the_rules_of_openapi_is_an_api_without_its_copy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "openapi: 3.0.0\ninfo: {title: Odd, version: '1'}\npaths:\n  /a:\n    get: {}\n"
    (one,) = imported(capsys, write("odd.yaml", text))
    assert one["outcome"] == "created"
    (copy,) = (item for item in one["not_expressed"] if item["what"] == "OpenAPI document")
    assert copy["field"] == "odd.yaml:5:10"
    assert "responses" in copy["effect"]
    assert not Path("catalog/tenants/acme/apis/odd/openapi.yaml").exists()
    assert "odd.yaml:5:10" in Path("catalog/tenants/acme/apis/odd/NOT-EXPRESSED.md").read_text()
    assert is_valid(capsys)


@pytest.mark.parametrize("name", ["first", "zebra"])
def test_what_the_catalog_refuses_is_left_out_and_said(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = HEAD + (
        f"kind: API\nmetadata: {{name: {name}}}\n"
        "spec: {version: '1', backend: {url: 'https://a.example'}, routes: [{path: /v1}]}\n"
    )
    write(f"catalog/tenants/acme/apis/{name}/api.yaml", holder)
    (one,) = imported(capsys, write("pets.json", PETS))
    assert [item["what"] for item in one["not_expressed"]] == ["routes"]
    assert "path" not in Path(f"catalog/{OWN}/api.yaml").read_text()
    assert is_valid(capsys)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<!DOCTYPE html><html></html>", "odd.yaml:1:1: this is HTML or XML"),
        ("", "this is not one OpenAPI document"),
        ("- a\n", "this is not one OpenAPI document"),
        ("asyncapi: 2.0.0\n", "does not say its version as text"),
        ("openapi: 3.1\ninfo: {}\n", "odd.yaml:1:1: the document does not say its version as text"),
        ("openapi: 4.0.0\n", "is no version of OpenAPI that we know"),
        ("openapi: 3.0.0\nx: " + "[" * 5_000 + "]" * 5_000, "nested"),
        ("openapi: 3.0.0\n\tinfo: {}\n", "odd.yaml:2"),
    ],
)
def test_what_is_no_openapi_document_is_refused_with_its_line(
    content: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = reason(capsys, write("odd.yaml", content))
    assert found.startswith("odd.yaml")
    assert expected in found


def test_yaml_of_the_former_version_is_read_as_people_mean_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = """\
%YAML 1.1
---
openapi: 3.0.0
info: &info {title: Old, version: 1.0.0}
x-info: {<<: *info}
paths:
  /a:
    get:
      deprecated: no
      responses: {200: {description: yes}}
"""
    (one,) = imported(capsys, write("old.yaml", text))
    assert one["outcome"] == "created"
    assert is_valid(capsys)


@pytest.mark.heavy
@pytest.mark.parametrize(("count", "is_copied"), [(18_000, True), (22_000, False)])
def test_a_document_of_20_mb_with_cycles_is_imported(
    count: int, is_copied: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    many = {f"S{n}": {"type": "string", "description": "x" * 1_030} for n in range(count)}
    large = {**PETS, "components": {"schemas": {"Node": node, **many}}}
    (one,) = imported(capsys, write("large.json", large))
    assert one["outcome"] == "created"
    assert Path(f"catalog/{OWN}/openapi.json").exists() is is_copied
    assert [item["what"] for item in one["not_expressed"]] == (
        [] if is_copied else ["OpenAPI document"]
    )
    assert is_valid(capsys)


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "openapi", write("pets.json", PETS), "--dry-run"]) == Exit.OK
    out, err = capsys.readouterr()
    assert f"catalog/{OWN}/api.yaml" in out.splitlines()
    assert "nothing was written" in err
    assert not Path("catalog/tenants/acme/apis").exists()


def test_files_that_are_not_there_and_requests_without_sense(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert reason(capsys, "none.yaml") == "none.yaml cannot be read: No such file or directory"
    assert reason(capsys, "catalog") == "catalog cannot be read: Is a directory"
    file = write("pets.json", PETS)
    for arguments, expected in (
        ((file, file, "--name", "a"), "--name is for one document"),
        ((file, "--name", "A b"), "'A b' is no name"),
        ((file, "--tenant", "../up"), "'../up' is no name"),
        ((file, "--variable", "x"), "'x' is no NAME=VALUE"),
        ((file, "--catalog", "https://git.example/x"), "is a repository"),
    ):
        assert main(["import", "openapi", *arguments]) == Exit.USAGE
        assert expected in capsys.readouterr().err
    Path("empty").mkdir()
    assert main(["import", "openapi", file, "--catalog", "empty"]) == Exit.FAILED
    assert "holds no catalog" in capsys.readouterr().err


def test_the_tenant_is_named_where_the_catalog_has_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write("pets.json", PETS)
    write("catalog/tenants/other/tenant.yaml", HEAD + "kind: Tenant\nmetadata: {name: other}\n")
    assert main(["import", "openapi", file]) == Exit.USAGE
    assert "the catalog has acme, other" in capsys.readouterr().err
    (one,) = imported(capsys, file, "--tenant", "new")
    assert one["files"][0] == "tenants/new/tenant.yaml"
    assert "local" in Path("catalog/tenants/new/tenant.yaml").read_text()
    assert is_valid(capsys)


def test_nothing_is_written_through_a_link(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "elsewhere").mkdir()
    (here / "catalog/tenants/acme/apis").symlink_to(here / "elsewhere")
    (one,) = imported(capsys, write("pets.json", PETS), code=Exit.INVALID)
    assert "a folder on the way is a symbolic link" in one["reason"]
    assert list((here / "elsewhere").iterdir()) == []


def test_a_folder_without_rights_is_said(here: Path) -> None:
    write("pets.json", PETS)
    apis = here / "catalog/tenants/acme/apis"
    apis.mkdir()
    apis.chmod(0o555)
    done = subprocess.run(
        command("import", "openapi", "pets.json"),
        env=environment() | {"STOA_GITOPS_CATALOG": "catalog"},
        preexec_fn=without_rights,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.INVALID
    assert "cannot be written: Permission denied" in done.stderr
    assert list(apis.iterdir()) == []


async def test_a_newcomer_serves_documents_of_his_own_after_two_commands(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init`, `import`, `run`: no YAML is written by hand, and both keys and open APIs work."""
    key = {"type": "apiKey", "in": "header", "name": "X-Pet-Key"}
    closed = {
        **PETS,
        "info": {"title": "Closed", "version": "1"},
        "servers": [],
        "security": [{"key": []}],
        "components": {"securitySchemes": {"key": key}},
    }
    assert main(["init", "shop", "--yes", "--vcs", "none"]) == Exit.OK
    files = [write("open.json", {**PETS, "servers": []}), write("closed.json", closed)]
    assert main(["import", "openapi", *files, "--catalog", "shop"]) == Exit.OK
    assert main(["fmt", "--check", "shop"]) == Exit.OK
    assert main(["validate", "--catalog", "shop"]) == Exit.OK
    capsys.readouterr()
    (name, secret) = (here / "shop/.env").read_text().split("\n")[-2].split("=")
    async with running(here / "shop", here / "state", **{name: secret}) as process:
        assert (await process.get("/apis/acme/pet-store/a")).status_code == 200
        assert (await process.get("/apis/acme/closed/a")).status_code == 401
        answer = await process.get("/apis/acme/closed/a", **{"X-Pet-Key": secret})
        assert answer.status_code == 200


def with_references(*references: str) -> dict[str, Any]:
    schemas = {f"S{n}": {"$ref": reference} for n, reference in enumerate(references)}
    return {**PETS, "components": {"schemas": schemas}}


def test_references_to_other_documents_are_followed_only_where_that_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write("specs/pets.json", with_references("schemas/pet.yaml#/Pet"))
    write(
        "specs/schemas/pet.yaml",
        "Pet: {properties: {owner: {$ref: './owner.yaml'}, p: {$ref: '#/Pet'}}}\n",
    )
    write("specs/schemas/owner.yaml", "properties: {pets: {items: {$ref: 'pet.yaml#/Pet'}}}\n")
    (one,) = imported(capsys, file)
    assert [(item["what"], item["value"]) for item in one["not_expressed"]] == [
        ("$ref", "schemas/pet.yaml")
    ]
    (one,) = imported(capsys, file, "--fetch-refs")
    assert one["outcome"] == "updated"
    assert one["not_expressed"] == []
    copy = json.loads(Path(f"catalog/{OWN}/openapi.json").read_text())
    assert copy["components"]["schemas"]["S0"]["$ref"] == "#/x-documents/pet/Pet"
    pet = copy["x-documents"]["pet"]["Pet"]["properties"]
    assert pet["owner"]["$ref"] == "#/x-documents/owner"
    assert pet["p"]["$ref"] == "#/x-documents/pet/Pet"
    owner = copy["x-documents"]["owner"]
    assert owner["properties"]["pets"]["items"]["$ref"] == "#/x-documents/pet/Pet"
    assert main(["validate"]) == Exit.OK
    assert "openapi.ref" not in capsys.readouterr().out


def test_references_never_bring_other_files_of_a_machine_into_the_catalog(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("secret.yaml", "password: s3cret\n")
    (here / "specs").mkdir()
    (here / "specs/link.yaml").symlink_to(here / "secret.yaml")
    outside = ("../secret.yaml", str(here / "secret.yaml"), "link.yaml", "%2e%2e/secret.yaml")
    file = write("specs/pets.json", with_references(*outside, "none.yaml", "http://127.0.0.1:1/a"))
    (one,) = imported(capsys, file, "--fetch-refs")
    effects = [item["effect"] for item in one["not_expressed"] if "not fetched: " in item["effect"]]
    assert len(effects) == 6
    assert sum("outside of the folder" in effect for effect in effects) == 4
    assert sum("--allow-private" in effect for effect in effects) == 1
    for path in Path("catalog").rglob("*"):
        assert not path.is_file() or "s3cret" not in path.read_text()


def test_a_copy_in_another_form_replaces_the_earlier_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write("pets.spec", PETS)
    imported(capsys, file)
    write("pets.spec", "openapi: 3.0.0\ninfo: {title: Pet Store, version: '2'}\npaths: {}\n")
    imported(capsys, file)
    folder = Path(f"catalog/{OWN}")
    assert [path.name for path in folder.glob("openapi.*")] == ["openapi.yaml"]
    # What is no OpenAPI any more takes the last copy that was valid with it nowhere.
    write("pets.spec", "openapi: 3.0.0\ninfo: {title: Pet Store, version: '3'}\n")
    imported(capsys, file)
    assert "version: '2'" in (folder / "openapi.yaml").read_text()
    assert 'version: "3"' in (folder / "api.yaml").read_text()
    assert imported(capsys, file)[0]["outcome"] == "unchanged"
    assert is_valid(capsys)


# URLs


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A server of documents, and of what is mistaken for one; yields its address."""

    async def pets(_: web.Request) -> web.Response:
        return web.json_response({**PETS, "servers": [{"url": "/v1"}]})

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Sign in</html>", content_type="text/html")

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/pets.json")

    async def gone(_: web.Request) -> web.Response:
        raise web.HTTPGone

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        chunk = b"#" * (1 << 20)
        while True:
            await response.write(chunk)

    app = web.Application()
    app.router.add_get("/pets.json", pets)
    app.router.add_get("/page", page)
    app.router.add_get("/moved", moved)
    app.router.add_get("/gone", gone)
    app.router.add_get("/endless", endless)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    server = listener._server
    assert isinstance(server, asyncio.Server)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await runner.cleanup()


async def from_url(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.INVALID
) -> dict[str, Any]:
    (one,) = await asyncio.to_thread(imported, capsys, *arguments, code=code)
    return one


async def test_a_document_behind_a_url_has_servers_relative_to_it(
    site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{site}/pets.json?token=s3cret"
    one = await from_url(capsys, url, "--allow-private", code=Exit.OK)
    assert one["source"] == f"{site}/pets.json"
    # Nobody's backend may be this machine: it is said, with the server that was found.
    assert (one["not_expressed"][0]["what"], one["not_expressed"][0]["value"]) == (
        "backend",
        str({"url": f"{site}/v1"}),
    )
    for file in Path("catalog").rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes()
    assert (await from_url(capsys, url, "--allow-private", code=Exit.OK))["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/moved", "it redirects to /pets.json, which was not followed"),
        ("/page", "it answers with a web page"),
        ("/gone", "it answers 410 Gone"),
        ("/endless", "it has more than 64 MiB"),
    ],
)
async def test_what_is_mistaken_for_a_document_is_said(
    path: str, expected: str, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = await from_url(capsys, f"{site}{path}", "--allow-private")
    assert one["reason"].startswith(f"{site}{path}: {expected}")


async def test_addresses_of_this_machine_are_called_only_where_that_is_allowed(
    site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = await from_url(capsys, f"{site}/pets.json")
    assert "allow it with --allow-private" in one["reason"]
    one = await from_url(capsys, "http://169.254.169.254/latest", "--allow-private")
    assert "which is never called" in one["reason"]
    one = await from_url(capsys, "http://user:pw@example.invalid/a.yaml")
    assert "a password in a URL" in one["reason"]
    assert "pw" not in one["source"]
    one = await from_url(capsys, "ftp://example.invalid/a.yaml")
    assert "this is no address of a document" in one["reason"]
