"""What connections know together of usual checks of a sidecar, and how they are read.

What follows from the shape of a head, and from the headers that the route's policies read, is
worked out once, by the functions that serve all other checks, so that it cannot differ: who is
asked about, what a key in a header says, and the response but for its limits.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.match import select_route
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.engines.fast.check_forms import (
    CheckForm,
    CheckPass,
    CheckPlan,
    DocumentPass,
    KnownCheck,
    PassKey,
    read_head,
)
from stoa_proxy.engines.fast.check_shapes import (
    CLIENT_NAME,
    ENVOY_LINE,
    NGINX_LINE,
    TARGET,
    URI_NAME,
    Shapes,
)
from stoa_proxy.engines.fast.quick_documents import DocumentLane
from stoa_proxy.engines.fast.quick_heads import (
    LONGEST_KNOWN,
    SPECIAL,
    Head,
    Heads,
    Recent,
    read_usual,
    split_path,
)
from stoa_proxy.engines.fast.quick_routes import find_pass
from stoa_proxy.engines.fast.response_head import encode_head
from stoa_proxy.errors import CheckRefused, RequestRefused
from stoa_proxy.http import framing
from stoa_proxy.http.forwarded import forwarded_client, forwarded_scheme
from stoa_proxy.http.heads import RequestHead, read_host, sanitize
from stoa_proxy.http.targets import RequestPath
from stoa_proxy.pipeline.checks import PATH, read_envoy, read_original
from stoa_proxy.pipeline.sidecar import Sidecar
from stoa_proxy.pipeline.verdicts import (
    for_envoy,
    for_nginx,
    with_removed,
)

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine

_ENVOY: Final = re.compile(ENVOY_LINE)
_URI: Final = re.compile(TARGET)
# What the forms of checks take facts from (`pipeline.checks`), but for the target and the client.
_FACTS: Final = SPECIAL | {
    "x-forwarded-proto", "x-original-host", "x-original-method", "x-original-url",
}  # fmt: skip
_DATE: Final = re.compile(rb"Date: [^\r]*\r\n")
# Checks of which each is remembered when it comes again before another one of its place.
_MARKS: Final = 1024


class CheckLane:
    """What all connections of an engine know of usual checks."""

    def __init__(self, engine: FastEngine, sidecar: Sidecar) -> None:
        self._engine = engine
        self.sidecar = sidecar
        self.documents = DocumentLane(engine, self)
        self._table: RoutingTable | None = None
        self._envoy = Heads(_FACTS, partial(self._read_form, is_nginx=False))
        self._nginx = Heads(_FACTS, partial(self._read_form, is_nginx=True))
        self._envoy_shapes: Shapes[CheckForm] = Shapes(is_nginx=False)
        self._nginx_shapes: Shapes[CheckForm] = Shapes(is_nginx=True)
        self._checks: Recent[bytes, KnownCheck] = Recent()
        self._marks = [0] * _MARKS
        self._plans: dict[int, CheckPlan] = {}
        # With the client behind the key where a policy asks for it.
        self._passes: Recent[PassKey | tuple[PassKey, str], CheckPass] = Recent()

    def find(self, data: bytes, size: int) -> KnownCheck | None:
        """Return what a check asks under the table of now; None for an unusual one.

        `size` is that of the whole head, of which `data` may lack a `traceparent`.
        """
        table = self.follow_table()
        known = self._checks.new.get(data) or self._checks.get(data)
        if known is None and size <= framing.MAX_HEAD:
            known = self._read(data, table)
            if known is not None and len(data) <= LONGEST_KNOWN:
                mark = hash(data)
                if self._marks[mark % _MARKS] == mark:
                    self._checks.keep(data, known)
                else:
                    # What differs each time is not worth a place.
                    self._marks[mark % _MARKS] = mark
        return known

    def follow_table(self) -> RoutingTable:
        """Return the table of now; what is known of another one holds no more."""
        table = self._engine.store.table
        if table is not self._table:
            self._table = table
            self._checks.clear()
            self._plans.clear()
            self._passes.clear()
        return table

    def find_pass(self, known: KnownCheck) -> CheckPass | None:
        """Return what let the last such request pass, while it holds."""
        key, clock = known.key, self.sidecar.states.clock
        if key is None:
            return None
        found = find_pass(self._passes, key, clock)
        if found is None and known.plan.is_by_client:
            found = find_pass(self._passes, (key, self.client_of(known)), clock)
        return found

    def client_of(self, known: KnownCheck) -> str:
        """Return the address of the client, as `pipeline.checks` finds it."""
        clients = known.clients
        if isinstance(clients, str):
            return clients
        texts = [one.partition(b":")[2].decode("utf-8", "surrogateescape") for one in clients]
        return forwarded_client("", texts, self.sidecar.proxies)

    def keep_pass(self, key: PassKey, known: KnownCheck, context: RequestContext) -> CheckPass:
        """Keep, and return, what let a request pass for others like it."""
        form, verdict = known.form, self.sidecar.verdict(context, with_notes=False)
        response, date = form.encode(with_removed(verdict, form.claimed)), self._engine.date
        is_document = bool(response.body)
        framing = "" if is_document else "Content-Length: 0\r\n"
        head = encode_head(200, "OK", response.headers, date, framing)
        sent = _DATE.sub(b"", head, count=1)[:-2]
        if is_document:
            made: CheckPass = DocumentPass(context, sent, response.body.removesuffix(b"{}}"))
        else:
            made = CheckPass(context, sent)
        filters = context.api.request_filters
        if any(policy.reads_client(context) for policy in filters):
            known.plan.is_by_client = True
            self._passes.keep((key, context.head.client_address), made)
        else:
            self._passes.keep(key, made)
        return made

    def make_context(
        self, known: KnownCheck, peer: str, table: RoutingTable
    ) -> RequestContext | Respond:
        """Return the context of the request that a check is about, as the pipeline makes it."""
        form, path, query = known.form, known.path, known.query
        parsed = RequestPath(path, split_path(path), query, is_plain=True)
        target = path if query is None else f"{path}?{query}"
        headers, keys = known.head.headers(form.names)
        if form.first:
            headers, keys = (*form.first, *headers), ("host", *keys)
        client = self.client_of(known)
        head = RequestHead(known.method, target, headers, keys, client, form.scheme, peer=peer)
        return self.sidecar.make_context(head, parsed, form.host, known.match, table)

    def _read(self, data: bytes, table: RoutingTable) -> KnownCheck | None:
        is_nginx = data.startswith(NGINX_LINE)
        heads, shapes = (
            (self._nginx, self._nginx_shapes) if is_nginx else (self._envoy, self._envoy_shapes)
        )
        found = shapes.find(data)
        if found is None:
            return self._read_in_full(data, table, heads, shapes)
        shape, parts = found
        asked_by = parts[shape.method] if shape.method else b"GET"
        line = (asked_by, parts[shape.path], parts[shape.query])
        clients = tuple([parts[one] for one in shape.clients])
        known = KnownCheck(shape.form, line, None, heads, data, clients)
        plan = self.lead(known, table)
        if plan is None:
            return None
        if plan.names is not None:
            groups = plan.groups_in(shape, plan.names)
            known.key = (shape.form, plan, parts.group(*groups) if groups else ())
        return known

    def _read_in_full(
        self,
        data: bytes,
        table: RoutingTable,
        heads: Heads[CheckForm],
        shapes: Shapes[CheckForm],
    ) -> KnownCheck | None:
        if heads is self._nginx:
            asked_by = b"GET"
            head = read_head(heads, data)
            found = None if head is None else _match_uri(head)
        else:
            found = _ENVOY.match(data)
            asked_by = b"" if found is None else found[1]
            head = None if found is None else read_head(heads, data)
        if head is None or found is None:
            return None
        clients = [line for line in head.lines if line.name == CLIENT_NAME]
        if heads is self._nginx and not all(line.value for line in clients):
            return None  # it has to be named
        *_, path, query = found.groups()
        line = (asked_by, path, query)
        raw = tuple([one.raw for one in clients])
        known = KnownCheck(head.form, line, head, heads, data, raw)
        plan = self.lead(known, table)
        if plan is None:
            return None
        shapes.note(head.lines, head.form, data)
        if plan.names is not None:
            known.key = (head.form, plan, head.raw_lines(plan.names))
        return known

    def lead(self, known: KnownCheck, table: RoutingTable) -> CheckPlan | None:
        """Note, and return, where a check leads; None where that is not usual."""
        match = table.find(known.form.host, split_path(known.path), known)
        route = None if match is None else select_route(match, known.method)
        if match is None or route is None:
            return None
        plan = self._plans.get(id(route))
        if plan is None:
            # It holds the route, so that no other one gets its id.
            plan = self._plans[id(route)] = CheckPlan(route, table.api(route.api_id))
        known.match, known.plan = match, plan
        return plan

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
        encode = for_nginx if is_nginx else for_envoy
        return CheckForm(about, host, scheme, first, encode, is_named=is_nginx)


def _match_uri(head: Head[CheckForm]) -> re.Match[bytes] | None:
    """Return the target that X-Original-URI names."""
    for line in head.lines:
        if line.name == URI_NAME:
            return _URI.fullmatch(line.value)
    return None
