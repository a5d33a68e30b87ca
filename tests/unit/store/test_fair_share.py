"""How a bound is shared among those who have more and less."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.store.sqlite.audit import fair_share


@given(counts=st.lists(st.integers(1, 50), min_size=1, max_size=8), total=st.integers(0, 100))
def test_nobody_loses_for_others_what_is_below_an_equal_part(counts: list[int], total: int) -> None:
    if sum(counts) <= total:
        return
    most = fair_share(counts, total)
    kept = [min(count, most) for count in counts]
    assert sum(kept) <= total
    assert total - sum(kept) < len(counts), "no more is dropped than must be"
    assert all(
        keep >= min(count, total // len(counts)) for keep, count in zip(kept, counts, strict=True)
    )
