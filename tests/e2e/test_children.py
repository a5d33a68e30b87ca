"""A forked process is a process: what tests rely on that fork one instead of starting Python."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.children import environment, fork, run, run_in_turn
from tests.e2e.running import until

ECHO = """\
import json, os, sys
print(json.dumps([__name__, sys.argv[1:], os.getcwd(), os.environ.get("ONE"), sys.stdin.read()]))
sys.stderr.write("said\\n")
raise SystemExit(int(sys.argv[1]))
"""
READY = """\
import pathlib, sys, time
pathlib.Path("ready").touch()
while True:
    time.sleep(1)
"""
LIST = "import json, os; print(json.dumps(sorted(os.listdir('/proc/self/fd'))))"
LATE = """\
import sys, threading

def say() -> None:
    threading.main_thread().join()
    sys.stderr.write("from a thread")

threading.Thread(target=say).start()
"""


def module(folder: Path, name: str, code: str) -> str:
    (folder / f"{name}.py").write_text(code)
    return name


def test_it_has_its_words_folder_environment_and_streams(tmp_path: Path) -> None:
    name = module(tmp_path, "echoing", ECHO)
    done = run(name, "7", "a b", env=environment(ONE="é"), cwd=tmp_path, input=b"given")
    assert (done.returncode, done.stderr) == (7, "said\n")
    assert json.loads(done.stdout) == ["__main__", ["7", "a b"], str(tmp_path), "é", "given"]


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("pass", 0, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit('in words')", 1, "in words\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os; os._exit(9)", 9, ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import os; os.kill(os.getpid(), 2)", -signal.SIGINT, "KeyboardInterrupt"),
        ("import atexit, sys; atexit.register(sys.stderr.write, 'at the end')", 0, "at the end"),
        (LATE, 0, "from a thread"),
    ],
)
def test_it_ends_as_the_interpreter_does(
    tmp_path: Path, code: str, status: int, words: str
) -> None:
    name = module(tmp_path, f"ending_{abs(hash(code))}", code)
    done = run(name, cwd=tmp_path)
    assert done.returncode == status
    assert words in done.stderr


async def test_it_is_signalled_and_waited_for(tmp_path: Path) -> None:
    name = module(tmp_path, "waiting", READY)
    child = fork(name, cwd=tmp_path)
    assert child.returncode is None

    async def is_ready() -> bool | None:
        return (tmp_path / "ready").exists() or None

    try:
        await until(is_ready, "the child")
    finally:
        child.terminate()
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGTERM
    child.kill()
    assert child.returncode == -signal.SIGTERM


async def test_it_has_nothing_of_another_one(tmp_path: Path) -> None:
    name = module(tmp_path, "listing", LIST)
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    waiting = [fork(module(tmp_path, "waiting", READY), cwd=tmp_path) for _ in range(2)]
    try:
        done = await run_in_turn(name, cwd=tmp_path)
    finally:
        for child in waiting:
            child.kill()
            await child.wait()
    # The fourth is that of the list itself.
    assert json.loads(done.stdout) == ["0", "1", "2", "3"]
