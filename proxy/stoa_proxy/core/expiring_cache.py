"""A bounded cache of values that expire; what `Services.cache` is in every engine."""

from __future__ import annotations

from stoa_proxy.foundation.clock import Clock

# Keys may come from requests (a token's digest), so their number must be bounded: 10,000 values of
# a kibibyte are 10 MiB.
MAX_VALUES = 10_000


class ExpiringCache:
    """Values by key, each until its time is over; above `maximum` the oldest are dropped."""

    def __init__(self, clock: Clock, maximum: int = MAX_VALUES) -> None:
        self._clock = clock
        self._maximum = maximum
        self._values: dict[str, tuple[float, object]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> object | None:
        """Return the value of a key; None when there is none or its time is over."""
        entry = self._values.get(key)
        if entry is None:
            return None
        expires, value = entry
        if expires > self._clock.monotonic():
            return value
        del self._values[key]
        return None

    def put(self, key: str, value: object, seconds: float) -> None:
        """Keep a value for `seconds`."""
        # Out and in again, so that the first of the dict is the one that was put longest ago.
        self._values.pop(key, None)
        self._values[key] = (self._clock.monotonic() + seconds, value)
        while len(self._values) > self._maximum:
            del self._values[next(iter(self._values))]
