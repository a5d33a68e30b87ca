"""Memory of several processes, for tests that are one process with one clock."""

from __future__ import annotations

from collections.abc import Sequence

from stoa_proxy.core.shared_slots import SlotTable


class LocalMemory:
    """Bytes of this process; its locks fail where two at once would wait for each other."""

    def __init__(self, buckets: int) -> None:
        self.bytes = bytearray(SlotTable.size_of(buckets))
        self._held: set[int] = set()

    def lock(self, numbers: Sequence[int]) -> None:
        assert list(numbers) == sorted(set(numbers)), "in any other order processes lock up"
        assert not self._held, "one part is locked while another one is"
        self._held.update(numbers)

    def unlock(self, numbers: Sequence[int]) -> None:
        assert self._held == set(numbers)
        self._held.clear()


def slot_table(buckets: int = 512, memory: LocalMemory | None = None) -> SlotTable:
    """Return one process's view of a table; those of one `memory` share it."""
    return SlotTable(memory or LocalMemory(buckets), b"secret", buckets=buckets)
