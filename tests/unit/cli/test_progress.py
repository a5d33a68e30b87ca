"""Progress is for what takes long, on stderr, as a bar on a terminal and as lines elsewhere."""

from __future__ import annotations

import os
import pty
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoa_gitops.cli import progress
from stoa_gitops.cli.run import TextPresenter
from tests.unit.reconcile.world import catalog


class Terminal:
    """A pseudo-terminal that is read all the time, as real ones are."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        self.stream = os.fdopen(self._theirs, "w", buffering=1)
        self._text = b""
        self._grown = threading.Condition()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        while True:
            try:
                found = os.read(self._ours, 4096)
            except OSError:  # the other end is closed
                return
            with self._grown:
                self._text += found
                self._grown.notify_all()

    def shows(self, text: bytes) -> bool:
        """Wait until the text has appeared."""
        with self._grown:
            return self._grown.wait_for(lambda: text in self._text, timeout=30)

    def close(self) -> bytes:
        """Return everything that was shown."""
        self.stream.close()
        self._reading.join()
        os.close(self._ours)
        return self._text


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal; the test makes it stderr, because pytest sets that anew after fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    found = Terminal()
    yield found
    if not found.stream.closed:
        found.close()


def test_what_is_quick_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown("Reading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_plain_lines_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.001)
    seen = threading.Event()
    line = progress._lines

    def watched(label: str, done: threading.Event) -> None:
        class Done(threading.Event):
            turns = 0

            def wait(self, timeout: float | None = None) -> bool:
                self.turns += 1
                if self.turns == 3:
                    seen.set()
                    return done.wait()
                return False

        line(label, Done())

    monkeypatch.setattr(progress, "_lines", watched)
    with progress.shown("Reading the catalog"):
        assert seen.wait(30)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Reading the catalog: 0 s so far\n" * 2


def test_a_terminal_gets_a_bar_that_goes_away(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setattr(progress, "AFTER", 0.0)
    with progress.shown("Reading the [catalog]"):
        assert terminal.shows(b"Reading the [catalog]")
    assert terminal.close().endswith(b"\x1b[2K"), "the line is wiped"


def test_a_dumb_terminal_gets_no_bar(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setattr(progress, "AFTER", 0.0)
    with progress.shown("Reading"):
        pass
    assert terminal.close() == b""


def test_the_start_of_a_process_says_what_it_waits_for_and_the_log_stays_readable(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setattr(progress, "AFTER", 0.0)
    with TextPresenter() as presenter:
        assert terminal.shows(b"Reading the catalog")
        sys.stderr.write("12:00:00 WARNING something to know\n")
        assert terminal.shows(b"something to know\r\n")
        presenter.catalog(catalog())
        assert terminal.shows(b"Bringing gateways up to date")
        presenter.listening("http://127.0.0.1:1", "", catalog())
        assert "progress" not in {thread.name for thread in threading.enumerate()}
        presenter.catalog(catalog())
    assert terminal.close().endswith(b"\x1b[2K"), "the line is wiped"
    assert capsys.readouterr().out.count("is valid") == 2


def test_elsewhere_the_start_of_a_process_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with TextPresenter() as presenter:
        assert "progress" not in {thread.name for thread in threading.enumerate()}
        presenter.catalog(catalog())
    assert capsys.readouterr().err == ""


def test_a_failure_passes_and_the_thread_ends() -> None:
    with pytest.raises(ZeroDivisionError), progress.shown("Reading"):
        raise ZeroDivisionError
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_names_are_completed_from_files_alone(tmp_path: Path) -> None:
    from stoa_gitops.cli.completion import names

    for path in (
        "gateways/a.yaml",
        "gateways/b.yml",
        "gateways/notes.txt",
        "tenants/t/x",
        "tenants/README",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(names(tmp_path, "gateways")) == ["a", "b"]
    assert sorted(names(tmp_path, "tenants")) == ["t"]
    assert list(names(tmp_path / "nowhere", "gateways")) == []
