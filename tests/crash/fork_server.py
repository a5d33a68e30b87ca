"""A fork server: imports everything once, then forks a child per line of stdin.

    python -m tests.crash.fork_server

In: one JSON array per line, `[arguments, log file]`. Out: one process id per line.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys

PRELOADED = (
    "stoa_gitops.cli.run",
    "stoa_gitops.catalog.reader",
    "stoa_gitops.catalog.sources.folder",
    "stoa_gitops.adapters.stoa.adapter",
    "stoa_gitops.store.sqlite",
    "sqlite_utils",
    "watchfiles",
    "stoa_proxy.app",
)


def main() -> None:
    from importlib import import_module

    for name in PRELOADED:
        import_module(name)
    from stoa_gitops.cli.main import main as command

    # The kernel reaps killed children, so that their ids show them as gone at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A collection in a child would write to every page that it shares with the others.
    gc.freeze()
    for line in sys.stdin:
        arguments, log = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for descriptor in (1, 2):
                os.dup2(out, descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os._exit(command(arguments))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
