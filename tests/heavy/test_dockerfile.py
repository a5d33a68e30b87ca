"""The rules that the Dockerfile keeps; what its steps do is tried in test_packaging.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.heavy import dockerfile

ROOT = Path(__file__).parents[2]
STAGES = dockerfile.read(ROOT / "Dockerfile")
IMAGES = ("gateway", "reconciler")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_a_fixed_number_that_is_not_root(name: str) -> None:
    user = STAGES[name].last("USER")
    assert user is not None
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user.text)


def test_the_user_that_is_made_is_the_user_that_runs() -> None:
    made = next(item.text for item in STAGES["base"].instructions if "useradd" in item.text)
    uid, gid = re.search(r"useradd --uid (\d+) --gid (\d+)", made).groups()  # type: ignore[union-attr]
    assert {STAGES[name].last("USER").text for name in IMAGES} == {f"{uid}:{gid}"}  # type: ignore[union-attr]
    assert f"--owner={uid} --group={gid} --mode=0700 /var/lib/stoa-gitops" in made


@pytest.mark.parametrize("name", IMAGES)
def test_start_and_probe_need_no_shell(name: str) -> None:
    stage = STAGES[name]
    assert stage.command("ENTRYPOINT")
    assert stage.command("HEALTHCHECK")[:2] == ["stoa-gitops", "check"]
    for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        item = stage.last(word)
        assert item is None or item.exec_form is not None, item


def test_every_base_image_has_a_version_and_no_floating_tag() -> None:
    for stage in STAGES.values():
        if stage.parent is None:
            assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", stage.image), stage.image


def test_what_is_copied_exists_and_reaches_the_engine() -> None:
    patterns = dockerfile.ignore_patterns(ROOT / ".dockerignore")
    copied = [
        source
        for stage in STAGES.values()
        for item in stage.instructions
        if item.word == "COPY" and "from" not in item.flags
        for source in item.text.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not dockerfile.is_ignored(source.rstrip("/"), patterns), source


def test_everything_that_the_package_needs_is_copied() -> None:
    copied = {
        source.rstrip("/")
        for item in STAGES["build"].instructions
        if item.word == "COPY"
        for source in item.text.split()[:-1]
    }
    assert {
        "pyproject.toml",
        "constraints.txt",
        "stoa_gitops",
        "proxy",
        "bootstrap",
        "schemas",
    } <= copied


@pytest.mark.parametrize(
    "path", [".git/config", ".env", ".state/state.db", ".venv/bin/python", "tests/conftest.py",
             "stoa_gitops/cli/__pycache__/main.pyc", "key.pem"]
)  # fmt: skip
def test_history_keys_and_caches_stay_out_of_the_context(path: str) -> None:
    assert dockerfile.is_ignored(path, dockerfile.ignore_patterns(ROOT / ".dockerignore"))


def test_the_install_is_pinned() -> None:
    (install,) = [
        item.exec_form
        for item in STAGES["build"].instructions
        if item.word == "RUN" and "pip" in item.text
    ]
    assert install is not None
    assert install[install.index("--constraint") + 1] == "constraints.txt"


def test_only_git_and_ssh_are_added_to_the_reconciler_and_nothing_to_the_gateway() -> None:
    def packages(stage: dockerfile.Stage) -> list[str]:
        text = " ".join(item.text for item in stage.all("RUN"))
        return re.findall(r"--no-install-recommends ([a-z -]+?) *&&", text)

    assert packages(STAGES["reconciler"]) == ["git openssh-client"]
    assert packages(STAGES["gateway"]) == []


def test_the_reconciler_is_what_comes_without_a_target() -> None:
    assert list(STAGES)[-1] == "reconciler"


def test_addresses_state_and_probe_belong_together() -> None:
    stage = STAGES["reconciler"]
    env = stage.environment
    assert env["STOA_GITOPS_CONTROL_LISTEN"] == "0.0.0.0:8000"
    assert env["STOA_GITOPS_GATEWAY_LISTEN"] == "0.0.0.0:8080"
    assert stage.command("HEALTHCHECK")[-1] == "http://127.0.0.1:8000/health"
    (volume,) = stage.command("VOLUME")
    assert volume == env["STOA_GITOPS_STATE"] == "/var/lib/stoa-gitops"


def test_nothing_secret_is_set_in_the_file() -> None:
    for stage in STAGES.values():
        for name in stage.environment:
            assert not re.search(r"TOKEN|KEY|SECRET|PASSWORD", name), name
