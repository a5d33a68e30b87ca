"""The first start with a catalog in a repository of 300 MB: bytes fetched, and peak of memory.

To reach: 20 MB and 150 MB. A `git clone` fetches all 300 MB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.unit.catalog.sources.git_http import serve

COMMITS, BYTES = 30, 10_000_000
EXAMPLE = Path(__file__).resolve().parents[1] / "catalog-example"


def build(folder: Path) -> None:
    """Make a bare repository whose tip has the example catalog beside one file of media."""
    work = folder / "work"
    shutil.copytree(EXAMPLE, work)
    git(work, "init", "-q", "-b", "main")
    for number in range(COMMITS):
        (work / "media").write_bytes(os.urandom(BYTES))
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", str(number))
    git(folder, "clone", "-q", "--bare", "work", "catalog.git")
    git(folder / "catalog.git", "config", "uploadpack.allowFilter", "true")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", folder, *arguments],
        check=True,
    )


def peak_of(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return seconds and the largest sum of resident MB of a command and its children."""
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.005)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return time.monotonic() - began, peak / 1e6


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        with serve(folder) as server:
            url = server.url("catalog.git")
            command = [sys.executable, "-m", "stoa_gitops", "validate", "--catalog", url]
            env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
            show("first start", server, *peak_of(command, env))
            show("second start", server, *peak_of(command, env))


def show(what: str, server: object, seconds: float, peak: float) -> None:
    sent, server.sent = server.sent, 0  # type: ignore[attr-defined]
    print(f"{what:18} {sent / 1e6:8.2f} MB fetched {peak:6.0f} MB peak {seconds:6.2f} s")


if __name__ == "__main__":
    main()
