"""What all processes of a gateway have in common in memory, and what a worker is begun with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.shared_counters import SharedRateCounters
from stoa_proxy.core.shared_quotas import SharedQuotaCounters
from stoa_proxy.core.shared_slots import SlotTable
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.output_thread import OutputThread
from stoa_proxy.foundation.shared_memory import SharedMemory

# Eight counters each, of which 50,000 are one tenant's at most; 48 MB in all, if they were full.
_BUCKETS: Final = 32 * 1024
_TABLE_BYTES: Final = SlotTable.size_of(_BUCKETS)
_BYTES: Final = 2 * _TABLE_BYTES
_OUTPUT_LOCKS: Final = {"stdout": 2 * _BUCKETS, "stderr": 2 * _BUCKETS + 1}


class SharedState:
    """Counters of limits, and the locks of output streams; `workers` processes share the bounds."""

    def __init__(self, memory: SharedMemory, secret: bytes, workers: int) -> None:
        self.memory = memory
        self.secret = secret
        self._workers = workers

    @classmethod
    def create(cls, workers: int) -> SharedState:
        """Return new ones. Raises OSError."""
        return cls(SharedMemory.create(_BYTES), secrets.token_bytes(32), workers)

    @classmethod
    def join(cls, descriptor: int, secret: bytes, workers: int) -> SharedState:
        """Return those that another process made."""
        return cls(SharedMemory(descriptor, _BYTES), secret, workers)

    def rate_counters(self, clock: Clock, config: ProxyConfig) -> SharedRateCounters:
        """Return the counters of rate limits, with this process's part of the bounds."""
        return SharedRateCounters(
            clock,
            SlotTable(self.memory, self.secret, buckets=_BUCKETS),
            per_policy=-(-config.counters_per_policy // self._workers),
            per_tenant=-(-config.counters_per_tenant // self._workers),
        )

    def quota_counters(self, clock: Clock) -> SharedQuotaCounters:
        """Return the counts of quotas."""
        slots = SlotTable(
            self.memory, self.secret, buckets=_BUCKETS, start=_TABLE_BYTES, first_lock=_BUCKETS
        )
        return SharedQuotaCounters(clock, slots, self._workers)

    def make_output_thread(self) -> OutputThread:
        """Return what writes to a stream that all processes write to, a line at a time."""
        return OutputThread(
            lambda stream: self.memory.lock((_OUTPUT_LOCKS[stream],)),
            lambda stream: self.memory.unlock((_OUTPUT_LOCKS[stream],)),
        )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told before anything else; it goes over the channel, and nowhere else.

    `via` names the gateway in that header, so that a loop over several workers is one.
    """

    number: int
    config: ProxyConfig
    secret: bytes = field(repr=False)
    via: str
    log_level: int

    @staticmethod
    def config_of(config: ProxyConfig, port: int) -> ProxyConfig:
        """Return the config of a worker: what is kept on disk, and registered, is the parent's."""
        return replace(
            config, port=port, shares_port=True, control_plane=None, state_dir=None, quota_dir=None
        )
