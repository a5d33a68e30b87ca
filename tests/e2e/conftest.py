"""What several end-to-end tests are handed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ports import own_port


@pytest.fixture
def address() -> Iterator[str]:
    """An address that stays the test's own while a process there ends and another one starts."""
    with own_port() as port:
        yield f"127.0.0.1:{port}"
