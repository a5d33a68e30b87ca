"""Figures by API for `/metrics`, with a bounded number of series. No I/O.

An API has series of its own from its first request until it leaves the table, as long as there are
MAX_SERIES at most: a counter never goes back, and means what its labels say. Requests to the others
are counted together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from stoa_proxy.core.usage_figures import ApiKey, Durations, Usage
from stoa_proxy.foundation.metric_readings import MAX_SERIES, HistogramReading

OTHER_APIS: Final = ApiKey("(others)", "(others)")
"""The labels of requests to APIs that have no series of their own."""

# And one for the others.
_MOST: Final = MAX_SERIES - 1

Values = Iterator[tuple[Mapping[str, str], float]]
Histograms = Iterator[tuple[Mapping[str, str], HistogramReading]]


class ApiFigures:
    """What is shown of one API."""

    __slots__ = ("durations", "usage")

    def __init__(self) -> None:
        self.usage = Usage()
        self.durations = Durations()


class ApiSeries:
    """The figures of the APIs that have series; `is_known` is whether an id is in the table."""

    def __init__(self) -> None:
        self._figures: dict[ApiKey, ApiFigures] = {}
        self.is_known: Callable[[str], bool] = lambda _: True

    def of(self, key: ApiKey) -> ApiFigures:
        """Return the figures to which those of an API are added."""
        found = self._figures.get(key)
        if found is not None:
            return found
        if self._is_full():
            self._drop_unknown()
        if self._is_full():
            key = OTHER_APIS
        return self._figures.setdefault(key, ApiFigures())

    def read(self) -> Iterable[tuple[ApiKey, ApiFigures]]:
        """Return the figures of all that are in the table, the most used first."""
        self._drop_unknown()
        return sorted(self._figures.items(), key=lambda item: (-item[1].usage.requests, item[0]))

    def _is_full(self) -> bool:
        return len(self._figures) - (OTHER_APIS in self._figures) >= _MOST

    def _drop_unknown(self) -> None:
        for key in [*self._figures]:
            if key != OTHER_APIS and not self.is_known(key.api_id):
                del self._figures[key]
