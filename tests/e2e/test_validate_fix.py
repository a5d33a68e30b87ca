"""`validate --fix` and `--lint`: what is repaired, what is advised, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from tests.unit.operations.test_explain import BASE, HEAD, write

API = "tenants/acme/apis/orders/api.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, BASE)
    return tmp_path


def api(spec: str) -> str:
    return HEAD.format("API", "orders") + f"spec:\n{spec}"


VERSION = '  version: "1"\n'
BACKEND = "  backend: {alias: echo}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"  version: 1.10 # x\n{BACKEND}", f'  version: "1.10" # x\n{BACKEND}'),
        (f"  version: true\n{BACKEND}", f'  version: "true"\n{BACKEND}'),
        (
            f'{VERSION}  backend: {{alias: echo, retries: "3"}}\n',
            f"{VERSION}  backend: {{alias: echo, retries: 3}}\n",
        ),
        (
            f"{VERSION}  display_name: x\n{BACKEND}",
            f"{VERSION}  displayName: x\n{BACKEND}",
        ),
        (f"{VERSION}  Backend: {{alias: echo}}\n", f"{VERSION}{BACKEND}"),
        (
            f"{VERSION}{BACKEND}  policies: [{{type: Request-Size, config: {{max: 1MB}}}}]\n",
            f"{VERSION}{BACKEND}  policies: [{{type: request_size, config: {{max: 1MB}}}}]\n",
        ),
        (f"{VERSION}{BACKEND}  gateways: main\n", f"{VERSION}{BACKEND}  gateways: [main]\n"),
        (f"{VERSION}{VERSION}{BACKEND}", f"{VERSION}{BACKEND}"),
        (
            '  version: 1\n  active: "true"\n  Backend: {alias: echo}\n',
            f"{VERSION}  active: true\n{BACKEND}",
        ),
    ],
)
def test_what_can_only_be_meant_in_one_way_is_repaired(here: Path, before: str, after: str) -> None:
    write(here, {API: api(before)})
    assert main(["validate"]) == Exit.INVALID
    assert main(["validate", "--fix"]) == Exit.OK
    assert (here / API).read_text() == api(after)


def test_a_missing_version_is_added_below_the_comments(here: Path) -> None:
    write(here, {"tenants/acme/tenant.yaml": "# Acme\n\nkind: Tenant\nmetadata: {name: acme}\n"})
    assert main(["validate", "--fix"]) == Exit.OK
    assert (here / "tenants/acme/tenant.yaml").read_text() == (
        "# Acme\n\napiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
    )


@pytest.mark.parametrize(
    "spec",
    [
        '  version: "1"\n  version: "2"\n  backend: {alias: echo}\n',
        '  version: "1"\n  backend: {alias: echo, timout: 5s}\n',
        '  version: "1"\n  backend: {alias: echo, timeout: "30"}\n',
        '  version: "1"\n  backend: {alias: echo}\n  gateways: main, other\n',
        '  version: [1]\n  backend: {alias: echo}\n',
        '  version:\n  backend: {alias: echo}\n',
        '  version: "1"\n  backend: {alias: echo\n',
    ],
)  # fmt: skip
def test_what_may_be_meant_in_another_way_is_left(here: Path, spec: str) -> None:
    write(here, {API: api(spec)})
    assert main(["validate", "--fix"]) == Exit.INVALID
    assert (here / API).read_text() == api(spec)


def test_only_what_is_named_is_repaired_and_it_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = api("  version: 1\n  backend: {alias: echo}\n")
    other = "tenants/acme/apis/other/api.yaml"
    write(here, {API: broken, other: broken.replace("orders", "other")})
    (here / API).chmod(0o640)
    assert main(["validate", "--fix", API]) == Exit.OK
    assert f"fixed {API}:5: schema.type: 1 is not text" in capsys.readouterr().err
    assert (here / API).stat().st_mode & 0o777 == 0o640
    assert "version: 1\n" in (here / other).read_text()


def test_a_revision_is_not_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--fix", "--revision", "main"]) == Exit.USAGE
    assert "leave out --revision" in capsys.readouterr().err
    assert main(["validate", "--ignore", "lint.open-api"]) == Exit.USAGE
    assert main(["validate", "--lint", "--ignore", "lint.opn-api"]) == Exit.USAGE


def advice(capsys: pytest.CaptureFixture[str], *flags: str) -> list[str]:
    main(["validate", "--lint", "--output", "json", *flags])
    return [found["code"] for found in json.loads(capsys.readouterr().out)["diagnostics"]]


def test_advice_is_a_warning_that_can_be_switched_off(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--lint"]) == Exit.OK
    assert main(["validate", "--lint", "--strict"]) == Exit.INVALID
    assert main(["validate", "--strict"]) == Exit.OK
    capsys.readouterr()
    assert advice(capsys) == ["lint.open-api"]
    assert advice(capsys, "--ignore", "lint.open-api") == []
    ignored = HEAD.format("Catalog", "shop") + "spec: {lint: {ignore: [lint.open-api]}}\n"
    write(here, {"catalog.yaml": ignored})
    assert advice(capsys) == []
    write(here, {"catalog.yaml": BASE["catalog.yaml"]})
    noted = BASE[API].replace(
        "{name: orders}", "{name: orders, annotations: {gostoa.dev/lint-ignore: lint.open-api}}"
    )
    write(here, {API: noted})
    assert advice(capsys) == []
    write(here, {API: noted.replace("lint.open-api", "open")})
    assert advice(capsys) == ["annotation.value"]


def test_a_broken_document_gets_no_advice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, {API: api('  version: "1"\n  backend: {alias: echo}\n  zzz: 1\n')})
    assert advice(capsys) == ["schema.unknown-key"]


def test_a_patch_that_takes_back_another_has_an_effect(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def patches(*values: str) -> None:
        lines = "".join(
            f"    - {{kind: API, name: '*', patch: {{spec: {{displayName: {v}}}}}}}\n"
            for v in values
        )
        environment = HEAD.format("Environment", "dev") + f"spec:\n  patches:\n{lines}"
        write(here, {"environments/dev.yaml": environment})

    write(here, {API: api('  version: "1"\n  displayName: a\n  backend: {alias: echo}\n')})
    flags = ("--ignore", "lint.open-api")
    patches("b", "a")
    assert advice(capsys, *flags) == []
    patches("a")
    assert advice(capsys, *flags) == ["lint.idle-patch"]
    patches("b", "b")
    assert advice(capsys, *flags) == ["lint.idle-patch"]
