"""All tests of the data plane over its fast engine; `make test` runs a part of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.heavy
def test_everything_holds_over_the_fast_engine() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "not heavy", "tests/proxy"]
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
