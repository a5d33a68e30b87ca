"""The wheel, the sdist and the steps of the Dockerfile, tried in clean environments without an
engine.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.heavy import dockerfile
from tests.heavy.installed import (
    ROOT,
    clean,
    make_venv,
    open_folder,
    python_for,
    replaced,
    rights,
    run,
)
from tests.ports import own_port

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("packaging")]

STAGES = dockerfile.read(ROOT / "Dockerfile")
UID = int(STAGES["reconciler"].last("USER").text.split(":")[0])  # type: ignore[union-attr]
DEADLINE = 60.0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def python() -> str:
    return python_for(UID)


@pytest.fixture(scope="module")
def distributions(folder: Path, python: str) -> dict[str, Path]:
    """The wheel and the sdist, built by the backend of pyproject.toml."""
    commands = make_venv(python, folder / "builder")
    run([commands / "pip", "install", "--quiet", "hatchling"])
    run([commands / "python", "-m", "hatchling", "build", "-d", folder / "dist"], cwd=ROOT)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="module")
def image(folder: Path, python: str) -> Path:
    """What the build stage makes: the COPY steps into a context of their own, then the RUN
    steps.
    """
    source, venv = folder / "src", folder / "opt"
    source.mkdir()
    places = {"/opt/stoa-gitops": str(venv)}
    for step in STAGES["build"].instructions:
        if step.word == "COPY":
            *paths, target = step.text.split()
            for path in paths:
                _copy(path.rstrip("/"), source / target)
        elif step.word == "RUN":
            assert step.exec_form
            words = [replaced(word, places) for word in step.exec_form]
            run([python if words[0] == "python" else words[0], *words[1:]], cwd=source)
    shutil.rmtree(source)
    return venv


def _copy(path: str, target: Path) -> None:
    """Copy as COPY does: a folder's content, or a file into a folder; without what is ignored."""
    patterns = dockerfile.ignore_patterns(ROOT / ".dockerignore")

    def ignored(folder: str, names: list[str]) -> set[str]:
        here = Path(folder).relative_to(ROOT)
        return {name for name in names if dockerfile.is_ignored(str(here / name), patterns)}

    if (ROOT / path).is_dir():
        shutil.copytree(ROOT / path, target, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy(ROOT / path, target)


@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_an_installed_distribution_validates_a_catalog_by_itself(
    form: str, distributions: dict[str, Path], folder: Path, python: str
) -> None:
    commands = make_venv(python, folder / form)
    run(
        [
            commands / "pip",
            "install",
            "--quiet",
            "--constraint",
            ROOT / "constraints.txt",
            distributions[form],
        ]
    )
    command = commands / "stoa-gitops"
    assert run([command, "--version"]).stdout.startswith("stoa-gitops 0.")
    schema = json.loads(run([command, "schema", "API"]).stdout)
    assert schema["properties"]["kind"]["const"] == "API"
    catalog = folder / f"catalog-{form}"
    shutil.copytree(ROOT / "catalog-example", catalog)
    assert "valid" in run([command, "validate", "--catalog", catalog]).stdout.lower()
    where = run([commands / "python", "-c", "import stoa_gitops; print(stoa_gitops.__file__)"])
    assert where.stdout.startswith(str(folder / form))


def test_the_wheel_holds_the_packages_and_nothing_else(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = wheel.namelist()
    tops = {name.partition("/")[0].partition("-")[0] for name in names}
    assert tops == {"stoa_gitops", "stoa_proxy", "stoa_bootstrap"}
    assert "stoa_gitops/_schemas/v1alpha1/api.json" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".db")]


def test_the_sdist_holds_no_state_and_no_keys(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
    assert not [n for n in names if n.startswith((".state", ".venv", ".git/", ".env"))]
    assert "constraints.txt" in names


@contextmanager
def started(
    stage: dockerfile.Stage, venv: Path, places: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], list[str], dict[str, str]]]:
    """Start ENTRYPOINT and CMD as the image's user; yield the process, HEALTHCHECK and
    environment.
    """
    places = {"/opt/stoa-gitops": str(venv), **places}
    environment = clean(**{k: replaced(v, places) for k, v in stage.environment.items()})
    words = [*stage.command("ENTRYPOINT"), *stage.command("CMD")]
    check = [replaced(word, places) for word in stage.command("HEALTHCHECK")]
    words[0], check[0] = (str(venv / "bin" / word) for word in (words[0], check[0]))
    process = subprocess.Popen(
        words,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **rights(UID),
    )
    try:
        yield process, check, environment
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def probe(check: list[str], environment: dict[str, str]) -> int:
    done = subprocess.run(
        check, cwd="/", env=environment, capture_output=True, timeout=120, **rights(UID)
    )
    return done.returncode


def healthy(
    process: subprocess.Popen[bytes], check: list[str], environment: dict[str, str]
) -> None:
    """Probe as an engine does, until it answers; fails with the log of a process that has ended."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0].decode())
        code = probe(check, environment)
        if code == 0:
            return
        assert code == 1, f"{check} ended with {code}"
    raise AssertionError(f"not healthy within {DEADLINE:.0f} s")


def test_the_reconciler_runs_as_the_images_user_from_a_repository(
    image: Path, folder: Path
) -> None:
    stage = STAGES["reconciler"]
    catalog, state = folder / "catalog", folder / "state"
    shutil.copytree(ROOT / "catalog-example", catalog)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "catalog"]):
        run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words], cwd=catalog)
    state.mkdir(mode=0o700)
    if rights(UID):
        shutil.chown(state, UID, UID)
    with ExitStack() as stack:
        port, gateway = stack.enter_context(own_port()), stack.enter_context(own_port())
        places = {"/catalog": str(catalog), "/var/lib/stoa-gitops": str(state),
                  "0.0.0.0:8000": f"0.0.0.0:{port}", "127.0.0.1:8000": f"127.0.0.1:{port}",
                  "0.0.0.0:8080": f"0.0.0.0:{gateway}"}  # fmt: skip
        process, check, environment = stack.enter_context(started(stage, image, places))
        healthy(process, check, environment)
        ready = [word.replace("/health", "/ready") for word in check]
        healthy(process, ready, environment)
        assert (state / "state.db").stat().st_uid == (UID if rights(UID) else state.stat().st_uid)
        assert json.loads((state / "runtime.json").read_text())["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert probe(check, environment) == 1


def test_the_gateway_alone_runs_as_the_images_user(image: Path) -> None:
    stage = STAGES["gateway"]
    with (
        own_port() as port,
        started(stage, image, {"8080": str(port)}) as (process, check, environment),
    ):
        healthy(process, check, environment)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert probe(check, environment) == 1
