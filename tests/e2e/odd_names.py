"""The command line with a resolver of its own: names that lead where a test says.

    python -m tests.e2e.odd_names FILE run …

FILE is a JSON object: for each name its answers, lists of addresses. They are given in turn, the
last one for ever; every other name is looked up as usual.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any


def set_names(answers: dict[str, list[list[str]]]) -> None:
    """Put the answers before the system's."""
    usual = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return usual(host, port, *more, **named)
        turns = answers[name]
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, int(port)))
            for one in found
        ]

    socket.getaddrinfo = look_up


if __name__ == "__main__":
    from stoa_gitops.cli.main import main

    set_names(json.loads(Path(sys.argv[1]).read_text()))
    sys.exit(main(sys.argv[2:]))
