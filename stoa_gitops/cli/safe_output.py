"""stdout and stderr while nobody may read them: what a command does, and its exit code, stay the same."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, ClassVar, cast

from stoa_gitops.errors import StoaGitopsError


class OutputFailed(StoaGitopsError):
    """The result of a command cannot be written: the disk behind stdout is full or failing."""

    reason: ClassVar[str] = "OutputFailed"


class SafeStream:
    """A text stream that swallows what is written once its reader has gone (`| head`).

    Another failure raises OutputFailed once where the stream is one of results (`tells`), and is swallowed
    where it is one of remarks: there is nowhere left to say it. Everything else is asked of the stream.
    """

    def __init__(self, stream: IO[str], *, tells: bool) -> None:
        self._stream = stream
        self._tells = tells
        self._is_lost = False

    def write(self, text: str) -> int:
        """Write, or swallow."""
        if not self._is_lost:
            with self._kept():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        if not self._is_lost:
            with self._kept():
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._is_lost = True
            _give_to_nobody(self._stream)
            if self._tells and not isinstance(error, BrokenPipeError):
                message = (
                    f"stdout cannot be written ({error.strerror or error}): nothing more is shown"
                )
                raise OutputFailed(message) from error


@contextmanager
def guarded() -> Iterator[None]:
    """Put outlets in the place of stdout and stderr, until the end of the block."""
    out, err = sys.stdout, sys.stderr
    results = SafeStream(_open(out), tells=True)
    sys.stdout = cast(Any, results)
    sys.stderr = cast(Any, SafeStream(_open(err), tells=False))
    try:
        yield
    finally:
        with suppress(
            OutputFailed
        ):  # after an error of its own a command has other words to end with
            results.flush()
        sys.stdout, sys.stderr = out, err


def _open(stream: IO[str] | None) -> IO[str]:
    """Return the stream; one that swallows everything where the process was started without (`>&-`)."""
    return open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: PTH123


def _give_to_nobody(stream: IO[str]) -> None:
    """Point a stream to nowhere, so that what it holds back cannot fail again when the interpreter ends."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
