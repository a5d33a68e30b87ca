"""Processes of the command line without the half second that Python takes to import it.

They are forked by a server that has imported the program once (tests/fork_server.py), one server
for each process of pytest: real processes, with a process id, signals, streams and an exit code of
their own. What a test says about the start itself, it says about `python -m` (`running.command`).

Over the pair of sockets goes a line of JSON for each process, with four descriptors: its three
streams, and a pipe into which the server writes the exit code. The answer is the process id.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).resolve().parents[1]
BOUND = 300.0
"""Seconds after which a process that does not end is killed; machines are shared."""


class Child:
    """A forked process, with the face of a process of asyncio but for its streams.

    A signal after its end is an error, as there; `finish` is for tests that are no coroutines.
    """

    def __init__(self, pid: int, end: int) -> None:
        self.pid = pid
        self._end = end
        self._code: int | None = None

    def __del__(self) -> None:
        if self._code is None:
            os.close(self._end)

    @property
    def returncode(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        if self._code is None and select.select([self._end], [], [], 0)[0]:
            self._take_code()
        return self._code

    async def wait(self) -> int:
        loop = asyncio.get_running_loop()
        while self.returncode is None:
            readable = asyncio.Event()
            loop.add_reader(self._end, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._end)
        assert self._code is not None
        return self._code

    def finish(self) -> int:
        """Wait for the end, in this thread; kill what does not end."""
        if self._code is None:
            if not select.select([self._end], [], [], BOUND)[0]:
                self.kill()
                raise AssertionError(f"process {self.pid} did not end within {BOUND:.0f} s")
            self._take_code()
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _take_code(self) -> None:
        said = os.read(self._end, 16)
        os.close(self._end)
        self._code = int(said) if said else -signal.SIGKILL
        assert said, "the fork server ended before its child"


def environment(**extra: str) -> dict[str, str]:
    """The environment of a child: ours without what would steer the program, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STOA_") and k != "NO_COLOR"}
    return {**kept, **extra}


def fork(
    *words: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: IO[bytes] | int | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> Child:
    """Start `python -m WORDS`; streams are files or descriptors, else the null device."""
    variables = dict(environment() if env is None else env)
    steered = {n for n in variables if n.startswith(("PYTHON", "LC_", "LANG"))}
    # The server's interpreter has read these when it started.
    assert all(variables[name] == os.environ.get(name) for name in steered), steered
    asked = {"words": words, "folder": str(cwd or Path.cwd()), "environment": variables}
    with contextlib.ExitStack() as closing:
        null = os.open(os.devnull, os.O_RDWR)
        closing.callback(os.close, null)
        descriptors = [
            null if one is None else one if isinstance(one, int) else one.fileno()
            for one in (stdin, stdout, stderr)
        ]
        end, ended = os.pipe()
        closing.callback(os.close, ended)
        channel = _server()
        message = json.dumps(asked).encode() + b"\n"
        sent = socket.send_fds(channel, [message], [*descriptors, ended])
        channel.sendall(message[sent:])
        return Child(int(channel.recv(32)), end)


def run(
    *words: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: bytes | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m WORDS` to its end, with `input` as stdin."""
    with Outputs(input) as outputs:
        child = fork(*words, env=env, cwd=cwd, **outputs.streams)
        return subprocess.CompletedProcess(words, child.finish(), *outputs.read())


async def run_in_turn(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m WORDS` to its end while servers of the test answer it."""
    with Outputs() as outputs:
        child = fork(*words, env=env, cwd=cwd, **outputs.streams)
        try:
            code = await asyncio.wait_for(child.wait(), BOUND)
        finally:
            child.kill()
        return subprocess.CompletedProcess(words, code, *outputs.read())


class Outputs:
    """Files that take what a child writes: no pipe that somebody would have to read meanwhile."""

    def __init__(self, input: bytes | None = None) -> None:
        self.streams: dict[str, IO[bytes]] = {}
        self._input = input

    def __enter__(self) -> Self:
        names = ("stdout", "stderr") if self._input is None else ("stdin", "stdout", "stderr")
        self.streams = {name: tempfile.TemporaryFile() for name in names}  # noqa: SIM115
        if self._input is not None:
            self.streams["stdin"].write(self._input)
            self.streams["stdin"].seek(0)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.streams.values():
            file.close()

    def read(self) -> tuple[str, str]:
        """Return what was written to stdout and to stderr."""
        out, err = self.streams["stdout"], self.streams["stderr"]
        out.seek(0)
        err.seek(0)
        return out.read().decode(), err.read().decode()


@functools.cache
def _server() -> socket.socket:
    """Start the fork server of this process; it ends when this end of the pair is closed."""
    ours, its = socket.socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", str(its.fileno())],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=(its.fileno(),),
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
