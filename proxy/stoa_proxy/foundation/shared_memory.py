"""Memory of several processes, with locks that the kernel takes back from one that ends."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence


class SharedMemory:
    """So many bytes, zero at first, for all processes that are given its `descriptor`.

    Locks are numbered, and those of a process: for one thread of each. A page takes memory when it
    is touched first.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.bytes = mmap.mmap(descriptor, size)

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """Return memory without a name, which goes with the last process that has it.

        Raises OSError.
        """
        descriptor = os.memfd_create("stoa-proxy-counters", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            return cls(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise

    def lock(self, numbers: Sequence[int]) -> None:
        """Wait for locks, which must be sorted: two processes would wait for each other else."""
        for number in numbers:
            # 1.7 µs with `unlock` where nobody else has it. Not a lock in the memory itself: that
            # of a killed process would stay for ever.
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX, 1, number)

    def unlock(self, numbers: Sequence[int]) -> None:
        """Give locks back."""
        for number in numbers:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Let the memory go."""
        # Locks of a process go with the first descriptor of the file that it closes.
        self.bytes.close()
        os.close(self.descriptor)
