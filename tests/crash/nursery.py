"""Starts processes quickly: everything is imported once, and each line of stdin forks a child of it.

python -m tests.crash.nursery        one JSON list of arguments a line in, one process id a line out
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys

WARM = (
    "stoa_gitops.cli.run", "stoa_gitops.catalog.reader", "stoa_gitops.catalog.sources.folder",
    "stoa_gitops.adapters.stoa.adapter", "stoa_gitops.store", "sqlite_utils", "watchfiles", "stoa_proxy.app",
)  # fmt: skip


def main() -> None:
    from importlib import import_module

    for name in WARM:
        import_module(name)
    from stoa_gitops.cli.main import main as command

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
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
