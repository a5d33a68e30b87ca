"""The shortest way for the usual check of a sidecar: no body, and nothing to wait for.

What follows from the shape of a head, and from the headers that the route's policies read, is
worked out once, by the functions that serve all other checks, so that it cannot differ: who is
asked about, what a key in a header says, and the response but for its limits. Whatever is not usual
is left to an `Exchange`, with nothing done.
"""

from __future__ import annotations

import re
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from stoa_proxy.core.api import Api
from stoa_proxy.core.exchange import Prepare, RequestContext
from stoa_proxy.core.limit_headers import limit_lines
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.match import select_route
from stoa_proxy.core.model import Route
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match
from stoa_proxy.engines.fast.quick_heads import (
    LONGEST_KNOWN,
    SPECIAL,
    AskedHead,
    Head,
    Heads,
    Recent,
    read_usual,
    split_path,
)
from stoa_proxy.engines.fast.quick_routes import Pass, find_pass, header_names
from stoa_proxy.engines.fast.response_head import encode_head, encode_own
from stoa_proxy.errors import CheckRefused, RequestRefused
from stoa_proxy.http import framing
from stoa_proxy.http.forwarded import forwarded_scheme
from stoa_proxy.http.heads import Headers, RequestHead, RequestTrace, read_host, sanitize
from stoa_proxy.http.targets import PLAIN_PATH, RequestPath
from stoa_proxy.http.trace_context import split_parent
from stoa_proxy.pipeline.checks import PATH, read_envoy, read_original
from stoa_proxy.pipeline.sidecar import Sidecar
from stoa_proxy.pipeline.verdicts import Encode, for_envoy, for_nginx, identity_names, with_removed

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.connection import FastConnection
    from stoa_proxy.engines.fast.engine import FastEngine

# A path that all readers see alike (`http.targets`), and maybe a query.
_TARGET: Final = rb"(?=/)(%b)(?:\?([\x21\x22\x24-\x7e]*+))?" % PLAIN_PATH.encode()
# Not OPTIONS, which may be a preflight.
_ENVOY: Final = re.compile(rb"(DELETE|GET|HEAD|PATCH|POST|PUT) /authz%b HTTP/1\.1\r\n" % _TARGET)
_NGINX: Final = b"GET /authz HTTP/1.1\r\n"
_URI: Final = re.compile(_TARGET)
_URI_NAME: Final = "x-original-uri"
# What the forms of checks take facts from (`pipeline.checks`), but for X-Original-URI.
_FACTS: Final = SPECIAL | {
    "x-forwarded-for", "x-forwarded-proto", "x-original-host", "x-original-method",
    "x-original-url",
}  # fmt: skip
_DATE: Final = re.compile(rb"Date: [^\r]*\r\n")


class CheckForm:
    """What heads of one shape say of the request that a check is about.

    `first` are headers that its head begins with, `names` (lower case) those of the check that it
    has behind them, as `pipeline` keeps them. `method` is set where the headers name it. `claimed`
    are the headers that say who is calling.
    """

    __slots__ = ("claimed", "client", "encode", "first", "host", "method", "names", "scheme")

    def __init__(
        self, about: RequestHead, host: str, scheme: str, first: Headers, *, is_nginx: bool
    ) -> None:
        cleaned = sanitize(about)
        self.client, self.scheme, self.host, self.first = about.client_address, scheme, host, first
        self.names = frozenset(cleaned.keys[len(first) :])
        self.method = about.method if is_nginx else ""
        self.claimed = identity_names(about.keys)
        self.encode: Encode = for_nginx if is_nginx else for_envoy


class CheckPlan:
    """A route whose checks can be decided the shortest way; `names` as of a `RoutePlan`."""

    __slots__ = ("names", "route")

    def __init__(self, route: Route, api: Api) -> None:
        self.route = route
        is_usual = not api.needs_services and not api.upstream_request_filters
        self.names = header_names((*api.request_filters, *api.loggers)) if is_usual else None


class CheckPass(Pass):
    """What holds for checks like one that let a request pass: `sent` is the response to it.

    Without limits and date.
    """

    __slots__ = ("sent",)

    def __init__(self, context: RequestContext, sent: bytes) -> None:
        super().__init__(context, context.api.request_filters)
        self.sent = sent


class KnownCheck(NamedTuple):
    """A check as it was read: what it is about, and where that leads.

    `asked_by` is the method of the check; `query` is None where the target has none.
    """

    head: Head[CheckForm]
    asked_by: str
    method: str
    path: str
    query: str | None
    match: Match
    plan: CheckPlan


_PassKey = tuple[CheckForm, CheckPlan, tuple[bytes, ...]]


class CheckLane:
    """What all connections of an engine know of usual checks."""

    def __init__(self, engine: FastEngine, sidecar: Sidecar) -> None:
        self._engine = engine
        self.sidecar = sidecar
        self._table: RoutingTable | None = None
        self._envoy = Heads(_FACTS, partial(self._read_form, is_nginx=False))
        self._nginx = Heads(_FACTS, partial(self._read_form, is_nginx=True))
        self._checks: Recent[bytes, KnownCheck] = Recent()
        self._plans: dict[int, CheckPlan] = {}
        self._passes: Recent[_PassKey, CheckPass] = Recent()

    def find(self, data: bytes, size: int) -> KnownCheck | None:
        """Return what a check asks under the table of now; None for an unusual one.

        `size` is that of the whole head, of which `data` may lack a `traceparent`.
        """
        table = self._engine.store.table
        if table is not self._table:
            self._table = table
            self._checks.clear()
            self._plans.clear()
            self._passes.clear()
        known = self._checks.get(data)
        if known is None and size <= framing.MAX_HEAD:
            known = self._read(data, table)
            if known is not None and known.head.is_known and len(data) <= LONGEST_KNOWN:
                self._checks.keep(data, known)
        return known

    def find_pass(self, key: _PassKey) -> CheckPass | None:
        """Return what let the last such request pass, while it holds."""
        return find_pass(self._passes, key, self.sidecar.states.clock)

    def keep_pass(self, key: _PassKey, form: CheckForm, context: RequestContext) -> CheckPass:
        """Keep, and return, what let a request pass for others like it."""
        verdict = self.sidecar.verdict(context, with_notes=False)
        headers = form.encode(with_removed(verdict, form.claimed)).headers
        head = encode_head(200, "OK", headers, self._engine.date, "Content-Length: 0\r\n")
        made = CheckPass(context, _DATE.sub(b"", head, count=1)[:-2])
        self._passes.keep(key, made)
        return made

    def make_context(
        self, known: KnownCheck, peer: str, table: RoutingTable
    ) -> RequestContext | Respond:
        """Return the context of the request that a check is about, as the pipeline makes it."""
        form, path, query = known.head.form, known.path, known.query
        parsed = RequestPath(path, split_path(path), query, is_plain=True)
        target = path if query is None else f"{path}?{query}"
        headers, keys = known.head.headers(form.names)
        if form.first:
            headers, keys = (*form.first, *headers), ("host", *keys)
        head = RequestHead(known.method, target, headers, keys, form.client, form.scheme, peer=peer)
        return self.sidecar.make_context(head, parsed, form.host, known.match, table)

    def _read(self, data: bytes, table: RoutingTable) -> KnownCheck | None:
        line = _ENVOY.match(data)
        if line is not None:
            head = self._envoy.find(data[line.end() :], data)
            found: re.Match[bytes] | None = line
        elif data.startswith(_NGINX):
            head = self._nginx.find(data[len(_NGINX) :], data)
            found = None if head is None else _match_uri(head)
        else:
            return None
        if head is None or found is None:
            return None
        *_, raw, query = found.groups()
        form, path = head.form, raw.decode()
        match = table.find(form.host, split_path(path), AskedHead(head))
        asked_by = "GET" if line is None else line[1].decode()
        method = form.method or asked_by
        route = None if match is None else select_route(match, method)
        if match is None or route is None:
            return None
        plan = self._plans.get(id(route))
        if plan is None:
            # It holds the route, so that no other one gets its id.
            plan = self._plans[id(route)] = CheckPlan(route, table.api(route.api_id))
        text = None if query is None else query.decode()
        return KnownCheck(head, asked_by, method, path, text, match, plan)

    def _read_form(self, data: bytes, *, is_nginx: bool) -> CheckForm | None:
        fields = read_usual(data, is_traced=self.sidecar.tracing is not None)
        if fields is None or fields.is_last:
            return None
        target = PATH if is_nginx else f"{PATH}/"
        head = RequestHead("GET", target, fields.headers, fields.keys, "")
        # All callers are proxies to the engine (`modes`), whose word on the scheme is taken.
        scheme = forwarded_scheme(head.values("x-forwarded-proto"), self._engine.scheme)
        read = read_original if is_nginx else read_envoy
        try:
            about = read(head, self.sidecar.proxies).head
            host = read_host(sanitize(about), None)
        except (CheckRefused, RequestRefused):
            return None
        if is_nginx and about.method == "OPTIONS":
            return None  # it may be a preflight
        first = about.headers[:1] if is_nginx else ()
        return CheckForm(about, host, scheme, first, is_nginx=is_nginx)


def _match_uri(head: Head[CheckForm]) -> re.Match[bytes] | None:
    """Return the target that X-Original-URI names."""
    for line in head.lines:
        if line.name == _URI_NAME:
            return _URI.fullmatch(line.value)
    return None


class QuickCheck:
    """Serves usual checks of a connection. To the connection it is what `QuickExchange` is."""

    __slots__ = ("_context", "_engine", "_is_caller", "_lane", "_link")

    def __init__(self, link: FastConnection, lane: CheckLane) -> None:
        self._link = link
        self._engine = link.engine
        self._lane = lane
        self._context: RequestContext | None = None
        self._is_caller = lane.sidecar.is_caller(link.client_address)

    def begin(self, data: bytes) -> bool:
        """Answer the check that `data` is; return False, with nothing done, if it is not usual."""
        started = perf_counter()
        if not self._is_caller:
            return False
        tracing, size, parent = self._lane.sidecar.tracing, len(data), None
        if tracing is not None:
            data, parent = split_parent(data, 0)
        known = self._lane.find(data, size)
        if known is None:
            return False
        self._context = None
        trace = None if tracing is None else tracing.resume(parent, "")
        response = self._decide(known)
        if response is None:
            if tracing is not None and trace is not None:
                tracing.give_back(trace)
            return False
        engine, link = self._engine, self._link
        engine.shares.touch(link)
        link.transport.write(response)
        status = int(response[9:12])
        seconds = perf_counter() - started
        engine.pipeline.metrics.count_refusal(known.asked_by, status, seconds)
        engine.pipeline.usage.observe(known.plan.route, seconds)
        if trace is not None:
            self._end_trace(known, trace, status)
        if status >= 400:
            self._keep_error(seconds)
        link.note_served()
        return True

    def _keep_error(self, seconds: float) -> None:
        context = self._context
        if context is not None:
            self._engine.pipeline.keep_error(context, seconds)

    def _end_trace(self, known: KnownCheck, trace: RequestTrace, status: int) -> None:
        """Keep the spans of a check; of a usual one there is no context yet."""
        link, path = self._link, PATH
        if not known.head.form.method:
            path += known.path
        context = self._context
        if context is None and trace.is_recorded:
            table = self._engine.store.table
            made = self._lane.make_context(known, link.client_address, table)
            context = None if isinstance(made, Respond) else made
        head = RequestHead(known.asked_by, path, (), (), link.client_address, trace=trace)
        self._engine.pipeline.end_trace(head, context, status)

    def _decide(self, known: KnownCheck) -> bytes | None:
        """Return the response to a check, None where it is not usual."""
        plan, form = known.plan, known.head.form
        if plan.names is None:
            return self._ask_policies(known, None, 0, None)
        key = (form, plan, known.head.raw_lines(plan.names))
        passed = self._lane.find_pass(key)
        if passed is None or not passed.is_whole:
            return self._ask_policies(known, key, 0, None)
        limit: LimitResult | None = None
        for number, count in passed.counts:
            result = count()
            if not result.allowed:
                # Nothing was counted: the policy is asked, and says so in full.
                return self._ask_policies(known, key, number, passed, limit)
            if limit is None or result.remaining < limit.remaining:
                limit = result
        self._lane.sidecar.count_repeated(plan.route, passed.consumer)
        return self._encode_allowed(passed, limit)

    def _ask_policies(
        self,
        known: KnownCheck,
        key: _PassKey | None,
        first: int,
        passed: CheckPass | None,
        limit: LimitResult | None = None,
    ) -> bytes | None:
        """Decide by the policies from the `first` one on; what `passed` says holds before it."""
        lane, table = self._lane, self._engine.store.table
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
        made = lane.keep_pass(key, known.head.form, context)
        return self._encode_allowed(made, context.limit_result)

    def _encode_allowed(self, passed: CheckPass, limit: LimitResult | None) -> bytes:
        lines = b"" if limit is None else limit_lines(limit)
        return b"%b%bDate: %b\r\n\r\n" % (passed.sent, lines, self._engine.date.value().encode())

    def _encode(self, known: KnownCheck, outcome: Respond) -> bytes:
        form = known.head.form
        response = form.encode(with_removed(outcome, form.claimed))
        return encode_own(response, known.asked_by, self._engine.date, is_last=False)
