"""`init`: a catalog to begin with, which is served at once, and nothing that is overwritten."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import jsonschema
import pytest

from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from tests.children import environment
from tests.e2e.running import command, running
from tests.e2e.test_bad_input import without_rights

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas/output/init.json").read_text())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but those of Git."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def made(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """Run `init --output json` and return its document."""
    assert main(["init", "--output", "json", *arguments]) == Exit.OK
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    return document


async def test_run_serves_a_new_catalog_at_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(capsys, "shop", "--tenant", "3com", "--api", "price-list")
    assert main(["validate", "--strict", "--catalog", "shop"]) == Exit.OK
    assert main(["fmt", "--check", "shop"]) == Exit.OK
    (name, key) = (here / "shop/.env").read_text().split("\n")[-2].split("=")
    assert name == "_3COM_WEB_KEY"
    async with running(here / "shop", here / "state", **{name: key}) as process:
        path = "/apis/3com/price-list"
        assert (await process.get(path)).status_code == httpx.codes.UNAUTHORIZED
        answer = await process.get(path, **{"X-API-Key": key})
        assert answer.status_code == httpx.codes.OK


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_backend_on_this_machine_is_one_that_the_gateway_may_reach(
    here: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    made(capsys, "shop", "--backend", f"http://{host}:9000/v1")
    assert main(["validate", "--catalog", "shop", "--strict"]) == 0
    assert main(["fmt", "--check", "shop"]) == 0


def test_everything_around_the_documents_is_there(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = made(capsys, "shop", "--backend", "https://orders.acme.example/v1")
    found = files(here / "shop")
    assert document["repository"] is True
    assert document["written"] == sorted(f"shop/{path}" for path in found)
    assert (
        '  url: "https://orders.acme.example/v1"'
        in found["tenants/acme/apis/hello/api.yaml"].decode()
    )
    for path, content in found.items():
        schema = re.search(r"\$schema=(\S+)", content.decode())
        if schema:
            assert (here / "shop" / path).parent.joinpath(schema[1]).resolve().is_file()
    settings = json.loads(found[".vscode/settings.json"])
    for schema_path, pattern in settings["yaml.schemas"].items():
        assert schema_path.removeprefix("./") in found
        kind = json.loads(found[schema_path.removeprefix("./")])["title"]
        for path in (here / "shop").glob(pattern):
            assert f"kind: {kind}\n" in path.read_text()
    ignored = subprocess.run(
        ["git", "-C", "shop", "check-ignore", ".env"], capture_output=True, check=False
    )
    assert ignored.returncode == 0
    assert (here / "shop/.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("system", "path"), [("github", ".github/workflows/catalog.yaml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_the_ci_job_is_that_of_the_docs(
    here: Path, capsys: pytest.CaptureFixture[str], system: str, path: str
) -> None:
    made(capsys, "shop", "--ci", system)
    assert f"```yaml\n{(here / 'shop' / path).read_text()}```" in (ROOT / "docs/ci.md").read_text()


def test_the_job_is_that_of_the_server_of_the_repository(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "-q", "shop"], check=True)
    origin = "https://gitlab.acme.example/shop.git"
    subprocess.run(["git", "-C", "shop", "remote", "add", "origin", origin], check=True)
    (here / "shop/README.md").write_text("Mine\n")
    document = made(capsys, "shop")
    assert (here / "shop/.gitlab-ci.yml").is_file()
    assert (here / "shop/README.md").read_text() == "Mine\n"
    assert (document["kept"], document["repository"]) == (["shop/README.md"], False)


def test_in_a_repository_ci_and_hooks_go_to_its_root_and_leave_what_is_there(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    (here / ".pre-commit-config.yaml").write_text("repos: []\n")
    document = made(capsys, "apis/shop", "--ci", "github")
    assert document["kept"] == [".pre-commit-config.yaml"]
    assert (here / ".pre-commit-config.yaml").read_text() == "repos: []\n"
    job = (here / ".github/workflows/catalog.yaml").read_text()
    assert '\n  STOA_GITOPS_CATALOG: "apis/shop"\n' in job
    assert not (here / "apis/shop/.git").exists()
    assert main(["validate", "apis/shop/tenants"]) == Exit.OK


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["full"], "full is not empty (a, b, c, …): nothing is overwritten"),
        (["file"], "file is a file: name a folder"),
        (["file/below"], "is a file"),
        (["new", "--tenant", "Acme Corp"], "--tenant: 'Acme Corp' is no name of a tenant"),
        (["new", "--api", "x" * 64], "at most 63 characters"),
        (["new", "--backend", "ftp://x.example"], "--backend: 'ftp://x.example' is no backend"),
        (["new", "--backend", "http://[x"], "is no backend"),
        (["new", "--backend", "http://169.254.169.254/"], "169.254.169.254 is link-local"),
        (["new", "--backend", "https://x.example/${A}"], "is no backend"),
    ],
)
def test_what_is_refused_says_why_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (here / "full").mkdir()
    for name in ("full/a", "full/b", "full/c", "full/d", "file"):
        (here / name).write_text("")
    before = files(here)
    assert main(["init", *arguments]) == Exit.USAGE
    assert words in capsys.readouterr().err
    assert files(here) == before
    assert not (here / "new").exists()


def test_without_git_a_repository_is_refused_and_a_folder_is_not(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(here))
    assert main(["init", "shop"]) == Exit.USAGE
    assert "git is not installed" in capsys.readouterr().err
    assert not (here / "shop").exists()
    assert made(capsys, "shop", "--vcs", "none")["repository"] is False


def test_without_rights_nothing_is_left_behind(here: Path) -> None:
    (here / "locked").mkdir(mode=0o500)
    for folder in ("locked", "locked/new"):
        done = subprocess.run(
            command("init", folder),
            env=environment(),
            preexec_fn=without_rights,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "Permission denied" in done.stderr) == (Exit.USAGE, True)
    assert files(here) == {}


def test_a_write_that_fails_half_way_takes_back_what_was_written(here: Path) -> None:
    # The schemas are the largest files: the first of them does not fit any more.
    limit = "import resource, os; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192));"
    start = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    run = f"os.execv({sys.executable!r}, {command('init', 'shop')!r})"
    done = subprocess.run(
        [sys.executable, "-c", limit + start + run],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert "cannot be written: File too large" in done.stderr
    assert list(here.iterdir()) == []


class Typed(io.StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_person_is_asked_and_asked_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "is_interactive", lambda: True)
    answers = ["", "Big Corp", "big-corp", "", "jenkins", "none"]
    monkeypatch.setattr(sys, "stdin", Typed("\n".join(answers) + "\n"))
    document = made(capsys, "shop", "--api", "orders")
    assert (document["name"], document["tenant"], document["api"]) == ("shop", "big-corp", "orders")
    assert not (here / "shop/.github").exists()


def test_a_person_who_goes_away_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", Typed("shop\n"))
    assert main(["init", "shop"]) == Exit.INTERRUPTED
    assert list(here.iterdir()) == []


def test_schemas_can_be_written_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys, "shop")
    before = files(here / "shop/.schemas")
    (here / "shop/.schemas/api.json").write_text("{}")
    assert main(["schema", "--write", "shop/.schemas"]) == Exit.OK
    assert files(here / "shop/.schemas") == before
    assert main(["schema", "API", "--write", "x"]) == Exit.USAGE
    (here / "file").write_text("")
    assert main(["schema", "--write", "file/x"]) == Exit.USAGE


def test_it_is_served_by_the_program_that_was_called(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = here / "a venv" / "stoa-gitops"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def serving(name: str) -> str:
        assert main(["init", name]) == Exit.OK
        (line,) = (one for one in capsys.readouterr().out.splitlines() if one.endswith(" run"))
        return line.strip()

    monkeypatch.setattr(sys, "argv", ["a venv/stoa-gitops", "init"])
    assert serving("one") == f"'{program}' run"
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert serving("two") == "stoa-gitops run"
    monkeypatch.setattr(sys, "argv", ["/x/stoa_gitops/__main__.py", "init"])
    assert serving("three").endswith("-m stoa_gitops run")
