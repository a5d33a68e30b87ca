"""The pipeline of mode `shadow`: learns from mirrored requests, and answers none of them."""

from __future__ import annotations

from typing import Final

from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.exchange import FirstDecision
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.shadow.learner import Learner
from stoa_proxy.shadow.observing import observe

# Who mirrors takes no answer; nobody else should take this one for an API's.
_TAKEN: Final = Respond(204)


class Shadow(Pipeline):
    """Observes; the table, its routes and policies mean nothing here, and nothing is called."""

    forwards = False

    def __init__(self, clock: Clock, counters: RateCounters | None, learner: Learner) -> None:
        super().__init__(clock, counters)
        self._learner = learner
        add = self.metrics.add
        add(
            "counter",
            "stoa_shadow_requests_total",
            "Mirrored requests, by whether something was learned from them.",
            lambda: [
                ({"result": "learned"}, learner.observed),
                ({"result": "ignored"}, learner.ignored),
            ],
        )
        add("gauge", "stoa_shadow_places", "Places in what was learned.", lambda: learner.places)

    def decide(self, head: RequestHead, table: RoutingTable) -> FirstDecision:
        """Return the empty response to a mirrored request, from which is learned."""
        seen = observe(head)
        if seen is None:
            self._learner.ignored += 1
        else:
            self._learner.note(seen)
        return _TAKEN
