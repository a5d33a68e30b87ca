"""Settings of all tests: the examples of property tests, and what each test leaves to the next."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import ssl
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests.laws import FULL, QUICK, SUITE

# What a shell starts in the background ignores Ctrl-C, and so would each process of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: machines are shared. On a developer's machine each run looks for new
# counterexamples; CI tries the same examples each time, so that a change lands or not for what it
# changed. What they find there they found the first time, so half of them are enough.
IS_CI = bool(os.environ.get("CI"))
settings.register_profile(
    "full",
    max_examples=FULL // 2 if IS_CI else FULL,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=IS_CI,
)
# pytest --hypothesis-profile=full is a part of `make test-heavy`, =quick of `make quick`.
settings.register_profile("suite", settings.get_profile("full"), max_examples=SUITE)
settings.register_profile("quick", settings.get_profile("full"), max_examples=QUICK)
settings.load_profile("suite")


def _shared_trust(
    verify: ssl.SSLContext | str | bool = True, cert: Any = None, trust_env: bool = True
) -> ssl.SSLContext:
    """Stand in for `httpx.create_ssl_context`: read the authorities of the machine once.

    httpx reads them for each client, also for one that never speaks TLS: 20 ms of CPU.
    """
    if verify is not True or cert is not None:
        return httpx.create_ssl_context(verify, cert, trust_env)
    named = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return _read_trust(named if trust_env else None)


@functools.cache
def _read_trust(named: tuple[str | None, str | None] | None) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=named is not None)


httpx._transports.default.create_ssl_context = _shared_trust


def pytest_runtest_teardown() -> None:
    """Give the collector back what a command froze that ran in this process.

    Commands freeze what they read, for they end with it. Here it piled up, and whoever asked how
    much is frozen walked through millions of objects: 130 ms with each reading of a catalog.
    """
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put logging back as it was: a command that runs in this process configures it for itself.

    A later test in the same process would wait for a line that is below the level left behind.
    """
    root = logging.getLogger()
    handlers, levels = root.handlers[:], _levels()
    try:
        return (yield)
    finally:
        root.handlers[:] = handlers
        for logger, level in _levels().items():
            if level != levels.get(logger, logging.NOTSET):
                logger.setLevel(levels.get(logger, logging.NOTSET))


def _levels() -> dict[logging.Logger, int]:
    """The level that each logger has itself; NOTSET where it takes that of the one above."""
    root = logging.getLogger()
    known = [each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    return {each: each.level for each in (root, *known)}
