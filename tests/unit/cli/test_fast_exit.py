"""How the process of a command ends: at once where it only read, in order everywhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, os, sys, threading
from stoa_gitops.cli.fast_exit import fast_exit

class Read:
    def __del__(self):
        print("given back", flush=True)

def command():
    read = Read()
    {step}
    atexit.register(print, "put in order")
    print("result")
    print("remark", file=sys.stderr)
    return 7

end = os._exit

def at_once(code):
    print("at once", flush=True)
    end(code)

os._exit = at_once
{before}
fast_exit.run(command)
"""


def lines(step: str, before: str = "") -> list[str]:
    program = PROGRAM.format(step=step, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (7, "remark\n")
    return done.stdout.splitlines()


def test_what_a_command_only_read_is_left_to_the_system() -> None:
    assert lines("fast_exit.hold(read)") == ["result", "put in order", "at once"]


def test_a_command_that_does_more_than_read_gives_everything_back() -> None:
    assert lines("pass") == ["result", "given back", "put in order"]


@pytest.mark.parametrize(
    "before",
    ["sys.setprofile(lambda *event: None)", "sys.settrace(lambda *event: None)",
     "threading.Thread(target=threading.Event().wait, daemon=True).start()"],
)  # fmt: skip
def test_who_watches_or_works_beside_it_gets_an_end_in_order(before: str) -> None:
    said = lines("fast_exit.hold(read)", before)
    assert said[:2] == ["result", "put in order"]
    assert "at once" not in said


def test_nothing_is_held_in_a_process_that_is_somebody_elses() -> None:
    program = PROGRAM.format(step="fast_exit.hold(read)", before="command(); sys.exit(7)")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines()[:2] == ["result", "given back"]
