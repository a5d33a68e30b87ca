"""Lines for the process's streams: in their order, whole, whatever the stream is."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.foundation.output_thread import _PIECE, OutputThread, _pieces

from tests.laws import examples


@examples(100)
@given(st.lists(st.integers(0, 3 * _PIECE), max_size=20), st.booleans())
def test_pieces_are_whole_lines_and_together_all_of_them(sizes: list[int], is_cut: bool) -> None:
    content = b"".join(b"x" * size + b"\n" for size in sizes)
    if is_cut:
        content = content[:-1]
    pieces = list(_pieces(content))
    assert b"".join(pieces) == content
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
    assert all(len(piece) <= _PIECE or piece.count(b"\n") <= 1 for piece in pieces)


async def test_a_text_stream_is_written_to_and_a_closed_one_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread = OutputThread()
    text = io.StringIO()
    monkeypatch.setattr("sys.stderr", text)
    await thread.write("stderr", b"a\n")
    await thread.write("stderr", b"b\n")
    assert text.getvalue() == "a\nb\n"
    text.close()
    with pytest.raises(OSError, match="closed"):
        await thread.write("stderr", b"c\n")
    thread.stop()


async def test_a_pipe_whose_reader_is_gone_is_an_error_and_the_thread_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    thread = OutputThread()
    reading, writing = os.pipe()
    os.close(reading)
    with monkeypatch.context() as patch, os.fdopen(writing, "wb", buffering=0) as pipe:
        patch.setattr("sys.stdout", pipe)
        with pytest.raises(BrokenPipeError):
            await thread.write("stdout", b"a\n")
    await thread.write("stdout", b"b\n")
    thread.stop()
    assert capfd.readouterr().out == "b\n"


async def test_a_file_gets_all_lines_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    thread, content = OutputThread(), b"x" * 99 + b"\n"
    sizes: list[int] = []
    write = os.write

    def note(number: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(number, data)

    with monkeypatch.context() as patch, (tmp_path / "log").open("wb") as file:
        patch.setattr("sys.stderr", file)
        patch.setattr("os.write", note)
        await thread.write("stderr", content * 1000)
    thread.stop()
    assert (tmp_path / "log").read_bytes() == content * 1000
    assert 100_000 in sizes
