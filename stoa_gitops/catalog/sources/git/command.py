"""Runs Git, through GitPython's command interface; no other module does.

No hook, helper, pager, file system monitor or transport of a configuration runs: the configurations
of the system and the user are not read, and what the repository's own could start is switched off.
What a Git hook or a shell set for Git (`GIT_DIR`, `GIT_INDEX_FILE` …) does not reach it. Every call
has a timeout. A token is never part of arguments, environment or errors: Git asks for it through
our askpass program, which reads its file.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoa_gitops.catalog.sources.git.processes import watched
from stoa_gitops.errors import CatalogError, CatalogUnreachable

READ_TIMEOUT: Final = 60.0
"""Seconds for a command on a local repository; on a slow disk a large one takes several."""

OLDEST: Final = (2, 32)
"""First version that reads settings from `GIT_CONFIG_COUNT` (2.31) and `GIT_CONFIG_GLOBAL` (2.32):
an older one would ignore what keeps a repository's configuration from running programs."""

KEPT: Final = frozenset({
    "GIT_EXEC_PATH",
    "GIT_HTTP_PROXY_AUTHMETHOD", "GIT_HTTP_USER_AGENT",
    "GIT_PROXY_SSL_CAINFO", "GIT_PROXY_SSL_CERT", "GIT_PROXY_SSL_CERT_PASSWORD_PROTECTED",
    "GIT_PROXY_SSL_KEY",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_CERT_PASSWORD_PROTECTED",
    "GIT_SSL_CIPHER_LIST", "GIT_SSL_KEY", "GIT_SSL_VERSION",
    "GIT_TEST_ASSUME_DIFFERENT_OWNER",
})  # fmt: skip
"""Variables of Git that reach it: where its programs are, and how a server is reached by TLS.

All others describe another repository (`GIT_DIR`), switch checks off (`GIT_SSL_NO_VERIFY`), write
files (`GIT_TRACE`), or name programs to run (`GIT_SSH`): ~/.ssh/config says how a host is reached.
"""

QUARANTINE: Final = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
"""Where the objects of a push are while a pre-receive hook looks at them (git-receive-pack(1))."""

_SETTINGS: Final = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "credential.helper": "",
    "credential.interactive": "false",
    "protocol.allow": "never",
    "protocol.version": "2",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "transfer.fsckObjects": "true",
    "fetch.unpackLimit": "1",
    "submodule.recurse": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
}


def environment_of(settings: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return variables for Git; settings go into `GIT_CONFIG_*`, never into arguments."""
    env = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_TERMINAL_PROMPT": "0",
        # `true` prints nothing: without a token Git must fail instead of waiting for a person.
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_OPTIONAL_LOCKS": "0",
        # A partial clone would fetch missing objects from wherever its configuration says.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
        **extra,
    }
    for index, (name, value) in enumerate(settings.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = name
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    return env


def run_git(
    arguments: Sequence[str],
    *,
    timeout: float,
    settings: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> tuple[int, bytes, str]:
    """Run Git; return (exit status, stdout, stderr as text).

    Raises CatalogError where Git is missing or too old, CatalogUnreachable when the time is over.
    """
    _check_version()
    env = environment_of({**_SETTINGS, **(settings or {})}, extra or {})
    return _run(arguments, env, timeout, stdin)


def _run(
    arguments: Sequence[str], env: Mapping[str, str], timeout: float, stdin: bytes | None = None
) -> tuple[int, bytes, str]:
    try:
        from git import Git
        from git.exc import GitCommandNotFound
    except ImportError:
        raise CatalogError("git is not installed: install it, or give a plain folder") from None

    def start() -> subprocess.Popen[bytes]:
        guard: Any = Git("/").execute(
            [*_without_inherited(env), "git", *arguments],
            as_process=True,
            env=dict(env),
            istream=subprocess.PIPE if stdin is not None else None,
            start_new_session=True,
        )
        child: subprocess.Popen[bytes] = guard.proc
        # GitPython's guard kills the process when it is collected; `watched` ends it instead.
        guard.proc = None
        return child

    try:
        with watched(start) as process:
            output, complaint = process.communicate(stdin, timeout=timeout)
    except GitCommandNotFound:
        raise CatalogError("git is not installed: install it, or give a plain folder") from None
    except subprocess.TimeoutExpired:
        raise CatalogUnreachable(f"git did not finish within {timeout:g} s; try again") from None
    return process.returncode, output, complaint.decode("utf-8", "replace").strip()


def _without_inherited(env: Mapping[str, str]) -> list[str]:
    """Return the command that drops inherited variables of Git, empty where there are none.

    GitPython can add variables to those of this process and not take any away.
    """
    inherited = sorted(
        name
        for name in os.environ
        if name.startswith("GIT_") and name not in env and name not in KEPT
    )
    unset = [word for name in inherited for word in ("-u", name)]
    return ["env", *unset] if unset else []


def _check_version() -> None:
    """Raise CatalogError where Git is older than `OLDEST`."""
    version = _version(os.environ.get("PATH", ""))
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is not None and (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise CatalogError(
            f"{version} is too old: install git {oldest} or newer, or give a plain folder "
            "without --revision"
        )


@functools.lru_cache(maxsize=1)
def _version(_path: str) -> str:
    """Return what `git version` prints, asked once for each PATH."""
    return (
        _run(["version"], environment_of({}, {}), READ_TIMEOUT)[1]
        .decode("utf-8", "replace")
        .strip()
    )
