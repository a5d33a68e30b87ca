"""stdout and stderr that survive a closed pipe or a full disk: the command goes on unchanged."""

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
    """A text stream that drops what is written once its reader has gone (`| head`).

    Another failure raises OutputFailed once if `is_result` (stdout), and is dropped otherwise
    (stderr): there is nowhere left to report it. Everything else is delegated to the stream.
    """

    def __init__(self, stream: IO[str], *, is_result: bool) -> None:
        self._stream = stream
        self._is_result = is_result
        self._is_lost = False

    def write(self, text: str) -> int:
        """Write, or drop what cannot be written any more."""
        if not self._is_lost:
            with self._surviving():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing for a lost stream."""
        if not self._is_lost:
            with self._surviving():
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._is_lost = True
            _redirect_to_null(self._stream)
            if self._is_result and not isinstance(error, BrokenPipeError):
                message = (
                    f"stdout cannot be written ({error.strerror or error}): nothing more is shown"
                )
                raise OutputFailed(message) from error


@contextmanager
def guarded() -> Iterator[None]:
    """Replace stdout and stderr by SafeStreams until the end of the block."""
    out, err = sys.stdout, sys.stderr
    results = SafeStream(_open(out), is_result=True)
    sys.stdout = cast(Any, results)
    sys.stderr = cast(Any, SafeStream(_open(err), is_result=False))
    try:
        yield
    finally:
        # The command has flushed already; what fails here was reported, or is not the main error.
        with suppress(OutputFailed):
            results.flush()
        sys.stdout, sys.stderr = out, err


def _open(stream: IO[str] | None) -> IO[str]:
    """Return the stream, or /dev/null where the process was started without it (`>&-`)."""
    if stream is not None:
        return stream
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - os.devnull is no Path


def _redirect_to_null(stream: IO[str]) -> None:
    """Point a stream to /dev/null, so that its buffer cannot fail again at interpreter exit."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
