"""Runs the `terminal` blocks of a page and draws what the terminal showed.

The blocks of a page share one folder, in which `catalog-example` and the files of `docs/site/files`
lie, and run in their order. The words after `terminal` on the first line of a block:

| word | meaning |
|---|---|
| `exit=CODE` | the code that the commands must end with, 0 without it |
| `until=WORDS` | leave it running once it has shown these words (`_` for a blank) |
| `stop` | end what was left running last, and show what it printed since |
| `hidden` | show neither commands nor screenshot |

A block `yaml title="PATH"` is a file that a reader writes at this point, and so is it here.

A command that ends otherwise fails the build: a page shows only what happened.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[2]
COLUMNS = 100
# For one block; the slowest installs nothing and takes about three seconds on an idle machine.
SECONDS = 300.0
BLOCK = re.compile(
    r'^```(?:terminal([^\n]*)|yaml title="([^"\n]+)")\n(.*?)^```$', re.MULTILINE | re.DOTALL
)
# Ports as pages say them, with a service of their own; the commands get ones that are free.
PORTS = ("8080", "8000", "9000")
# Without ground, border and fonts: the page has them (docs/assets/site.css).
SCREENSHOT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {terminal_width} {terminal_height}">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, \
"DejaVu Sans Mono", monospace; }}
{styles}
</style>
<defs>
{lines}
</defs>
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</svg>
"""


class BlockFailed(Exception):
    """A block did not end as its page says."""


@dataclass(frozen=True)
class Block:
    """One block of a page.

    words     those of its first line, after the language
    commands  what bash runs; the text of the file where there is a path
    path      of a file to write, empty for commands
    """

    words: tuple[str, ...]
    commands: str
    path: str = ""

    def value(self, name: str) -> str | None:
        """Return what follows `name=`, or None."""
        for word in self.words:
            if word.startswith(f"{name}="):
                return word.partition("=")[2].replace("_", " ")
        return None


def blocks_of(text: str) -> Iterator[tuple[str, Block]]:
    """Yield each block of a page as it stands there and as it is understood."""
    for found in BLOCK.finditer(text):
        yield found[0], Block(tuple((found[1] or "").split()), found[3], found[2] or "")


class Terminal:
    """A folder and a terminal in which the blocks of one page run, one after the other."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pages-"))
        self._home = self._folder / "home"
        self._work = self._folder / "work"
        self._home.mkdir()
        self._ports = {port: str(_free_port()) for port in PORTS}
        shutil.copytree(ROOT / "docs" / "site" / "files", self._work)
        for path in self._work.glob("*.yaml"):
            path.write_text(self._translate(path.read_text()))
        shutil.copytree(ROOT / "catalog-example", self._work / "catalog-example")
        self._running: list[_Running] = []

    def close(self) -> None:
        """End what still runs, and remove the folder."""
        while self._running:
            self._running.pop().end()
        shutil.rmtree(self._folder)

    def run(self, block: Block) -> str:
        """Run a block and return what the terminal showed. Raises BlockFailed."""
        if block.path:
            path = self._work / block.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._translate(block.commands))
            return ""
        if "stop" in block.words:
            return self._stop()
        process = _Running(self._translate(block.commands), self._work, self._environment())
        until = block.value("until")
        try:
            if until is None:
                shown, code = process.finish()
                expected = int(block.value("exit") or "0")
                if code != expected:
                    raise BlockFailed(
                        f"{block.commands}ended with {code}, not {expected}:\n{shown}"
                    )
            else:
                shown = process.read_until(until)
                self._running.append(process)
        except BaseException:
            process.end()
            raise
        return self._translate_back(shown)

    def _stop(self) -> str:
        if not self._running:
            raise BlockFailed("nothing runs that could be stopped")
        return self._translate_back(self._running.pop().end())

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self._home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "STOA_GITOPS_GATEWAY_LISTEN": f"127.0.0.1:{self._ports['8080']}",
            "STOA_GITOPS_CONTROL_LISTEN": f"127.0.0.1:{self._ports['8000']}",
        }

    def _translate(self, text: str) -> str:
        for shown, real in self._ports.items():
            text = re.sub(rf"\b{shown}\b", real, text)
        return text

    def _translate_back(self, text: str) -> str:
        for shown, real in self._ports.items():
            text = re.sub(rf"\b{real}\b", shown, text)
        return text.replace(f"{self._work}/", "").replace(str(self._work), ".")


class _Running:
    """Commands of bash in a terminal of their own."""

    def __init__(self, commands: str, folder: Path, environment: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", commands],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._terminal = ours
        self._shown = b""
        self._deadline = time.monotonic() + SECONDS

    def finish(self) -> tuple[str, int]:
        """Return what was shown, and the code, when the commands have ended."""
        while self._read():
            pass
        return self._take(), self._process.wait()

    def read_until(self, words: str) -> str:
        """Return what was shown up to the line with these words. Raises BlockFailed."""
        while words.encode() not in self._shown:
            if not self._read():
                raise BlockFailed(f"ended without {words!r}:\n{self._take()}")
        return self._take()

    def end(self) -> str:
        """End the commands, and return what was shown since."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._deadline = time.monotonic() + SECONDS
        while self._read():
            pass
        self._process.wait()
        os.close(self._terminal)
        return self._take()

    def _take(self) -> str:
        shown, self._shown = self._shown, b""
        return shown.decode().replace("\r\n", "\n")

    def _read(self) -> bool:
        """Read what is there next; False at the end. Raises BlockFailed after SECONDS."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._terminal, selectors.EVENT_READ)
            if not selector.select(max(0.0, self._deadline - time.monotonic())):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                raise BlockFailed(f"not done after {SECONDS:.0f} s:\n{self._take()}")
        try:
            part = os.read(self._terminal, 65536)
        except OSError:  # Linux: the last process that had the terminal has gone.
            return False
        self._shown += part
        return bool(part)


def _free_port() -> int:
    """Return a port that nobody has, and that stays so while nothing of the page listens there.

    Linux hands out those from 32,768 on, also to connections.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def draw(shown: str, unique_id: str) -> str:
    """Return a screenshot, SVG, of what a terminal showed. It loads nothing, fonts included."""
    text = Text.from_ansi(shown.rstrip("\n"))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(text, soft_wrap=False)
        return console.export_svg(
            theme=DIMMED_MONOKAI,
            code_format=SCREENSHOT,
            unique_id=unique_id,
            font_aspect_ratio=0.61,
        )
