"""`init [DIR]`: make a catalog to begin with, which `run` serves at once."""

from __future__ import annotations

import secrets
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.starter.choices import (
    CI_SYSTEMS,
    DEFAULT_API,
    DEFAULT_TENANT,
    StarterChoices,
    check_backend,
    check_name,
    default_name,
)
from stoa_gitops.operations.starter.repository import (
    ci_system_of,
    repository_around,
    require_git,
)
from stoa_gitops.operations.starter.writing import NewCatalog, check_folder, make_catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM: Final = "stoa-gitops"

_KEY_BYTES: Final = 16
"""Of randomness in the key of the first application: 128 bits."""


def execute(options: Namespace) -> Exit:
    """Write the catalog and say how it is served."""
    folder = Path(options.folder)
    # Before any question: nobody should type answers for a folder that is refused.
    check_folder(folder)
    around = repository_around(folder)
    if options.vcs == "git" and around is None:
        require_git()
    choices = _choices(options, folder, around)
    made = make_catalog(
        folder, choices, secrets.token_hex(_KEY_BYTES), with_repository=options.vcs == "git"
    )
    if options.output == "json":
        from stoa_gitops.cli.status_text import json_text

        sys.stdout.write(json_text(_document(made, choices)))
    else:
        sys.stdout.write(_text(made, choices))
    return Exit.OK


def _choices(options: Namespace, folder: Path, around: Path | None) -> StarterChoices:
    """Take what is given, ask for the rest on a terminal, and take the default elsewhere."""
    asks = not options.yes and terminal.is_interactive()

    def decide(name: str, question: str, default: str, check: Callable[[str], None]) -> str:
        given: str | None = getattr(options, name)
        if given is not None:
            try:
                check(given)
            except UsageError as error:
                raise UsageError(f"{name_of(options, name)}: {error}") from None
            return given
        return terminal.ask(question, default, check) if asks else default

    return StarterChoices(
        name=decide(
            "name", "Name of the catalog", default_name(folder), lambda v: check_name("catalog", v)
        ),
        tenant=decide("tenant", "First tenant", DEFAULT_TENANT, lambda v: check_name("tenant", v)),
        api=decide("api", "Its first API", DEFAULT_API, lambda v: check_name("API", v)),
        backend=decide("backend", "URL of its backend (empty: a built-in echo)", "", check_backend),
        ci=decide("ci", "CI job for (github, gitlab, none)", ci_system_of(around), _check_ci),
    )


def _check_ci(value: str) -> None:
    if value not in CI_SYSTEMS:
        raise UsageError(f"{value!r} is none of {', '.join(CI_SYSTEMS)}")


def _commands(made: NewCatalog, choices: StarterChoices) -> tuple[list[str], list[str]]:
    """Return the commands that serve the catalog, and those that call its first API."""
    enter = [] if made.folder == Path() else [f"cd {shlex.quote(str(made.folder))}"]
    url = f"http://127.0.0.1:8080/apis/{choices.tenant}/{choices.api}"
    call = f'curl -H "X-API-Key: ${choices.key_variable}" {url}'
    serve = [*enter, "set -a; . ./.env; set +a", f"{_own_command()} run"]
    return serve, [*enter, ". ./.env", call]


def _own_command() -> str:
    """Return what calls this program from any folder: its name where the shell finds it by that."""
    called = Path(sys.argv[0]).absolute()
    if called.name != _PROGRAM:
        return f"{shlex.quote(sys.executable)} -m stoa_gitops"
    found = shutil.which(_PROGRAM)
    is_found = found is not None and Path(found).resolve() == called.resolve()
    return _PROGRAM if is_found else shlex.quote(str(called))


def _text(made: NewCatalog, choices: StarterChoices) -> str:
    style = terminal.style()
    where = "this folder" if made.folder == Path() else style.safe(str(made.folder))
    repository = ", a new Git repository" if made.has_new_repository else ""
    lines = [f"{counted(len(made.written), 'file')} written to {where}{repository}."]
    lines += [f"Left as it is: {style.safe(str(path))}" for path in made.kept]
    serve, call = _commands(made, choices)
    lines += ["", "Serve it:", *(f"  {command}" for command in serve)]
    lines += ["", "Call its first API, from a second terminal:", *(f"  {line}" for line in call)]
    return "\n".join(lines) + "\n"


def _document(made: NewCatalog, choices: StarterChoices) -> dict[str, object]:
    def names(paths: Sequence[Path]) -> list[str]:
        return sorted(str(path) for path in paths)

    serve, call = _commands(made, choices)
    return {
        "format_version": "1.0",
        "folder": str(made.folder),
        "name": choices.name,
        "tenant": choices.tenant,
        "api": choices.api,
        "repository": made.has_new_repository,
        "written": names(made.written),
        "kept": names(made.kept),
        "serve": serve,
        "call": call,
    }
