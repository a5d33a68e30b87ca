"""What callers used: requests, errors, bytes and seconds by API and application. No I/O.

A request is counted once, when its response is known, at the cost of one lookup and a few
additions; `UsageFile` takes what was counted every second and adds it up by the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.foundation.metrics import MAX_SERIES, Kind, Read

if TYPE_CHECKING:
    from stoa_proxy.core.exchange import RequestContext

MAX_KEYS: Final = 100_000
"""Pairs of API and application that are counted between two takings; others share one."""

OTHERS: Final = "(others)"
"""The application of requests beyond MAX_KEYS."""


_FIGURES: Final = ("requests", "errors", "refused", "received", "sent", "seconds")


class UsageKey(NamedTuple):
    """Whose usage: the API's tenant, the API, the application, empty where nobody is identified."""

    tenant_id: str
    api_id: str
    application_id: str


class Usage:
    """Figures of one key.

    requests          all to the API's routes, those that a policy refused included
    errors            those answered 5xx
    refused           those answered 4xx by the gateway or the backend
    received, sent    bytes of bodies, from and to callers
    seconds           from the request's head to the response's end, of requests that were passed on
    """

    __slots__ = ("errors", "received", "refused", "requests", "seconds", "sent")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.refused = 0
        self.received = 0
        self.sent = 0
        self.seconds = 0.0

    def add(self, other: Usage) -> None:
        """Add figures to these."""
        self.requests += other.requests
        self.errors += other.errors
        self.refused += other.refused
        self.received += other.received
        self.sent += other.sent
        self.seconds += other.seconds

    @classmethod
    def of(cls, figures: Iterable[float]) -> Usage:
        """Return a value of what `figures` returned."""
        usage = cls()
        for name, value in zip(_FIGURES, figures, strict=True):
            setattr(usage, name, value)
        return usage

    def figures(self) -> tuple[int, int, int, int, int, float]:
        """Return them in the order of the table."""
        return (
            self.requests, self.errors, self.refused, self.received, self.sent, self.seconds,
        )  # fmt: skip


class UsageCounters:
    """Counts for one event loop.

    counters.count(route, consumer, 200, 0.012, received=0, sent=512)
    counters.take()   # what was counted since the last time
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], Usage] = {}
        self._apis: dict[tuple[str, str], Usage] = {}

    def count(
        self,
        route: Route,
        consumer: Consumer | None,
        status: int,
        seconds: float,
        received: int,
        sent: int,
    ) -> None:
        """Count one request."""
        # Plain tuples, which hash and compare as UsageKey does, at a third of the time to make one.
        key = (route.tenant_id, route.api_id, "" if consumer is None else consumer.id)
        usage = self._counts.get(key)
        if usage is None:
            usage = self._begin(key)
        usage.requests += 1
        if status >= 400:
            if status >= 500:
                usage.errors += 1
            else:
                usage.refused += 1
        usage.received += received
        usage.sent += sent
        usage.seconds += seconds

    def count_once(
        self,
        context: RequestContext,
        status: int,
        seconds: float = 0.0,
        received: int = 0,
        sent: int = 0,
    ) -> None:
        """Count a request the first time that this is called for it."""
        if not context.is_counted:
            context.is_counted = True
            self.count(context.route, context.consumer, status, seconds, received, sent)

    def _begin(self, key: tuple[str, str, str]) -> Usage:
        if len(self._counts) >= MAX_KEYS and key not in self._counts:
            key = (key[0], key[1], OTHERS)
        return self._counts.setdefault(key, Usage())

    def take(self) -> Mapping[UsageKey, Usage]:
        """Return what was counted since the last time, and begin anew."""
        taken = {UsageKey(*key): usage for key, usage in self._counts.items()}
        self._counts = {}
        _add_up(self._apis, taken.items())
        return taken

    def add(self, taken: Iterable[tuple[UsageKey, Usage]]) -> None:
        """Count what another process has taken."""
        for key, usage in taken:
            self._begin((key[0], key[1], key[2])).add(usage)

    def put_back(self, taken: Mapping[UsageKey, Usage]) -> None:
        """Count again what was taken and could not be kept."""
        for key, usage in taken.items():
            self._counts.setdefault((key[0], key[1], key[2]), Usage()).add(usage)
            # It is counted there when it is taken again.
            _subtract(self._apis[key[:2]], usage)

    def families(self, mode: str) -> Iterator[tuple[Kind, str, str, Read]]:
        """Return metrics by API, of those with the most requests; `mode` is the gateway's."""
        for name, text, number in (
            ("requests_total", "Requests by API.", 0),
            ("errors_total", "Requests answered 5xx, by API.", 1),
            ("refused_total", "Requests answered 4xx, by API.", 2),
            ("received_bytes_total", "Bytes of bodies from callers, by API.", 3),
            ("sent_bytes_total", "Bytes of bodies to callers, by API.", 4),
            ("seconds_total", "Time of requests that were passed on, by API.", 5),
        ):
            yield "counter", f"stoa_api_{name}", text, _Column(self, number, mode)

    def apis(self) -> Iterator[tuple[tuple[str, str], Usage]]:
        """Yield the figures of each API since the start, the most used first."""
        apis: dict[tuple[str, str], Usage] = {}
        _add_up(apis, self._apis.items())
        _add_up(apis, self._counts.items())
        yield from sorted(apis.items(), key=lambda item: (-item[1].requests, item[0]))


class _Column:
    """One figure of all APIs, for a scrape."""

    def __init__(self, counters: UsageCounters, number: int, mode: str) -> None:
        self._counters = counters
        self._number = number
        self._mode = mode

    def __call__(self) -> Iterable[tuple[Mapping[str, str], float]]:
        for (tenant, api), usage in islice(self._counters.apis(), MAX_SERIES):
            labels = {"tenant": tenant, "api": api, "deployment_mode": self._mode}
            yield labels, usage.figures()[self._number]


def _add_up(
    apis: dict[tuple[str, str], Usage], counts: Iterable[tuple[tuple[str, ...], Usage]]
) -> None:
    for (tenant, api, *_), usage in counts:
        apis.setdefault((tenant, api), Usage()).add(usage)


def _subtract(usage: Usage, other: Usage) -> None:
    for name in Usage.__slots__:
        setattr(usage, name, getattr(usage, name) - getattr(other, name))
