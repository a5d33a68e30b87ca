"""A command that is told to end takes what it began with it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

GIT = """#!/bin/sh
case "$*" in
  *cat-file*|*ls-tree*|*rev-parse*) echo $$ > "{told}"; exec sleep 600 ;;
  *) exec "{git}" "$@" ;;
esac
"""


def test_sigterm_ends_a_command_and_the_git_that_it_waits_for(tmp_path: Path) -> None:
    git, told, catalog = shutil.which("git"), tmp_path / "told", tmp_path / "catalog"
    assert git is not None
    subprocess.run([git, "init", "-q", catalog], check=True)
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(GIT.format(told=told, git=git))
    fake.chmod(0o755)
    os.mkfifo(told)
    arguments = ["validate", "--catalog", catalog, "--revision", "main"]
    command = [sys.executable, "-m", "stoa_gitops", *arguments]
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        child = os.pidfd_open(int(told.read_text()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    try:
        assert select.select([child], [], [], 30)[0], "git is still there"
    finally:
        os.close(child)
