from __future__ import annotations

import pytest

from stoa_gitops.cli.url_document import checked_addresses


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1",
     "64:ff9b::a00:1", "2002:a00:1::", "::10.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_called_where_a_person_allows_it(address: str) -> None:
    with pytest.raises(OSError, match="--allow-private"):
        checked_addresses("h", 443, allow_private=False, resolve=lambda *_: [address])
    found = checked_addresses("h", 443, allow_private=True, resolve=lambda *_: [address])
    assert found == [address]


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "224.0.0.1", "0.0.0.0",
                "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
)  # fmt: skip
def test_addresses_of_clouds_and_links_are_never_called(address: str) -> None:
    with pytest.raises(OSError, match="never called"):
        checked_addresses("h", 443, allow_private=True, resolve=lambda *_: [address])


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(OSError, match=r"10\.0\.0\.1"):
        checked_addresses(
            "h", 443, allow_private=False, resolve=lambda *_: ["93.184.216.34", "10.0.0.1"]
        )
    found = checked_addresses("h", 443, allow_private=False, resolve=lambda *_: ["93.184.216.34"])
    assert found == ["93.184.216.34"]


def test_a_host_without_an_address_is_said() -> None:
    with pytest.raises(OSError, match="has no address"):
        checked_addresses("no-such-host.invalid", 443, allow_private=True)
