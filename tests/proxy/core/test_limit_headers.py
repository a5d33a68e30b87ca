"""What a response says of a limit, as pairs and as lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.limit_headers import limit_headers, limit_lines
from stoa_proxy.core.limits import LimitResult

NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(
    name=NAMES,
    limit=st.integers(1, 10**12),
    left=st.integers(0, 10**12),
    seconds=st.floats(0, 1e9),
    window=st.floats(0.001, 1e9),
)
def test_lines_say_what_the_headers_say(
    name: str, limit: int, left: int, seconds: float, window: float
) -> None:
    result = LimitResult(True, limit, left, seconds, window, name)
    expected = "".join(f"{key}: {value}\r\n" for key, value in limit_headers(result))
    assert b"".join(limit_lines(result)) == expected.encode()
