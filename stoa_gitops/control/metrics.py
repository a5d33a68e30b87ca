"""The figures of the process in the text format of Prometheus.

prometheus_client renders. Its global registry is not used: a registry is made for each scrape, so
that two processes in one test, or a program that embeds this one, do not count into each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from stoa_gitops.reconcile.metrics import Metric, counter

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
DELIVERY_STATUSES: Final = ("accepted", "duplicate", "refused")


class Metrics(Collector):
    """Renders the figures that `source` yields, and those that are counted here."""

    def __init__(self, source: Callable[[], Iterable[Metric]]) -> None:
        self._source = source
        self._webhooks: Counter[tuple[str, ...]] = Counter({(s,): 0 for s in DELIVERY_STATUSES})

    def count_webhook(self, status: str) -> None:
        """Count a delivery: one of DELIVERY_STATUSES."""
        self._webhooks[status,] += 1

    def text(self) -> bytes:
        """Return the exposition of this moment."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Family]:
        """Yield what prometheus_client renders; called by it, and once at registration."""
        yield from map(_family, self._source())
        message = "Deliveries of Git servers: accepted, duplicate, refused."
        yield _family(counter("stoa_gitops_webhooks_total", message, ("status",), self._webhooks))


def _family(metric: Metric) -> Family:
    # prometheus_client appends `_total` to the name of a counter itself.
    family = Family(metric.name.removesuffix("_total"), metric.help, metric.kind.value)
    for sample in metric.samples:
        family.add_sample(metric.name + sample.suffix, dict(sample.labels), sample.value)
    return family
