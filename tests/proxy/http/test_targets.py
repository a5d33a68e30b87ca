"""Targets of requests: what a long path costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stoa_proxy.http import targets


def test_a_path_of_many_segments_is_decoded_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    rounds = targets._decode_rounds

    def note(raw: bytes) -> Iterator[bytes]:
        decoded.append(raw)
        return rounds(raw)

    monkeypatch.setattr(targets, "_decode_rounds", note)
    raw = "/" + "/".join(["%2541;x", "", "b%2Fc\\d", "%e9"] * 1000)
    expected = ("%41;x", "", "b/c\\d", "\udce9") * 1000
    assert targets.read_segments(raw) == expected
    assert decoded == [raw.encode()], "each segment by itself took 100 ms for 33 KB"
