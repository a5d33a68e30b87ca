"""A fork server: imports the program once, then forks a process for each command asked for.

    python -m tests.fork_server DESCRIPTOR

DESCRIPTOR is one end of a pair of sockets of tests/children.py, which says what goes over it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

PART = 1 << 16
LOADED_LATE = (
    "anyio._backends._asyncio",
    "anyio.to_thread",
    "apscheduler.executors.asyncio",
    "apscheduler.schedulers.asyncio",
    "git",
    "httpx",
    "jsonschema_rs",
    "jwt",
    "openapi_spec_validator",
    "orjson",
    "rich.console",
    "ruamel.yaml",
    "sniffio",
    "sqlite_utils",
    "uvloop",
    "watchfiles",
)
"""What the modules of the program import where they need it, and not before."""


def load() -> None:
    """Import all that a command may import, and make what is the same for each listener."""
    for package in ("stoa_gitops", "stoa_proxy", "stoa_bootstrap"):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            # These two run or hook into whatever imports them.
            if not module.name.endswith((".__main__", ".pytest_plugin")):
                importlib.import_module(module.name)
    for name in LOADED_LATE:
        importlib.import_module(name)
    importlib.import_module("stoa_gitops.control.openapi").text()


class Server:
    """The processes that were forked, and where the end of each is waited for."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._ends: dict[int, int] = {}
        self._wake, waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(waker, False)
        self._waker = waker
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Ctrl-C is for those that are tested, and for pytest.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> None:
        """Fork for each message until the other end closes the pair."""
        while True:
            ready, _, _ = select.select([self._channel, self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._channel in ready:
                message, descriptors, _, _ = socket.recv_fds(self._channel, PART, 4)
                if not message:
                    return
                while not message.endswith(b"\n"):
                    message += self._channel.recv(PART)
                self._fork(json.loads(message), descriptors)

    def _fork(self, asked: dict[str, Any], descriptors: list[int]) -> None:
        *streams, end = descriptors
        pid = os.fork()
        if pid == 0:
            with contextlib.ExitStack() as always:
                always.callback(os._exit, 70)
                self._become(asked, descriptors)
        for descriptor in streams:
            os.close(descriptor)
        self._ends[pid] = end
        self._channel.send(str(pid).encode())

    def _reap(self) -> None:
        while self._ends:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            end = self._ends.pop(pid)
            # Whoever asked may be gone.
            with contextlib.suppress(BrokenPipeError):
                os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(end)

    def _become(self, asked: dict[str, Any], received: list[int]) -> NoReturn:
        """Be what `python -m MODULE` would be: streams, signals, folder and environment."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(received[:3]):
            os.dup2(descriptor, number)
        for descriptor in (*received, *self._ends.values(), self._wake, self._waker):
            os.close(descriptor)
        self._channel.close()
        os.environ.clear()
        os.environ.update(asked["environment"])
        time.tzset()
        os.chdir(asked["folder"])
        sys.path[0] = asked["folder"]
        _open_streams()
        module, *sys.argv[1:] = asked["words"]
        _leave(_run(module))


def _open_streams() -> None:
    """Open the three standard streams as the interpreter does when it starts."""
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        before = getattr(sys, name)
        stream = open(  # noqa: SIM115
            number,
            mode,
            encoding=before.encoding,
            errors=before.errors,
            newline=None if mode == "r" else "\n",
            closefd=False,
        )
        if mode == "w":
            stream.reconfigure(line_buffering=number == 2 or os.isatty(number))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _run(module: str) -> object:
    """Run a module as the program; return what it exits with."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        return exit.code
    except KeyboardInterrupt:
        traceback.print_exc()
        _end_as_interrupted()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end_as_interrupted() -> None:
    """End by the signal, as the interpreter does when nobody caught it."""
    sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _leave(code: object) -> NoReturn:
    """Exit as the interpreter does, but for freeing one by one what it shares with the server."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = 120
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    server = Server(socket.socket(fileno=int(sys.argv[1])))
    load()
    # A collection in a child would write to every page that it shares with the others.
    gc.collect()
    gc.freeze()
    server.serve()
