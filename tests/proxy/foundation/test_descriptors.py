"""What follows from the file descriptors that a process may have."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.descriptors import (
    connections_per_client,
    max_connections,
    requests_per_tenant,
    requests_per_upstream,
)


def test_the_bound_is_a_third_of_the_descriptors_or_what_is_asked_for() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert max_connections(None) == min(10_000, soft // 3)
    assert max_connections(7) == 7
    with pytest.raises(ConfigInvalid, match=rf"STOA_MAX_CONNECTIONS is {soft}.*{soft // 2}"):
        max_connections(soft)


def test_shares_are_parts_of_the_connections_or_what_is_asked_for() -> None:
    derive = (connections_per_client, requests_per_tenant, requests_per_upstream)
    assert [share(None, 1000) for share in derive] == [250, 500, 250]
    assert [share(None, 8) for share in derive] == [16, 16, 16]
    assert [share(3, 1000) for share in derive] == [3, 3, 3]


def test_a_process_takes_the_descriptors_that_it_may_have() -> None:
    script = (
        "import resource; from stoa_proxy.foundation.descriptors import raise_descriptor_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))\n"
        "raise_descriptor_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"(200, 200)\n"
