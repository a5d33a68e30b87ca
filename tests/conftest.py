"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# People look for new counterexamples with each run; a change lands or not for what it changed.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
