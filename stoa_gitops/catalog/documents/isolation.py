"""Runs what takes long for a large file in a child process, which a data plane does not wait for.

Parsers hold the interpreter's lock while they are at work, so a thread would keep the event loop of
its process from answering. The child is started for the first large file of a reading and ends
with it; its memory and the time for one file are bounded.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Final, TypeVar

from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.sources.git.processes import watched

T = TypeVar("T")

LARGE: Final = 32_768
"""Bytes from which a file is read in the child: up to here the fast parser takes 5 ms."""

_SECONDS: Final = 60.0
"""Time for one file: the largest takes 10 s on a slow machine."""

_MEMORY: Final = 2 * 2**30
"""Address space of the child: the largest OpenAPI document takes a third of it."""

_HEAD: Final = 8  # bytes of a message that hold its length
_PIECE: Final = 65_536
_NICENESS: Final = 5


class ChildFailed(Exception):
    """The child ended, or took too long, at one file; the message says which."""


class Isolation:
    """Runs work in this process; the base of what runs it elsewhere."""

    def call(self, name: str, size: int, here: Callable[[], T], *arguments: Any) -> T:
        """Return the result of a piece of work on `size` bytes.

        `here` does it in this process; a child does it by the name and the arguments. Raises
        ChildFailed where a child cannot.
        """
        return here()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Give back at its end what was started in the block."""
        yield


class ChildIsolation(Isolation):
    """Runs work on large files in a child process; `command` starts one that calls `serve`."""

    def __init__(self, command: Sequence[str], *, seconds: float = _SECONDS) -> None:
        self._command = tuple(command)
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._resources = contextlib.ExitStack()

    def call(self, name: str, size: int, here: Callable[[], T], *arguments: Any) -> T:
        """Return the result of a piece of work; small ones are done here."""
        if size < LARGE:
            return here()
        try:
            child = self._running()
        except OSError:
            return here()  # no process to be had: read slowly rather than not at all
        try:
            result: T = self._ask(child, (name, arguments))
        except TimeoutError:
            self._end()
            raise ChildFailed(f"reading it took more than {self._seconds:g} s") from None
        except (OSError, EOFError):
            self._end()
            raise ChildFailed("the process that read it ended") from None
        return result

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """End the child with the block."""
        try:
            yield
        finally:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = self._resources.enter_context(watched(self._start))
        return self._child

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with contextlib.suppress(OSError):
                child.communicate()
        self._resources.close()

    def _ask(self, child: subprocess.Popen[bytes], request: object) -> Any:
        assert child.stdin is not None
        assert child.stdout is not None
        _write(child.stdin, pickle.dumps(request))
        answer = _Answer(child.stdout.fileno(), time.monotonic() + self._seconds)
        size = int.from_bytes(answer.take(_HEAD), "big")
        return pickle.loads(answer.take(size))  # noqa: S301 - what our own child wrote


class _Answer:
    """Reads what the child writes, until a time."""

    def __init__(self, descriptor: int, end: float) -> None:
        self._descriptor = descriptor
        self._end = end
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def take(self, size: int) -> bytes:
        """Return so many bytes; raises TimeoutError, and EOFError where the child ended."""
        pieces: list[bytes] = []
        while size > 0:
            left = self._end - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1_000):
                raise TimeoutError
            piece = os.read(self._descriptor, min(size, _PIECE))
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_HEAD, "big"))
    pipe.write(message)
    pipe.flush()


def serve(work: Mapping[str, Callable[..., object]]) -> None:
    """Do what is asked on stdin, and write the results to stdout, until stdin ends."""
    _bound_process()
    requests, results = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(_HEAD):
        name, arguments = pickle.loads(  # noqa: S301 - what our own parent wrote
            requests.read(int.from_bytes(head, "big"))
        )
        _write(results, pickle.dumps(work[name](*arguments)))


def _bound_process() -> None:
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # Requests come first where both want the processor.
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)


def failure(error: ChildFailed) -> Finding:
    """Return the finding about a file that the child did not get through."""
    return Finding(
        "document.internal",
        f"this file cannot be read: {error}",
        hint="make it smaller or simpler; it is an error of this program if it is neither",
        line=1,
    )
