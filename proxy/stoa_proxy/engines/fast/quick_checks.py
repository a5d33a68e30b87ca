"""The shortest way for the usual check of a sidecar: no body, and nothing to wait for.

Whatever is not usual is left to an `Exchange`, with nothing done.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING

from stoa_proxy.core.exchange import Prepare, RequestContext
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.fast.check_forms import CheckPass, KnownCheck
from stoa_proxy.engines.fast.check_lane import CheckLane
from stoa_proxy.engines.fast.quick_documents import LINE
from stoa_proxy.engines.fast.response_head import encode_own
from stoa_proxy.engines.fast.without_body import WithoutBody
from stoa_proxy.http.heads import RequestHead, RequestTrace
from stoa_proxy.http.trace_context import split_parent
from stoa_proxy.pipeline.checks import PATH
from stoa_proxy.pipeline.verdicts import with_removed

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.connection import FastConnection

_log = logging.getLogger("stoa_proxy.engine")


class QuickCheck(WithoutBody):
    """Serves usual checks of a connection. To the connection it is what `QuickExchange` is.

    A check is at work until its response is sent at the end of the turn.
    """

    __slots__ = ("_context", "_engine", "_is_caller", "_lane", "_link", "_response", "_turn")

    def __init__(self, link: FastConnection, lane: CheckLane) -> None:
        self._link = link
        self._engine = link.engine
        self._turn = link.engine.turn
        self._lane = lane
        self._response = b""
        self._context: RequestContext | None = None
        self._is_caller = lane.sidecar.is_caller(link.client_address)

    def begin(self, data: bytes) -> bool:
        """Answer the check that `data` is; return False, with nothing done, if it is not usual."""
        started = perf_counter()
        if not self._is_caller:
            return False
        tracing, size, parent = self._lane.sidecar.tracing, len(data), None
        is_document, peer = data.startswith(LINE), self._link.client_address
        if is_document:
            # With tracing headers differ each time, and the trace is read from them.
            if tracing is not None:
                return False
            known = self._lane.documents.find(data, peer)
        else:
            if tracing is not None:
                data, parent = split_parent(data, 0)
            known = self._lane.find(data, size)
        if known is None:
            return is_document and self._answer(self._lane.documents.decide(data, peer))
        self._context = None
        trace = None if tracing is None else tracing.resume(parent, "")
        passed = self._find_pass(known)
        refused, limit = (0, None) if passed is None else _count(passed)
        response = (
            passed.encode(limit, self._engine.date)
            if passed is not None and refused is None
            else self._ask_policies(known, refused or 0, passed, limit)
        )
        if response is None:
            if tracing is not None and trace is not None:
                tracing.give_back(trace)
            return is_document and self._answer(self._lane.documents.decide(data, peer))
        engine = self._engine
        self._answer(response)
        seconds = perf_counter() - started
        if passed is not None and refused is None:
            status = 200
            self._lane.sidecar.count_repeated(known.asked_by, passed.counted, seconds)
        else:
            status = int(response[9:12])
            engine.pipeline.metrics.count_refusal(known.asked_by, status, seconds)
            engine.pipeline.usage.observe(known.plan.route, seconds)
        if trace is not None:
            self._end_trace(known, trace, status)
        if status >= 400:
            self._keep_error(seconds)
        return True

    def _answer(self, response: bytes | None) -> bool:
        """Let a response be sent at the end of the turn; return False where there is none."""
        if response is None:
            return False
        self._response = response
        self._link.begin_check(self)
        self._turn.wait(self)
        return True

    def pass_on(self) -> None:
        """Send the response."""
        response, self._response = self._response, b""
        link = self._link
        if not response:
            return  # the client has left
        if link.is_closing:
            link.write(response)
        else:
            self._turn.responses.append((link.write, response))
        link.end_quick()

    def fail(self, error: Exception) -> None:
        """End the connection: there was an error of ours."""
        _log.error("unexpected error in a request", exc_info=error)
        self._link.abort()

    def time_out(self) -> None:
        """Wait no more: it is answered already."""
        self._turn.end()

    def abandon(self) -> None:
        """Answer no more: the client has left."""
        self._response = b""

    def _keep_error(self, seconds: float) -> None:
        context = self._context
        if context is not None:
            self._engine.pipeline.keep_error(context, seconds)

    def _end_trace(self, known: KnownCheck, trace: RequestTrace, status: int) -> None:
        """Keep the spans of a check; of a usual one there is no context yet."""
        link, path = self._link, PATH
        if not known.form.method:
            path += known.path
        context = self._context
        if context is None and trace.is_recorded:
            table = self._engine.store.table
            made = self._lane.make_context(known, link.client_address, table)
            context = None if isinstance(made, Respond) else made
        head = RequestHead(known.asked_by, path, (), (), link.client_address, trace=trace)
        self._engine.pipeline.end_trace(head, context, status)

    def _find_pass(self, known: KnownCheck) -> CheckPass | None:
        """Return what let the last such request pass, while it holds for others."""
        clock, passed = self._lane.sidecar.states.clock, known.passed
        if passed is not None and (passed.until is None or passed.holds(clock)):
            return passed
        known.passed = None
        passed = self._lane.find_pass(known)
        if passed is None or not passed.is_whole:
            return None
        known.passed = passed
        return passed

    def _ask_policies(
        self,
        known: KnownCheck,
        first: int,
        passed: CheckPass | None,
        limit: LimitResult | None,
    ) -> bytes | None:
        """Decide by the policies from the `first` one on; what `passed` says holds before it.

        Returns the response, None where the check is not usual.
        """
        key, lane, table = known.key, self._lane, self._engine.store.table
        context = lane.make_context(known, self._link.client_address, table)
        if isinstance(context, Respond):
            return None
        self._context = context
        if passed is not None:
            context.consumer, context.limit_result = passed.consumer, limit
            context.hidden_headers, context.secret_headers = passed.hidden, passed.secret
        outcome = lane.sidecar.filter_from(context, first)
        if isinstance(outcome, Prepare):
            return None
        if isinstance(outcome, Respond):
            return self._encode(known, outcome)
        if key is None or context.hidden_query:
            return self._encode(known, lane.sidecar.allow(context))
        lane.sidecar.count_allowed(context)
        made = lane.keep_pass(key, known, context)
        return made.encode(context.limit_result, self._engine.date)

    def _encode(self, known: KnownCheck, outcome: Respond) -> bytes:
        form = known.form
        response = form.encode(with_removed(outcome, form.claimed))
        return encode_own(response, known.asked_by, self._engine.date, is_last=False)


def _count(passed: CheckPass) -> tuple[int | None, LimitResult | None]:
    """Count a check by what let others like it pass; return what has the least left.

    And the number of the policy whose limit refuses, None where none does: nothing was counted by
    it, so it is asked, and says so in full.
    """
    limit: LimitResult | None = None
    for number, count in passed.counts:
        result = count()
        if not result.allowed:
            return number, limit
        if limit is None or result.remaining < limit.remaining:
            limit = result
    return None, limit
