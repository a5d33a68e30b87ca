"""The tests of the data plane over its fast engine that `make test` runs over the other alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.proxy.conftest import OVER_BOTH


@pytest.mark.heavy
def test_everything_holds_over_the_fast_engine() -> None:
    # A test without an event loop runs no engine.
    selected = ["-m", "asyncio and not heavy", *(f"--ignore-glob=*/{name}" for name in OVER_BOTH)]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *selected, "tests/proxy"]
    found = subprocess.run(
        command,
        env={**os.environ, "PROXY_TEST_ENGINE": "fast"},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-8000:]
    assert " passed" in found.stdout
