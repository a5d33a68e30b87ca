"""Lines that are known behave as one dict."""

from __future__ import annotations

import hashlib

import pytest
from stoa_proxy.control_plane.known_lines import KnownLines


def test_what_is_taken_is_found_until_it_is_removed() -> None:
    lines, expected = KnownLines(), dict[bytes, tuple[str, str]]()
    assert not lines
    for number in range(300):
        digest = hashlib.sha256(str(number).encode()).digest()[:12]
        lines[digest] = expected[digest] = ("apis", f"r{number}")
    assert dict(lines.items()) == expected
    assert len(lines) == 300
    first = next(iter(expected))
    del lines[first], expected[first]
    assert lines.get(first) is None
    while lines:
        digest, name = lines.popitem()
        assert expected.pop(digest) == name
    assert not expected
    with pytest.raises(KeyError):
        lines.popitem()
